#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "openai/reply_reader.hpp"

namespace sluice::openai {

/// Judges a body that is all there, come whole or put together from a stream: a reply with its
/// usage and finish reasons, or the failure that it is. The body of the reply is one line of valid
/// JSON that every parser takes: bytes that are not UTF-8 and escapes of lone surrogates are
/// replaced. Status and request id are left to the caller.
boost::system::result<reply, failure> read_whole_reply(std::string text, endpoint target);

/// How the reply with this body ended: the finish reason of every choice; of a response object its
/// status, or why it is incomplete. One that has no name is not counted. What is no reply's body
/// gives nothing.
std::map<std::string, std::uint64_t> finish_reasons(std::string_view body);

/// The failure of a response object that its relay still works on, in the background: its content
/// can be had there later, by its id, and the same request again would be paid again.
failure background_failure(std::string_view response);

/// The failure of a 2xx whose body is no reply.
failure invalid_response(std::string message);

}  // namespace sluice::openai
