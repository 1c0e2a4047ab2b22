#include "cli/commands/command.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/screen/help.hpp"

namespace sluice::cli {
namespace {

// Refuses unknown words with a message of this command. The parser of the program would call them
// unknown commands.
void refuse_words(CLI::App& parser, const std::string& name) {
  parser.parse_complete_callback([&parser, name] {
    const auto extra = parser.remaining();
    if (extra.empty() || extra.front().starts_with('-')) return;
    throw CLI::ValidationError(
        fmt::format("{} takes flags only, and '{}' is not a flag", name, extra.front()));
  });
}

}  // namespace

void add_command(CLI::App& program, const command& added, bool named, exit_status& status) {
  auto* parser = program.add_subcommand(added.name, added.summary);
  if (!named) return;
  if (added.operands) {
    parser->add_option(added.operand, *added.operands);
  } else {
    refuse_words(*parser, added.name);
  }
  added.flags->add_to(*parser);
  parser->formatter_fn([&added](const CLI::App*, const std::string&, CLI::AppFormatMode mode) {
    return command_help(added,
                        mode == CLI::AppFormatMode::All ? help_length::whole : help_length::brief);
  });
  parser->callback([&added, &status] { status = added.run(); });
}

}  // namespace sluice::cli
