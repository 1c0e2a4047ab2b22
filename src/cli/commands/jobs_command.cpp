#include "cli/commands/jobs_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/printable.hpp"
#include "cli/screen/screen.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "terminal/standard_output.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

using cluster::job_store;
using nlohmann::ordered_json;

std::string_view state_of(const job_store::listed_job& listed) {
  if (listed.job.finished) return "finished";
  if (!listed.job.ready) return "enqueuing";
  if (listed.workers > 0) return "running";
  if (listed.job.exhausted) return "budget spent";
  return listed.job.started_at ? "waiting" : "queued";
}

template <typename Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json document_of(const std::vector<job_store::listed_job>& jobs) {
  auto list = ordered_json::array();
  for (const auto& [job, sums, leased, open, workers] : jobs) {
    list.push_back(
        {{"name", job.name},
         {"state", state_of({job, sums, leased, open, workers})},
         {"requests", job.lines},
         {"succeeded", sums.succeeded},
         {"failed", sums.failed},
         {"attempts", sums.attempts},
         {"retries", sums.retries},
         {"maybe_billed_attempts", sums.maybe_billed},
         {"cost_usd", sums.cost.to_string()},
         {"budget_usd", job.budget ? ordered_json(job.budget->to_string()) : ordered_json(nullptr)},
         {"spent_usd", job.spent.to_string()},
         {"reserved_usd", job.reserved.to_string()},
         {"simulated", or_null(job.simulated)},
         {"workers", workers},
         {"leased_chunks", leased},
         {"open_chunks", open},
         {"created_at", job.created_at},
         {"started_at", or_null(job.started_at)},
         {"finished_at", or_null(job.finished_at)}});
  }
  return {{"jobs", std::move(list)}};
}

std::string table_of(const std::vector<job_store::listed_job>& jobs) {
  if (jobs.empty()) return "no jobs; put one in with sluice enqueue\n";
  std::vector<std::vector<std::string>> rows{
      {"job", "state", "done", "failed", "cost", "budget", "workers"}};
  for (const auto& listed : jobs) {
    const auto& [job, sums, leased, open, workers] = listed;
    rows.push_back({printable_text(job.name), std::string(state_of(listed)),
                    fmt::format("{}/{}", grouped(sums.succeeded + sums.failed), grouped(job.lines)),
                    grouped(sums.failed), fmt::format("${}", sums.cost.to_string()),
                    job.budget
                        ? fmt::format("${} of ${}", job.spent.to_string(), job.budget->to_string())
                        : "-",
                    fmt::format("{}", workers)});
  }
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  constexpr std::size_t text_columns = 2;  // the other columns are numbers
  std::string lines;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i < text_columns ? fmt::format("{:<{}}  ", row[i], widths[i])
                               : fmt::format("{:>{}}  ", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines += line + "\n";
  }
  return lines;
}

exit_status list_jobs(const cluster_settings& chosen) {
  return with_job_store(chosen, [&](job_store& store) {
    if (!chosen.remove.empty()) {
      store.remove_job(find_named_job(store, chosen.remove).id);
      screen().line(fmt::format("{}: removed", printable_text(chosen.remove)));
      return success;
    }
    const auto jobs = store.list_jobs();
    if (chosen.json) {
      print(document_of(jobs));
    } else {
      print(table_of(jobs));
    }
    return success;
  });
}

}  // namespace

command jobs_command() {
  auto chosen = std::make_shared<cluster_settings>();
  const auto flags = std::make_shared<settings>(jobs_flags(*chosen), run_tables(chosen->run));
  return {
      .name = "jobs",
      .summary = "List the jobs in a PostgreSQL database, with progress and cost",
      .description =
          "One line for each job that was put into the store with 'sluice enqueue': its state, its "
          "finished and failed requests, its cost, and how many workers have some of it. A job is "
          "kept until --remove.",
      .common_flags = {"store", "remove", "json"},
      .exit_statuses = {{0, "listed"}, {2, "cannot start"}, {3, "the database went away"}},
      .examples =
          {"sluice jobs --store postgresql://db.example/sluice",
           "sluice jobs --store postgresql://db.example/sluice --json | jq '.jobs[].state'"},
      .flags = flags,
      .run =
          [chosen, flags] {
            read_settings(*flags, chosen->run);
            return list_jobs(*chosen);
          },
  };
}

}  // namespace sluice::cli
