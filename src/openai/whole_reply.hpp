#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "openai/reply_reader.hpp"

namespace sluice::openai {

/// Checks a complete body, which came whole or was joined from a stream. Returns the reply with its
/// usage and finish reasons, or a failure. The body of the reply is one line of valid JSON that
/// every parser accepts: bytes that are not UTF-8 and escapes of lone surrogates are replaced. The
/// caller sets status and request id.
boost::system::result<reply, failure> read_whole_reply(std::string text, endpoint target,
                                                       double now_unix);

/// The failure for a response object that the relay still generates in the background. Its content
/// can be fetched there later by its id. The same request would be charged a second time.
failure background_failure(std::string_view response);

/// The failure for a 2xx response whose body is not a reply.
failure invalid_response(std::string message);

}  // namespace sluice::openai
