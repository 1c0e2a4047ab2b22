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

/// One command of the program: its texts for the help, its flags, and what it does. Together with
/// the table of its flags, it contains everything that a man page and shell completions need.
struct command {
  std::string name;
  /// One line without a full stop.
  std::string summary;
  /// Name of the words after the flags, like JOB; empty: the command takes only flags.
  std::string operand = {};
  /// One line about these words, without a full stop.
  std::string operand_help = {};
  /// All accepted words, if they are a list.
  std::vector<std::string> operand_choices = {};
  /// For `--help`: paragraphs, separated by empty lines. A line that begins with a space is not
  /// wrapped.
  std::string description;
  /// Names of the flags that `-h` shows; empty: all. `-h` should have less than 40 lines.
  std::vector<std::string> common_flags = {};
  /// What each exit status means, without a full stop.
  std::vector<std::pair<int, std::string>> exit_statuses;
  /// Command lines that work without changes.
  std::vector<std::string> examples;

  std::shared_ptr<settings> flags;
  /// The parser puts the words after the flags here.
  std::shared_ptr<std::vector<std::string>> operands = {};
  /// Call it after the command line is parsed. Throws fatal_error if the command cannot start.
  std::function<exit_status()> run;
};

/// Adds a command to the parser of the program. If the command line names it, the command runs
/// during the parsing, and its result is stored in `status`. Both references must outlive the
/// parser. `named`: the command line may name it; otherwise the parser only learns its name.
void add_command(CLI::App& program, const command& added, bool named, exit_status& status);

}  // namespace sluice::cli
