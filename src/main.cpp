#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "base/printable.hpp"
#include "base/translated_error.hpp"
#include "cli/commands/all_commands.hpp"
#include "cli/commands/command.hpp"
#include "cli/screen/help.hpp"
#include "cli/screen/screen_language.hpp"
#include "settings/suggestion.hpp"
#include "sluice/error.hpp"
#include "terminal/descriptors.hpp"
#include "terminal/exit_status.hpp"
#include "terminal/screen_writer.hpp"
#include "terminal/standard_output.hpp"
#include "terminal/user_signals.hpp"
#include "upstream/shared_mapping.hpp"
#include "views/version.hpp"

namespace {

using namespace sluice;

void say(const std::string& sentence) {
  cli::standard_error().line("sluice: " + printable_text(sentence));
}

int refuse(const std::string& sentence) {
  say(sentence);
  return cli::cannot_start;
}

// The command on the line, or the program itself.
CLI::App& named_command(CLI::App& program) {
  const auto named = program.get_subcommands();
  return named.empty() ? program : *named.front();
}

// Whether the word names the flag, like --model or -m.
bool is_name(const cli::setting& flag, std::string_view word) {
  if (word.starts_with("--")) return word.substr(2) == flag.name;
  return flag.letter != 0 && word == fmt::format("-{}", flag.letter);
}

// Another command that has the flag; null: there is none.
const cli::command* command_with(const std::vector<cli::command>& commands, std::string_view flag) {
  const auto has = [&](const cli::command& one) {
    const auto& table = one.flags->table();
    return std::any_of(table.begin(), table.end(), [&](const cli::setting& entry) {
      return entry.on_line && is_name(entry, flag);
    });
  };
  const auto found = std::find_if(commands.begin(), commands.end(), has);
  return found == commands.end() ? nullptr : &*found;
}

// The message about a word that nothing takes. It leaves out the part of a flag after `=`, which
// may be a key.
std::string unknown_word(CLI::App& program, const std::vector<cli::command>& commands,
                         const std::string& given) {
  const std::string word = given.starts_with('-') ? given.substr(0, given.find('=')) : given;
  const bool behind_command = program.remaining().empty();
  CLI::App& command = behind_command ? named_command(program) : program;
  std::vector<std::string> names;
  for (const auto* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const auto* other : command.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(other->get_name());
  }
  const bool flag = word.starts_with('-');
  if (flag && !behind_command) {
    const auto named = program.get_subcommands();
    const bool is_here = !named.empty() && named.front()->get_option_no_throw(word) != nullptr;
    const auto* other = is_here ? nullptr : command_with(commands, word);
    if (is_here || other != nullptr) {
      return fmt::format("{} is a flag of 'sluice {}'; write it behind that word", word,
                         is_here ? named.front()->get_name() : other->name);
    }
  }
  return fmt::format("unknown {} '{}'{} (see {} --help)", flag ? "flag" : "command", word,
                     cli::did_you_mean(word, names),
                     &command == &program ? "sluice" : "sluice " + command.get_name());
}

// The flag with this name, like --model or -m; null: no command has it.
const cli::setting* find_flag(const std::vector<cli::command>& commands, std::string_view word) {
  for (const auto& one : commands) {
    for (const cli::setting& entry : one.flags->table()) {
      if (entry.on_line && is_name(entry, word)) return &entry;
    }
  }
  return nullptr;
}

// The first flag that is written as --flag= without a value; empty: none. The parser would take the
// next word as its value.
std::string empty_flag(const std::vector<std::string>& command_line,
                       const std::vector<cli::command>& commands) {
  for (std::size_t i = 1; i < command_line.size() && command_line[i] != "--"; ++i) {
    const std::string& word = command_line[i];
    const auto* flag = find_flag(commands, word);
    if (flag != nullptr) {
      const bool takes_next = !flag->value.empty() && flag->bare_value.empty();
      if (takes_next) ++i;
    } else if (word.starts_with("--") && word.find('=') == word.size() - 1) {
      std::string name = word.substr(0, word.size() - 1);
      if (find_flag(commands, name) != nullptr) return name;
    }
  }
  return {};
}

// The words for the parser, which takes the last one first. "help COMMAND" is "COMMAND --help".
std::vector<std::string> words_for_parser(const std::vector<std::string>& command_line,
                                          const std::vector<cli::command>& commands) {
  std::vector<std::string> words = command_line;
  if (!words.empty()) words.erase(words.begin());
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    const bool known =
        words.empty() || std::any_of(commands.begin(), commands.end(),
                                     [&](const auto& one) { return one.name == words.front(); });
    if (known) words.emplace_back("--help");
  }
  std::reverse(words.begin(), words.end());
  return words;
}

int run_program(const std::vector<std::string>& command_line,
                const std::vector<cli::command>& commands) {
  cli::exit_status status = cli::success;
  CLI::App program{"", "sluice"};
  program.set_version_flag("-V,--version", [&] { return cli::version_text(command_line); });
  program.set_help_flag("-h");
  program.set_help_all_flag("--help");
  program.formatter_fn([&](const CLI::App*, const std::string&, CLI::AppFormatMode mode) {
    return cli::program_help(commands, mode == CLI::AppFormatMode::All ? cli::help_length::whole
                                                                       : cli::help_length::brief);
  });
  program.require_subcommand(1);
  for (const auto& one : commands) {
    // Only a command that the line names needs its flags. To add all of them would take
    // milliseconds.
    const bool named =
        std::find(command_line.begin(), command_line.end(), one.name) != command_line.end();
    cli::add_command(program, one, named, status);
  }
  if (const std::string flag = empty_flag(command_line, commands); !flag.empty()) {
    return refuse(
        fmt::format("{}= has no value; write the value behind the =, or leave out {}", flag, flag));
  }
  try {
    program.parse(words_for_parser(command_line, commands));
  } catch (const CLI::Success& asked) {  // help, or the version
    std::ostringstream text;
    program.exit(asked, text, text);
    cli::print(text.str());
    return cli::success;
  } catch (const CLI::ExtrasError&) {
    return refuse(unknown_word(program, commands, program.remaining(true).front()));
  } catch (const CLI::RequiredError&) {
    const auto unknown = program.remaining(true);
    if (!unknown.empty()) return refuse(unknown_word(program, commands, unknown.front()));
    std::istringstream brief(cli::program_help(commands, cli::help_length::brief));
    for (std::string line; std::getline(brief, line);) cli::standard_error().line(line);
    return refuse("name a command");
  } catch (const CLI::ParseError& fault) {
    return refuse(
        fmt::format("{} (see sluice {} --help)", fault.what(), named_command(program).get_name()));
  }
  return status;
}

// The language for the error that ends the command on the line. The others have no flags there.
language language_of_error(const std::vector<cli::command>& commands) {
  for (const auto& one : commands) {
    if (one.flags->on_line("lang") || !one.flags->given().empty())
      return cli::language_of_error(*one.flags);
  }
  return cli::language_of_environment();
}

// Shows the exception that ends the program, and returns the exit status for it.
int run_and_tell(int argc, char** argv) {
  using namespace sluice;
  const std::vector<std::string> command_line(argv, argv + argc);
  const std::vector<cli::command> commands = cli::commands_on(command_line);
  try {
    return run_program(command_line, commands);
  } catch (const cli::reader_gone&) {
    throw;
  } catch (const fatal_error& fault) {
    cli::standard_error().line("sluice: " + words_of(fault).in(language_of_error(commands)));
    return fault.why() == fatal_error::kind::cannot_write ? cli::results_lost : cli::cannot_start;
  } catch (const std::exception& fault) {
    say(fmt::format("internal error: {}; finished results are kept, run again to go on",
                    fault.what()));
    return cli::results_lost;
  }
}

}  // namespace

int main(int argc, char** argv) {
  sluice::cli::open_standard_descriptors();
  // A closed screen and a file that may not grow are errors to show, not reasons to die.
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sluice::cli::outlast_user_signals();
  sluice::shared_mapping::handle_cut_files();
  constexpr std::chrono::seconds for_a_slow_reader{1};
  try {
    const int status = run_and_tell(argc, argv);
    sluice::cli::standard_error().settle(for_a_slow_reader);
    return status;
  } catch (const sluice::cli::reader_gone&) {  // end as other Unix tools do
    sluice::cli::standard_error().settle(for_a_slow_reader);
    std::signal(SIGPIPE, pipe_before);
    std::raise(SIGPIPE);
    return 128 + SIGPIPE;  // SIGPIPE was ignored at the start
  }
}
