#pragma once

#include <string>
#include <string_view>

#include "openai/reply_head.hpp"
#include "sluice/error.hpp"

namespace sluice::openai {

/// The failure for an HTTP error status and its body: its class, the relay's message, and when to
/// try again. The table of vendor errors (vendor_errors.hpp) decides first, then the status.
/// `model` is the model of the request: a 404 that contains its name is about the model.
failure http_failure(const reply_head& head, std::string body, double now_unix,
                     std::string_view model = {});

/// The failure for an error in a successful response (2xx), as its body or as an event of its
/// stream. It is temporary, unless the table of vendor errors says otherwise. `otherwise`: the
/// message if the error has none. For a rate limit, the error may say when to try again; whether
/// something of the reply was billed is for the caller to say.
failure reported_failure(std::string_view body, std::string_view otherwise, double now_unix);

}  // namespace sluice::openai
