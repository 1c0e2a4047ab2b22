// The options of a simulated relay, and parsers for their command line forms.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/bill.hpp"
#include "simulator/deal.hpp"
#include "simulator/fault_plan.hpp"
#include "simulator/request_window.hpp"
#include "simulator/software.hpp"

namespace sluice::simulator {

/// An API key of the relay, with its own rate limit and balance.
struct key {
  std::string secret;
  int rpm = 0;
  std::optional<usd> balance;  ///< empty: unlimited
};

/// Which long prompts count as read from the cache.
enum class prompt_cache {
  by_text,  ///< half of them; the text decides, so a bill does not depend on the order of requests
  memory,   ///< those that begin like an earlier prompt for the same model
  none,
};

/// `by-text`, `memory` or `none`; nullopt for other words.
std::optional<prompt_cache> parse_prompt_cache(std::string_view text);

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: any free port
  /// Contents, delays and faults depend only on the seed and the requests.
  std::uint64_t seed = 1;

  int rpm = 200;  ///< requests per minute; 0: no limit
  limit_mode mode = limit_mode::sliding;

  // Mean times. Each actual time differs from its mean by up to half of it.
  std::chrono::nanoseconds ttft{0};  ///< until the first token
  std::chrono::nanoseconds itl{0};   ///< between tokens

  /// Mean length of an answer. A length differs by up to half of it; `max_tokens` limits it.
  int tokens = 200;
  fault_profile faults;
  std::optional<usd> balance;  ///< USD left on the account; empty: unlimited
  std::vector<key> keys;       ///< empty: any key is accepted, and all share one account

  software kind = software::new_api;  ///< the software whose account and model routes it imitates
  cheat_plan cheat;
  missing_features lacks;
  /// Extra tokens in the prompt of every chat, beyond the usual count of its messages.
  std::uint64_t chat_overhead = 0;
  prompt_cache cache = prompt_cache::by_text;

  /// A connection is dropped if its client makes no progress for this time: it sends no more of the
  /// request that it has begun, or reads no more of the reply. Tests make it short.
  std::chrono::nanoseconds patience = std::chrono::minutes(1);

  /// Called on the serving thread with the reason why a connection was dropped. Must not block.
  std::function<void(const std::string& sentence)> tell = {};
};

/// The options for `--simulate=PROFILE`: `clean` (150 ms to the first token, 5 ms per token),
/// `faulty` (the same with faults) or `slow` (2 s to the first token, 20 ms per token). Throws
/// std::invalid_argument.
options profile_options(std::string_view profile);

/// Reads a keys file: one key per line, `KEY [RPM [BALANCE]]`; `#` starts a comment line. Missing
/// values come from `defaults`. Throws std::runtime_error that names the file and the line, but
/// never a key.
std::vector<key> read_keys(const std::filesystem::path& file, const options& defaults);

}  // namespace sluice::simulator
