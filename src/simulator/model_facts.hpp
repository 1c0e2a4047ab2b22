// What the relay knows of a model by its name.
#pragma once

#include <optional>
#include <string_view>

#include "tokens/tokenizer.hpp"

namespace sluice::simulator {

/// The tokenizer of a model of OpenAI's. Null for others, and in a program built without the
/// vocabularies: their tokens are taken to be four bytes long.
const tokenizer* tokenizer_of(std::string_view model);
/// Nothing for a model that is not OpenAI's.
std::optional<vocabulary> vocabulary_of(std::string_view model);

/// What a model does before it answers, and whether it lets it be read.
enum class thinking { none, hidden, shown };
thinking thinking_of(std::string_view model);

/// Whether it falls for the questions that a stronger model sees through.
bool is_easily_fooled(std::string_view model);

}  // namespace sluice::simulator
