#pragma once

#include <optional>

#include "tokens/tokenizer.hpp"
#include "tokens/vocabularies/tables.hpp"

namespace sluice {

/// The tables that were built into the program; nothing when it was built without.
std::optional<vocabulary_tables> embedded_tables(vocabulary which) noexcept;

}  // namespace sluice
