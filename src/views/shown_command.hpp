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
  /// A description of each secret, like "the value of X-Api-Key".
  std::vector<wording> hidden;
};

/// The command line without the secrets of the relays: keys, values of headers, parameters of
/// addresses. `secret_flags`: names of flags whose values are not shown, either. Of the address of
/// a database only the password is hidden.
shown_command without_secrets(const std::vector<std::string>& command_line,
                              const std::vector<relay_member>& relays,
                              const std::vector<std::string>& secret_flags);

/// The command with its words quoted for a shell, followed by `extra`.
std::string again(const shown_command& command, std::string_view extra = {},
                  language spoken = language::english);
/// The word in quotes, if a shell needs them.
std::string quoted(const std::string& word);

}  // namespace sluice::cli
