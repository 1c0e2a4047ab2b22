#pragma once

#include <cstdint>

#include "sluice/job.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// Estimates the tokens of an attempt, for a limit in tokens per minute. Pure; not thread safe. The
/// estimate is the number of prompt tokens, plus for each choice the output limit in the body, or
/// the mean length of the replies so far.
class token_estimate {
 public:
  /// The part of the estimate that depends only on the request.
  struct need {
    std::uint64_t known = 0;
    unsigned open_choices = 0;  ///< choices without an output limit
  };
  static need of(const request& item);
  /// The estimate, with the current mean length of replies.
  std::uint64_t tokens(const need& item) const noexcept;
  void learn(const token_usage& usage, unsigned choices) noexcept;

 private:
  static constexpr double first_guess = 256;  // tokens of a choice, before the first reply
  double mean_ = first_guess;
  std::uint64_t replies_ = 0;
};

}  // namespace sluice
