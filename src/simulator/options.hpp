// What can be set about a simulated relay, and how it is written on a command line.
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

/// A key the relay sells, with a limit and a purse of its own.
struct key {
  std::string secret;
  int rpm = 0;
  std::optional<usd> balance;  ///< empty: unlimited
};

struct options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: any free one
  /// Contents, delays and faults follow from it and from the requests.
  std::uint64_t seed = 1;

  int rpm = 200;  ///< requests per minute; 0: no limit
  limit_mode mode = limit_mode::sliding;

  // Mean times; each varies by up to half of itself.
  std::chrono::nanoseconds ttft{0};  ///< until the first token
  std::chrono::nanoseconds itl{0};   ///< between tokens

  /// Mean length of an answer, each varying by up to half; `max_tokens` in a body cuts it short.
  int tokens = 200;
  fault_profile faults;
  std::optional<usd> balance;  ///< USD left on the account; empty: unlimited
  std::vector<key> keys;       ///< empty: any key is accepted, and all share one account

  software kind = software::new_api;  ///< what answers about accounts and models
  cheat_plan cheat;
  lacking lacks;
  /// Tokens that the prompt of a chat has beyond those of its messages as they are usually counted.
  std::uint64_t chat_overhead = 0;

  /// How long a client may take, once it has begun a request, to send more of it, and to read more
  /// of a reply; then its connection is dropped. Tests make it short.
  std::chrono::nanoseconds patience = std::chrono::minutes(1);

  /// Is told, on the serving thread, why a connection was dropped; it must not wait for anybody.
  std::function<void(const std::string& sentence)> tell = {};
};

/// What `--simulate=PROFILE` stands for: `clean` (150 ms to the first token, 5 ms a token),
/// `faulty` (the same with faults) or `slow` (2 s to the first token). Throws
/// std::invalid_argument.
options profile_options(std::string_view profile);

/// One key a line, `KEY [RPM [BALANCE]]`; `#` begins a comment line. What a line leaves out comes
/// from `defaults`. Throws std::runtime_error that names the file and line, and never a key.
std::vector<key> read_keys(const std::filesystem::path& file, const options& defaults);

}  // namespace sluice::simulator
