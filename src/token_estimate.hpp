#pragma once

#include <cstdint>

#include "sluice/job.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// About how many tokens an attempt will take of a limit in tokens a minute: a token for four bytes
/// of its body, and for each choice the limit that the body names, or the mean of the replies so
/// far. Pure; not thread safe.
class token_estimate {
 public:
  std::uint64_t of(const request& asked) const;
  void learn(const token_usage& usage, unsigned choices) noexcept;

 private:
  static constexpr double first_guess = 256;  // of a choice, before any reply
  double mean_ = first_guess;
  std::uint64_t replies_ = 0;
};

}  // namespace sluice
