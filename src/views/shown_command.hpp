#pragma once

#include <string>
#include <vector>

#include "base/wording.hpp"
#include "sluice/config.hpp"

namespace sluice::cli {

/// A command line that is safe to show, and to type again.
struct shown_command {
  /// "[key]" replaces each secret.
  std::vector<std::string> words;
  /// What each secret was, like "the value of X-Api-Key".
  std::vector<wording> hidden;
};

/// The command line without the secrets of the relays: keys, values of headers, parameters of
/// addresses.
shown_command without_secrets(const std::vector<std::string>& command_line,
                              const std::vector<relay_member>& relays);

/// The command with its words quoted for a shell, followed by `extra`.
std::string again(const shown_command& command, std::string_view extra = {},
                  language spoken = language::english);
/// A word in quotes where a shell needs them.
std::string quoted(const std::string& word);

}  // namespace sluice::cli
