#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands/command.hpp"

namespace sluice::cli {

/// The length of a help text.
enum class help_length : std::uint8_t {
  brief,  ///< `-h`: the most used flags, one line each
  whole,  ///< `--help`: what each flag does, and when a user would change it
};

/// The description of the program, in paragraphs separated by empty lines.
inline constexpr std::string_view program_description =
    "A job is a file with one request per line: a line of the OpenAI Batch API, a bare request "
    "body, or a prompt. 'sluice run' sends the requests through one rate limit and writes the "
    "results beside the job. After an interruption, the same command goes on where it stopped.\n"
    "\n"
    "A flag wins over the environment, and the environment over the config file (./sluice.toml "
    "or the file of --config). The API key comes from OPENAI_API_KEY, from --api-key-file or "
    "from the config file, never from a flag.";

/// A flag as shown in the help, like "-o, --output FILE".
std::string flag_term(const setting& flag);
/// Facts about a flag that the help shows in addition to its text: default, values, environment
/// variable, config key.
std::string flag_facts(const setting& flag);
/// The headings of the flags, in the order in which the table first names them.
std::vector<std::string> flag_groups(const std::vector<setting>& table);

/// The maximum width of a line in a help text.
inline constexpr std::size_t help_width = 80;

/// The help of one command.
std::string command_help(const command& shown, help_length length);
/// The help of the program, with a list of its commands.
std::string program_help(const std::vector<command>& commands, help_length length);

}  // namespace sluice::cli
