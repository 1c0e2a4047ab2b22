#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/job.hpp"

namespace sluice {

/// Names the opening of a prompt: equal for two requests that a provider's prompt cache may serve
/// from the same entry. It covers endpoint, model and the first opening_bytes of tools,
/// instructions and messages as they are written. 0: the prompt is too short to be cached. Pure.
std::uint64_t opening_of(const request& asked);
/// Providers cache no opening below 1,024 tokens, and hardly any token is shorter than two bytes.
inline constexpr std::size_t opening_bytes = 2048;

/// A request of a job file.
struct placed_request {
  std::uint64_t opening = 0;  ///< see opening_of()
  std::uint64_t line = 0;
  std::uint64_t offset = 0;  ///< of the line, in bytes
};

/// Decides in which order the requests of a job are sent so that the provider's prompt cache is
/// written once for each opening and then read: requests with the same opening form a group, the
/// first of a group is its leader, and the others are given only once the leader has its result.
/// Groups follow each other in the order of their first lines. While few requests are ready,
/// leaders of further groups are given, so that no start of the rate limit is lost to waiting.
///
/// Takes 24 bytes a request and 16 a group. Pure: takes `now`. Not thread safe.
class prefix_groups {
 public:
  /// The next leader is given when fewer requests than this are ready or soon will be.
  static constexpr std::uint64_t enough_ready = 64;
  /// A leader that runs for longer does not hold back the others: its reply is long, and the cache
  /// is written when the reply begins.
  static constexpr duration longest_wait = std::chrono::seconds{60};

  void add(const placed_request& next) { requests_.push_back(next); }
  /// All have been added.
  void arrange();

  struct wait {
    time_point until;  ///< or until a leader's result comes
  };
  struct end {};
  using turn = std::variant<placed_request, wait, end>;
  turn next(time_point now);

  /// An attempt of the request of that line began, or it has its result; of requests that are no
  /// leaders, nothing happens.
  void started(std::uint64_t line, time_point now);
  void ended(std::uint64_t line);
  /// Whether the group of that leader waits for it.
  bool is_awaited(std::uint64_t line) const { return warming_.contains(line); }

  /// Up to `count` requests that were not given yet, spread over the rest. next() gives them all
  /// the same.
  std::vector<placed_request> ahead(std::size_t count) const;

 private:
  struct group {
    std::uint64_t begin = 0;  // in requests_
    std::uint64_t count = 0;
  };
  // A group whose leader has been given.
  struct open_group {
    std::uint64_t next = 0;  // in requests_
    std::uint64_t end = 0;

    std::uint64_t left() const noexcept { return end - next; }
  };
  struct warming_group {
    open_group rest;
    time_point given;
    std::optional<time_point> started;
  };

  void make_ready(std::map<std::uint64_t, warming_group>::iterator leader);
  void let_go(time_point now);
  std::uint64_t soon_ready(time_point now) const;
  placed_request give_leader(time_point now);

  std::vector<placed_request> requests_;  // by opening, then by line
  std::vector<group> groups_;             // by their first lines
  std::size_t next_group_ = 0;
  std::map<std::uint64_t, warming_group> warming_;  // by the leader's line
  std::deque<open_group> ready_;
  std::uint64_t ready_count_ = 0;
};

}  // namespace sluice
