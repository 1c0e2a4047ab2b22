#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/job.hpp"
#include "sluice/money.hpp"

namespace sluice {

class reply_check;
class shared_limits;

/// How requests start while the rate limit has room: at once, or evenly spread over the minute.
enum class pacing : std::uint8_t { burst, even };

/// How soon a finished line must be synced to disk (fdatasync), not only written to the file.
enum class durability : std::uint8_t { each, second, none };

/// What to do with a stored result whose request has changed since: refuse to start, send the
/// request again, or keep the result.
enum class on_change : std::uint8_t { refuse, redo, keep };

/// What a budget covers: all runs of the jobs so far, or only this run.
enum class budget_scope : std::uint8_t { job, run };

/// How job lines become requests.
struct job_options {
  std::string model;               ///< for lines without a model
  bool override_model = false;     ///< use `model` for every line
  std::string system;              ///< system message for lines without one; empty: none
  std::optional<endpoint> target;  ///< for lines without an endpoint; unset: derived from the body
  bool stream = true;              ///< stream the replies of lines that do not set `stream`
  /// The longest reply, in tokens, of lines that set no limit.
  std::optional<std::int64_t> max_tokens;
  bool include_usage = true;  ///< ask for usage in streams; off for relays that refuse it
  std::uint64_t max_line_bytes = std::uint64_t{64} << 20;
  std::uint64_t limit = 0;  ///< use only the first `limit` requests of each job; 0: all
  bool strict = false;      ///< refuse to start when a line is bad
  /// Send lines with the same endpoint and body once; the others get a copy of the result.
  bool dedup = false;
  /// Send requests whose prompts begin with the same text one after the other. The first one is
  /// sent alone, so that the provider's cache is filled before the others follow.
  bool group_prefixes = false;
  /// What replies must look like; null: every complete reply is accepted.
  std::shared_ptr<const reply_check> expect;
  /// How often a request is sent again because its reply was rejected.
  unsigned max_rejections = 2;
  /// Add the rejected reply and the reason to the conversation when the request is sent again.
  bool tell_why = false;
};

/// Where results go, and what happens to results of earlier runs.
struct output_options {
  std::string directory;    ///< empty: the folder of the job
  std::string output_file;  ///< output path of a single job; empty: JOB.output.jsonl
  durability durable = durability::second;
  bool fresh = false;         ///< move existing files aside and start over
  bool retry_failed = false;  ///< also retry requests that failed permanently
  bool ordered = false;       ///< once a job is complete, sort its lines by their line in the job
  on_change changed = on_change::refuse;
  unsigned mode = 0600;       ///< permissions of new files; results may be private
  std::optional<usd> budget;  ///< hard limit for all jobs together, at the configured prices
  budget_scope scope = budget_scope::job;
  /// With a budget: the length assumed for a reply that has no other upper bound.
  std::optional<std::int64_t> assume_max_tokens;
  /// With a budget: the service tier of requests that name none; empty: standard or priority.
  std::string tier_default;
  bool simulated = false;  ///< results come from the built-in simulator and are marked so
};

/// One relay, and how to connect to it.
struct relay_options {
  std::string base_url = "https://api.openai.com/v1";  ///< with or without the `/v1`
  std::string api_key;                                 ///< sent as a bearer token; never shown
  /// Added to every request; replaces a header of the same name.
  std::vector<std::pair<std::string, std::string>> headers;
  bool insecure = false;  ///< accept any certificate
  std::string proxy;      ///< http://[user:password@]host:port, or socks5h://…
  /// Connections are closed at about this age, so that DNS changes take effect.
  duration connection_age = std::chrono::minutes{2};
  duration connect_timeout = std::chrono::seconds{10};  ///< DNS, TCP and TLS together
  /// Streamed attempts: from the last byte of the request to the first byte of the reply.
  duration first_byte_timeout = std::chrono::seconds{120};
  duration idle_timeout = std::chrono::seconds{60};    ///< between two bytes of a reply
  duration total_timeout = std::chrono::seconds{600};  ///< whole attempt, start to last byte
  /// How long to wait for usage and [DONE] after every choice has ended.
  duration trailer_timeout = std::chrono::seconds{5};
  std::uint64_t max_response_bytes = std::uint64_t{64} << 20;
  /// Memory for all replies in flight, after decompression; at least `max_response_bytes`.
  std::uint64_t max_bytes_in_flight = std::uint64_t{128} << 20;
};

/// How fast to send, and how long to keep retrying.
struct pace_options {
  /// Attempts in any 60 s, as the relay counts them; 0: no limit.
  unsigned requests_per_minute = 200;
  std::uint64_t tokens_per_minute = 0;  ///< tokens in any 60 s; 0: no limit
  /// Folder through which processes share the limit of a key; empty: not shared.
  std::string limit_folder;
  /// The object through which machines share the limit of a key; null: they do not. It must outlive
  /// the engine.
  shared_limits* machines = nullptr;
  unsigned concurrency = 64;  ///< attempts in flight over all jobs; 0: no limit
  /// Room that batch work leaves for interactive calls: this many attempts of each relay's minute,
  /// and of the concurrency.
  unsigned interactive_reserve = 0;
  std::size_t files_of_jobs = 0;  ///< files that the jobs keep open in addition to connections
  pacing pace = pacing::burst;
  /// The longest time a request may take to reach the relay.
  duration window_margin = std::chrono::seconds{1};
  unsigned max_attempts = 5;  ///< attempts for each request; 429s do not count
  duration backoff_base = std::chrono::seconds{1};
  duration backoff_cap = std::chrono::seconds{60};
  /// If a relay asks for a longer wait than this, the run stops, to be resumed later.
  duration max_wait = std::chrono::minutes{10};
  /// Stop if the relay fails for this long without one success.
  duration give_up_after = std::chrono::minutes{10};
  /// Do not stop when many requests in a row fail with the same message.
  bool keep_going = false;
  std::uint64_t seed = 0;  ///< for jitter and ids; 0: a new one each run
};

/// One of several relays, or keys, that share the work of a run.
struct relay_member {
  std::string name;  ///< shown in results, totals and messages; unique
  /// Only base_url, api_key and proxy are its own; an empty api_key means the run's key.
  relay_options relay;
  std::optional<unsigned> requests_per_minute = {};  ///< unset: the run's limit
  unsigned weight = 1;                               ///< its share of the starts
  std::optional<std::string> price_multiplier = {};  ///< unset: the run's multiplier
  /// Model names: from the name in the job to the relay's name.
  std::map<std::string, std::string> models = {};
};

/// All options of a run. Each module takes only the part that it needs.
struct config {
  relay_options relay;
  std::vector<relay_member> pool;  ///< used instead of `relay` unless empty
  pace_options pace;
  job_options job;
  output_options output;
  std::vector<std::string> price_files;  ///< merged into the built-in table, in this order
  std::string price_multiplier = "1";    ///< the relay's group ratio, as a decimal

  /// Throws fatal_error if a value is invalid; the message names the long flag.
  void check() const;
  /// Checks only what is needed to connect to the relays.
  void check_relays() const;

  /// The relays of the run, with the options they inherit. Without a pool: one without a name.
  std::vector<relay_member> relays() const;
};

}  // namespace sluice
