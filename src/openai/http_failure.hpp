#pragma once

#include <string>
#include <string_view>

#include "openai/reply_head.hpp"
#include "sluice/error.hpp"

namespace sluice::openai {

/// The failure that an HTTP error status and its body mean: whose trouble it is, in the relay's
/// words, and when to come back. Judged by the table of vendors' errors (vendor_errors.hpp), then
/// by the status. `model` is the request's own: a 404 that holds it speaks of the model.
failure http_failure(const reply_head& head, std::string body, double now_unix,
                     std::string_view model = {});

/// The failure of an error that came under a success, as the body or as an event of a stream. It
/// passes, unless the table knows better. `otherwise`: what to say where the error has no words.
failure reported_failure(std::string_view body, std::string_view otherwise);

}  // namespace sluice::openai
