#pragma once

#include <optional>
#include <string>

#include "base/language.hpp"
#include "sluice/engine.hpp"

namespace sluice::cli {

/// A start that must wait.
struct start_wait {
  wait_cause cause = wait_cause::limit;
  double left_s = 0;  ///< as far as is known now
  double unix_now = 0;
  /// The reason of a pause that this process began.
  std::optional<run_status::pause_reason> pause = {};
};

/// What a start waits for, as a sentence and in a few words; all members are empty: it does not
/// wait.
struct wait_text {
  std::string sentence;
  std::string brief;
  std::string word;  ///< for a program: "limit", "pause", …
};

wait_text text_of(const start_wait& wait, language spoken = language::english);

}  // namespace sluice::cli
