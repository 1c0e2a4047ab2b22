#pragma once

#include <span>
#include <string_view>

namespace sluice::probe {

/// A question that buyers of keys use to distinguish GPT-4 from GPT-3.5. It proves little: recent
/// models of all vendors know the answers from their training data.
struct question {
  std::string_view name;
  std::string_view text;
  /// Whether a stronger model would give this answer.
  bool (*strong)(std::string_view answer);
};

std::span<const question> questions();
const question* find_question(std::string_view name);

}  // namespace sluice::probe
