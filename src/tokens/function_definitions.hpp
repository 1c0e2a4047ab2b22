#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// The text by which the model of a chat request sees the request's functions: TypeScript types
/// made from their JSON schemas. OpenAI does not document it. Its form was inferred from the tokens
/// billed for `functions` (https://github.com/hmarr/openai-chat-tokens), so its token count is an
/// estimate.
///
/// `functions` is the valid JSON of `functions` or `tools`. Other tools are left out, and unknown
/// types become `any`. Pure.
std::string function_definitions(std::string_view functions);

}  // namespace sluice
