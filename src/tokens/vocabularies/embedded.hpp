#pragma once

#include <optional>

#include "tokens/tokenizer.hpp"
#include "tokens/vocabularies/tables.hpp"

namespace sluice {

/// The tables inside the program; nothing if it was built without vocabularies.
std::optional<vocabulary_tables> embedded_tables(vocabulary which) noexcept;

}  // namespace sluice
