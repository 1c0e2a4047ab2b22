#include "cli/commands/all_commands.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "cli/commands/ask_command.hpp"
#include "cli/commands/bench_command.hpp"
#include "cli/commands/check_command.hpp"
#include "cli/commands/collect_command.hpp"
#include "cli/commands/completion_command.hpp"
#include "cli/commands/enqueue_command.hpp"
#include "cli/commands/extract_command.hpp"
#include "cli/commands/jobs_command.hpp"
#include "cli/commands/models_command.hpp"
#include "cli/commands/prepare_command.hpp"
#include "cli/commands/probe_command.hpp"
#include "cli/commands/quota_command.hpp"
#include "cli/commands/report_command.hpp"
#include "cli/commands/run_command.hpp"
#include "cli/commands/serve_command.hpp"
#include "cli/commands/simulate_command.hpp"
#include "cli/commands/work_command.hpp"

namespace sluice::cli {

namespace {

using words = std::vector<std::string>;

struct named_command {
  std::string_view name;
  command (*make)(const words& command_line);
};

// In the order of the help.
constexpr std::array<named_command, 17> list = {{
    {"ask", [](const words&) { return ask_command(); }},
    {"run", [](const words& line) { return run_command(line); }},
    {"check", [](const words&) { return check_command(); }},
    {"prepare", [](const words&) { return prepare_command(); }},
    {"extract", [](const words&) { return extract_command(); }},
    {"report", [](const words&) { return report_command(); }},
    {"quota", [](const words&) { return quota_command(); }},
    {"models", [](const words&) { return models_command(); }},
    {"probe", [](const words&) { return probe_command(); }},
    {"bench", [](const words& line) { return bench_command(line); }},
    {"serve", [](const words&) { return serve_command(); }},
    {"enqueue", [](const words&) { return enqueue_command(); }},
    {"work", [](const words&) { return work_command(); }},
    {"collect", [](const words&) { return collect_command(); }},
    {"jobs", [](const words&) { return jobs_command(); }},
    {"simulate", [](const words&) { return simulate_command(); }},
    {"completion", [](const words&) { return completion_command(); }},
}};

// The keys that any command takes from the config file.
std::vector<other_key> keys_of_all() {
  const words no_line;
  std::vector<other_key> keys;
  for (const named_command& one : list) {
    const command made = one.make(no_line);
    for (const setting& entry : made.flags->table()) {
      if (entry.in_config) keys.push_back({entry.name, entry.secret});
    }
  }
  return keys;
}

command make_command(const named_command& one, const words& command_line) {
  command made = one.make(command_line);
  made.flags->ignore(keys_of_all);
  return made;
}

}  // namespace

std::vector<command> all_commands(const words& command_line) {
  std::vector<command> made;
  made.reserve(list.size());
  for (const named_command& one : list) made.push_back(make_command(one, command_line));
  return made;
}

std::vector<command> commands_on(const words& command_line) {
  const bool begins_with_command =
      command_line.size() > 1 &&
      std::any_of(list.begin(), list.end(),
                  [&](const named_command& one) { return one.name == command_line[1]; });
  if (!begins_with_command) return all_commands(command_line);
  std::vector<command> made;
  for (const named_command& one : list) {
    const auto found = std::find(command_line.begin() + 1, command_line.end(), one.name);
    if (found != command_line.end()) made.push_back(make_command(one, command_line));
  }
  return made;
}

}  // namespace sluice::cli
