// Properties of a model that follow from its name.
#pragma once

#include <optional>
#include <string_view>

#include "tokens/tokenizer.hpp"

namespace sluice::simulator {

/// The tokenizer of an OpenAI model. Null for other models, and if the program was built without
/// vocabularies: then a token counts as four bytes.
const tokenizer* tokenizer_of(std::string_view model);
/// The vocabulary of an OpenAI model; nullopt for other models.
std::optional<vocabulary> vocabulary_of(std::string_view model);

/// Whether a model reasons before it answers, and whether the reply shows this reasoning.
enum class thinking { none, hidden, shown };
thinking thinking_of(std::string_view model);

/// Whether the model gives the wrong answer to trick questions that stronger models answer right.
bool is_easily_fooled(std::string_view model);

}  // namespace sluice::simulator
