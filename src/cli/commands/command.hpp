#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "settings/setting.hpp"
#include "terminal/exit_status.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::cli {

/// One command of the program: its texts for the help, its flags, and what it does. With the table
/// of its flags it holds all that a man page and shell completions need.
struct command {
  std::string name;
  /// One line without a full stop.
  std::string summary;
  /// Name of the words behind the flags, like JOB; empty: the command takes flags only.
  std::string operand = {};
  /// One line about these words, without a full stop.
  std::string operand_help = {};
  /// The words that it takes, where they are a list.
  std::vector<std::string> operand_choices = {};
  /// For `--help`: paragraphs with an empty line between them. A line that begins with a space
  /// stays as it is.
  std::string description;
  /// Names of the flags that `-h` shows; empty: all. `-h` should have less than 40 lines.
  std::vector<std::string> common_flags = {};
  /// What each exit status means, without a full stop.
  std::vector<std::pair<int, std::string>> exit_statuses;
  /// Command lines that work as they stand.
  std::vector<std::string> examples;

  std::shared_ptr<settings> flags;
  /// Where the parser puts the words behind the flags.
  std::shared_ptr<std::vector<std::string>> operands = {};
  /// To be called once the line is parsed. Throws fatal_error when the command cannot start.
  std::function<exit_status()> run;
};

/// Adds a command to the parser of the program. When the line names it, the command runs during the
/// parsing, and `status` is what it returned. Both references must outlive the parser.
void add_command(CLI::App& program, const command& added, exit_status& status);

}  // namespace sluice::cli
