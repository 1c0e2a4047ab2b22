#include "cli/settings/cluster_settings.hpp"

#include <fmt/format.h>

#include <iterator>
#include <set>
#include <utility>

#include "base/refuse.hpp"
#include "cluster/postgres_jobs.hpp"
#include "settings/suggestion.hpp"
#include "store/postgres.hpp"
#include "terminal/screen_writer.hpp"

namespace sluice::cli {
namespace {

const char* const group = "Many machines";

constexpr std::uint64_t most_lines_of_a_chunk = 1'000'000;

setting store_flag(std::string& place) {
  return {.name = "store",
          .value = "URL",
          .group = group,
          .short_help = "PostgreSQL database that the machines share",
          .long_help =
              "postgresql://[USER@]HOST[:PORT]/DATABASE. What it does not say comes from a service "
              "file and PG* variables, as for psql; keep the password in ~/.pgpass. The tables are "
              "made and migrated in a schema of their own, sluice.",
          .apply = [&place](const std::string& given) { place = given; },
          .secret = true};
}

setting name_flag(std::string& place) {
  return {.name = "name",
          .value = "NAME",
          .group = group,
          .short_help = "Name of the job in the store",
          .long_help = "Without it, the name is that of the file, without folders and endings.",
          .apply = [&place](const std::string& given) { place = given; },
          .in_config = false};
}

std::vector<setting> with_shared(std::vector<setting> own, run_settings& run,
                                 const std::set<std::string>& names) {
  auto shared = run_flags(run, names);
  own.insert(own.end(), std::make_move_iterator(shared.begin()),
             std::make_move_iterator(shared.end()));
  return own;
}

}  // namespace

std::vector<setting> enqueue_flags(cluster_settings& target) {
  auto table = with_shared(
      {store_flag(target.store),
       name_flag(target.name),
       {.name = "chunk",
        .value = "N",
        .group = group,
        .short_help = "Requests that a worker leases at a time",
        .long_help = "Without it, a chunk is so small that every worker gets some, and has at most "
                     "1,000 requests. A large body makes a chunk smaller.",
        .apply =
            [&target](const std::string& given) {
              target.chunk = parse_count(given, most_lines_of_a_chunk);
              if (target.chunk == 0) throw bad_setting("give 1 or more");
            },
        .in_config = false}},
      target.run,
      {"model", "override-model", "system", "max-tokens", "endpoint", "no-stream", "stream",
       "no-include-usage", "limit", "strict", "max-line-bytes", "budget", "quiet", "color",
       "lang"});
  describe(table, "budget", "Never spend more than this on each job",
           "A hard limit on the cost of a job, whichever workers send its requests. A request "
           "reserves its worst case before it is sent. Enqueue a job again to give it another "
           "budget.");
  return table;
}

std::vector<setting> work_flags(cluster_settings& target) {
  return with_shared(
      {store_flag(target.store),
       {.name = "lease",
        .value = "TIME",
        .group = group,
        .short_help = "How long a silent worker keeps its requests",
        .long_help = "Another worker goes on after this time with the requests of one that does "
                     "not answer. What it had in flight then counts as maybe billed.",
        .default_value = "60s",
        .apply =
            [&target](const std::string& given) {
              target.lease = parse_duration(given);
              if (target.lease < std::chrono::seconds{3}) throw bad_setting("give 3s or more");
            }},
       {.name = "forever",
        .group = group,
        .short_help = "Wait for more jobs when the queue is empty",
        .long_help = "Without it, the worker ends when every request of every job has its result.",
        .apply = [&target](const std::string& on) { target.forever = parse_switch(on); },
        .in_config = false}},
      target.run, {"base-url",      "api-key-file",
                   "header",        "simulate",
                   "relay",         "insecure",
                   "timeout",       "connect-timeout",
                   "idle-timeout",  "first-byte-timeout",
                   "rpm",           "tpm",
                   "concurrency",   "pace",
                   "window-margin", "max-attempts",
                   "max-wait",      "give-up-after",
                   "keep-going",    "grace",
                   "prices",        "price-multiplier",
                   "price-group",   "assume-max-tokens",
                   "tier-default",  "max-response-bytes",
                   "quiet",         "progress",
                   "color",         "lang",
                   "verbose",       "json-log",
                   "log-file"});
}

std::vector<setting> collect_flags(cluster_settings& target) {
  return with_shared({store_flag(target.store), name_flag(target.name)}, target.run,
                     {"output", "output-dir", "mode", "quiet", "color", "lang"});
}

std::vector<setting> jobs_flags(cluster_settings& target) {
  return with_shared(
      {store_flag(target.store),
       {.name = "remove",
        .value = "NAME",
        .group = group,
        .short_help = "Remove this job, with its results",
        .long_help = "What a worker has in flight of it is not stored any more. Collect the job "
                     "before.",
        .apply = [&target](const std::string& given) { target.remove = given; },
        .in_config = false},
       json_flag(target.json)},
      target.run, {"lang"});
}

setting limit_store_flag(std::string& place) {
  setting flag = store_flag(place);
  flag.group = "Limit and retries";
  flag.short_help = "PostgreSQL database through which machines share the limit";
  flag.long_help =
      "postgresql://[USER@]HOST[:PORT]/DATABASE. All runs, workers and servers with the same "
      "store, "
      "relay and key count their requests together, on whichever machine, and --rpm is the limit "
      "of the key. Nothing else of the run is shared; for one job on many machines see "
      "'sluice enqueue'.";
  return flag;
}

std::unique_ptr<cluster::job_store> open_job_store(const std::string& url) {
  if (url.empty()) {
    refuse("name the database that the machines share: --store postgresql://HOST/DATABASE");
  }
  // This is not a bad setting, because that message would show the value, which may contain a
  // password.
  if (!store::is_postgres_url(url)) refuse("--store: give postgresql://HOST/DATABASE");
  try {
    return cluster::open_postgres_jobs(url);
  } catch (const cluster::other_version& fault) {
    refuse(fault.what());
  } catch (const store::store_error& fault) {
    refuse(fault.what());
  }
}

exit_status with_job_store(const cluster_settings& chosen,
                           const std::function<exit_status(cluster::job_store&)>& run) {
  const auto opened = open_job_store(chosen.store);
  try {
    return run(*opened);
  } catch (const cluster::other_version& fault) {
    refuse(fault.what());
  } catch (const store::store_error& fault) {
    standard_error().line(
        fmt::format("sluice: {}; nothing is lost, run the same command again", fault.what()));
    return stopped;
  }
}

cluster::job_record find_named_job(cluster::job_store& store, const std::string& name) {
  if (auto found = store.find_job(name)) return *std::move(found);
  std::vector<std::string> names;
  for (const auto& listed : store.list_jobs()) names.push_back(listed.job.name);
  refuse(
      fmt::format("the store has no job '{}'{}; see sluice jobs", name, did_you_mean(name, names)));
}

}  // namespace sluice::cli
