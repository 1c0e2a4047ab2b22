#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// The functions that a chat request offers, as its model is told of them: types of TypeScript,
/// made from their JSON schemas. OpenAI documents no such text; it was inferred from the tokens
/// billed for `functions` (https://github.com/hmarr/openai-chat-tokens), so what is counted by it
/// is an estimate.
///
/// `functions` is the valid JSON of `functions` or of `tools`; what does not say how it is shown
/// (other tools, unknown types) is left out or `any`. Pure.
std::string function_definitions(std::string_view functions);

}  // namespace sluice
