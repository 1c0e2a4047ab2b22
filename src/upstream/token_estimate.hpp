#pragma once

#include <cstdint>

#include "sluice/job.hpp"
#include "sluice/usage.hpp"

namespace sluice {

/// About how many tokens an attempt will take of a limit in tokens a minute: those of its prompt,
/// as far as they can be counted, and for each choice the limit that the body names, or the mean of
/// the replies so far. Pure; not thread safe.
class token_estimate {
 public:
  /// What a request says of itself, once read and counted.
  struct need {
    std::uint64_t known = 0;
    unsigned open_choices = 0;  ///< whose length it does not bound
  };
  static need of(const request& asked);
  /// By what is known now of other replies.
  std::uint64_t tokens(const need& asked) const noexcept;
  void learn(const token_usage& usage, unsigned choices) noexcept;

 private:
  static constexpr double first_guess = 256;  // of a choice, before any reply
  double mean_ = first_guess;
  std::uint64_t replies_ = 0;
};

}  // namespace sluice
