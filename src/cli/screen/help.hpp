#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// How much a help text says.
enum class help_length : std::uint8_t {
  brief,  ///< `-h`: a line for each flag
  whole,  ///< `--help`: what each flag does, and when one would change it
};

/// No line of a help text is wider than this.
inline constexpr std::size_t help_width = 80;

/// The help of one command.
std::string command_help(const command& shown, help_length length);
/// The help of the program, which lists its commands.
std::string program_help(const std::vector<command>& commands, help_length length);

}  // namespace sluice::cli
