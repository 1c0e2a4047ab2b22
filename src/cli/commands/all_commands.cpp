#include "cli/commands/all_commands.hpp"

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

std::vector<command> all_commands(const std::vector<std::string>& command_line) {
  std::vector<command> list;
  list.push_back(ask_command());
  list.push_back(run_command(command_line));
  list.push_back(check_command());
  list.push_back(prepare_command());
  list.push_back(extract_command());
  list.push_back(report_command());
  list.push_back(quota_command());
  list.push_back(models_command());
  list.push_back(probe_command());
  list.push_back(bench_command(command_line));
  list.push_back(serve_command());
  list.push_back(enqueue_command());
  list.push_back(work_command());
  list.push_back(collect_command());
  list.push_back(jobs_command());
  list.push_back(simulate_command());
  list.push_back(completion_command());
  return list;
}

}  // namespace sluice::cli
