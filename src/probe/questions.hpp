#pragma once

#include <span>
#include <string_view>

namespace sluice::probe {

/// One of the questions by which buyers of keys tell GPT-4 from GPT-3.5. What they show is little:
/// today's models of any maker pass them, and the answers are in their training data.
struct question {
  std::string_view name;
  std::string_view text;
  /// Whether the answer is the stronger model's.
  bool (*strong)(std::string_view answer);
};

std::span<const question> questions();
const question* find_question(std::string_view name);

}  // namespace sluice::probe
