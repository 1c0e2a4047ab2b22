#include "cli/commands/completion_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/refuse.hpp"
#include "cli/commands/all_commands.hpp"
#include "cli/screen/completion.hpp"
#include "settings/suggestion.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {

command completion_command() {
  const auto operands = std::make_shared<std::vector<std::string>>();
  return {
      .name = "completion",
      .summary = "Print a script that completes sluice's words in a shell",
      .operand = "SHELL",
      .operand_help = "bash, zsh or fish",
      .operand_choices = completed_shells,
      .description =
          "A package installs these scripts by itself. Else put the script where the shell finds "
          "it, or load it when the shell starts, as in the examples.",
      .exit_statuses = {{0, "printed"}, {2, "cannot start"}},
      .examples = {R"sh(eval "$(sluice completion bash)")sh",
                   "sluice completion zsh > ~/.zfunc/_sluice",
                   "sluice completion fish > ~/.config/fish/completions/sluice.fish"},
      .flags = std::make_shared<settings>(std::vector<setting>{}),
      .operands = operands,
      .run =
          [operands] {
            if (operands->size() != 1) refuse("name one shell: bash, zsh or fish");
            const std::string& shell = operands->front();
            if (std::find(completed_shells.begin(), completed_shells.end(), shell) ==
                completed_shells.end()) {
              refuse(fmt::format("there is no completion for '{}'{}; name bash, zsh or fish", shell,
                                 did_you_mean(shell, completed_shells)));
            }
            print(completion_script(all_commands({}), shell));
            return success;
          },
  };
}

}  // namespace sluice::cli
