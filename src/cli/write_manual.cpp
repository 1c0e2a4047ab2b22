// Writes the man page or the Markdown reference to standard output.
// Usage: write_manual man YYYY-MM-DD | write_manual markdown

#include <fmt/core.h>

#include <string>
#include <vector>

#include "cli/commands/all_commands.hpp"
#include "cli/screen/manual.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::vector<std::string> no_command_line;
  const auto commands = sluice::cli::all_commands(no_command_line);
  if (words.size() == 2 && words[0] == "man") {
    fmt::print("{}", sluice::cli::man_page(commands, words[1]));
    return 0;
  }
  if (words.size() == 1 && words[0] == "markdown") {
    fmt::print("{}", sluice::cli::markdown_reference(commands));
    return 0;
  }
  fmt::print(stderr, "usage: write_manual man YYYY-MM-DD | write_manual markdown\n");
  return 2;
}
