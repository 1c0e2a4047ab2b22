#pragma once

#include <string>
#include <vector>

#include "sluice/config.hpp"

namespace sluice::cli {

/// A command line as a person may read it, and type it again.
struct shown_command {
  std::vector<std::string> words;   ///< where a secret stood, "[key]" does
  std::vector<std::string> hidden;  ///< what each of those was: "the value of X-Api-Key"
};

/// Without what is secret to the relays: values of headers, and parameters of addresses.
shown_command without_secrets(const std::vector<std::string>& command_line,
                              const std::vector<relay_member>& relays);

/// The command with its words quoted for a shell, and `extra` behind it.
std::string again(const shown_command& command, std::string_view extra = {});
/// A word as a shell takes it for one.
std::string quoted(const std::string& word);

}  // namespace sluice::cli
