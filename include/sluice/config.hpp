#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"

namespace sluice {

/// When the window has room, send at once, or spread the starts evenly over the minute?
enum class pacing : std::uint8_t { burst, even };

/// How soon a finished line must have reached the disk itself, not only the file.
enum class durability : std::uint8_t { each, second, none };

/// What becomes of a result whose request is no longer what it was sent for: the run does not
/// start, the result makes room for a new one, or it stands as it is.
enum class on_change : std::uint8_t { refuse, redo, keep };

/// How far back a budget counts: the whole life of the jobs, or this run alone.
enum class budget_scope : std::uint8_t { job, run };

/// How job lines become requests.
struct job_options {
  std::string model;               ///< for lines that name none
  bool override_model = false;     ///< `model` for every line
  std::string system;              ///< system message for lines that have none; empty: none
  std::optional<endpoint> target;  ///< for lines that name none; unset: told from the body
  bool stream = true;              ///< ask for streamed replies where a line does not say
  bool include_usage = true;       ///< ask streams for their usage; off for relays that refuse it
  std::uint64_t max_line_bytes = std::uint64_t{64} << 20;
  std::uint64_t limit = 0;  ///< only the first so many requests of each job; 0: all
  bool strict = false;      ///< refuse to start when a line is bad
};

/// Where results go and what happens to those that are there already.
struct output_options {
  std::string directory;    ///< empty: beside the job
  std::string output_file;  ///< names the output of a single job; empty: JOB.output.jsonl
  durability durable = durability::second;
  bool fresh = false;         ///< move what is there aside and start over
  bool retry_failed = false;  ///< also try again what failed for good
  on_change changed = on_change::refuse;
  unsigned mode =
      0600;  ///< of the files that are made: they may hold what only their owner should see
  std::optional<usd> budget;  ///< hard stop over all jobs together, at the configured prices
  budget_scope scope = budget_scope::job;
  std::optional<std::int64_t>
      assume_max_tokens;   ///< under a budget: of a reply whose length nothing else bounds
  bool simulated = false;  ///< results come from the built-in simulator and say so
};

/// The relay and the way there.
struct relay_options {
  std::string base_url = "https://api.openai.com/v1";  ///< with or without the `/v1`
  std::string api_key;                                 ///< sent as a bearer token; never shown
  std::vector<std::pair<std::string, std::string>>
      headers;            ///< added to every request, or in place of one of the same name
  bool insecure = false;  ///< takes any certificate
  std::string proxy;      ///< on the way: http://[user:password@]host:port, or socks5h://…
  duration connection_age = std::chrono::minutes{
      2};  ///< about so long one connection is used, so that a change of addresses is followed
  duration connect_timeout = std::chrono::seconds{10};  ///< name, connection and TLS together
  duration first_byte_timeout =
      std::chrono::seconds{120};                       ///< from sent to the first byte, if streamed
  duration idle_timeout = std::chrono::seconds{60};    ///< between two bytes of a reply
  duration total_timeout = std::chrono::seconds{600};  ///< of an attempt, from start to last byte
  duration trailer_timeout =
      std::chrono::seconds{5};  ///< for usage and [DONE] once every choice ended
  std::uint64_t max_response_bytes = std::uint64_t{64} << 20;
  std::uint64_t max_bytes_in_flight = std::uint64_t{128}
                                      << 20;  ///< of all replies on their way together, unpacked;
                                              ///< at least what one may have
};

/// How fast, and how long to keep trying.
struct pace_options {
  unsigned requests_per_minute =
      200;  ///< attempts in any 60 s as the relay counts them; 0: no limit
  std::uint64_t tokens_per_minute = 0;  ///< likewise, of tokens; 0: no limit
  std::string limit_folder;   ///< where processes share the limit of a key; empty: each has its own
  unsigned concurrency = 64;  ///< attempts in flight over all jobs; 0: no limit
  std::size_t files_of_jobs = 0;  ///< open files that the jobs keep beside the connections
  pacing pace = pacing::burst;
  duration window_margin =
      std::chrono::seconds{1};  ///< the longest a request may take to reach the relay
  unsigned max_attempts = 5;    ///< of a request; 429s do not count
  duration backoff_base = std::chrono::seconds{1};
  duration backoff_cap = std::chrono::seconds{60};
  duration max_wait = std::chrono::minutes{10};  ///< a longer hint ends the run: come back later
  duration give_up_after = std::chrono::minutes{10};  ///< of trouble without one success
  /// Failures that read the same for one request after the other end nothing: each is its
  /// request's own.
  bool keep_going = false;
  std::uint64_t seed = 0;  ///< of jitter and ids; 0: a new one each run
};

/// One of several relays, or keys, that share the work of a run.
struct relay_member {
  std::string name;     ///< in results, totals and messages; another for each
  relay_options relay;  ///< its own: base_url, api_key (empty: that of the run) and proxy
  std::optional<unsigned> requests_per_minute = {};  ///< unset: as many as the run's
  unsigned weight = 1;                               ///< its share of the starts
  std::optional<std::string> price_multiplier = {};  ///< unset: that of the run
  std::map<std::string, std::string> models =
      {};  ///< by the job's names: what the relay calls them
};

/// Everything a run can be told. Each part can be used alone by its unit.
struct config {
  relay_options relay;
  std::vector<relay_member> pool;  ///< in the place of `relay`, where there are any
  pace_options pace;
  job_options job;
  output_options output;
  std::vector<std::string> price_files;  ///< each laid over the built-in table
  std::string price_multiplier = "1";    ///< the relay's group ratio, as a decimal

  /// Throws fatal_error when a value cannot be used, naming the long flag that sets it.
  void check() const;
  /// The same, of what is needed to reach the relays at all.
  void check_relays() const;

  /// The relays of the run with all they inherit; one without a name where there is no pool.
  std::vector<relay_member> relays() const;
};

}  // namespace sluice
