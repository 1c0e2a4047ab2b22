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

/// Identifies the opening of a prompt. It is equal for two requests that a provider's prompt cache
/// may serve from the same entry. It covers the endpoint, the model and the first `opening_bytes`
/// of the tools, instructions and messages as they are written. 0: the prompt is too short to be
/// cached. Pure.
std::uint64_t opening_of(const request& asked);
/// Providers cache no opening below 1,024 tokens, and few tokens are shorter than two bytes.
inline constexpr std::size_t opening_bytes = 2048;

/// A request of a job file.
struct placed_request {
  std::uint64_t opening = 0;  ///< see opening_of()
  std::uint64_t line = 0;
  std::uint64_t offset = 0;  ///< of the line, in bytes
};

/// Decides in which order the requests of a job are sent, so that the provider's prompt cache is
/// written once for each opening and then read. Requests with the same opening form a group. The
/// first request of a group is its leader; the others are given only when the leader has its
/// result. Groups follow each other in the order of their first lines. While few requests are
/// ready, the leaders of further groups are given, so that the rate limit is used fully.
///
/// Uses 24 bytes for each request and 16 for each group. Pure: the caller passes `now`. Not thread
/// safe.
class prefix_groups {
 public:
  /// The next leader is given if fewer requests than this are ready or will be ready soon.
  static constexpr std::uint64_t enough_ready = 64;
  /// The group of a leader that runs for longer is released: the reply is long, but the cache is
  /// written when the reply begins.
  static constexpr duration longest_wait = std::chrono::seconds{60};

  void add(const placed_request& next) { requests_.push_back(next); }
  /// Call it when all requests have been added.
  void arrange();

  struct wait {
    time_point until;  ///< the wait also ends when the result of a leader comes
  };
  struct end {};
  using turn = std::variant<placed_request, wait, end>;
  turn next(time_point now);

  /// An attempt of the request at this line began, or the request has its result. Requests that are
  /// not leaders are ignored.
  void started(std::uint64_t line, time_point now);
  void ended(std::uint64_t line);
  /// Whether the group of this leader still waits for it.
  bool is_awaited(std::uint64_t line) const { return warming_.contains(line); }

  /// Up to `count` requests that were not given yet, spread evenly over the rest. next() will give
  /// them, too.
  std::vector<placed_request> ahead(std::size_t count) const;

 private:
  struct group {
    std::uint64_t begin = 0;  // index into requests_
    std::uint64_t count = 0;
  };
  // A group whose leader has been given.
  struct open_group {
    std::uint64_t next = 0;  // index into requests_
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

  std::vector<placed_request> requests_;  // sorted by opening, then by line
  std::vector<group> groups_;             // in the order of their first lines
  std::size_t next_group_ = 0;
  std::map<std::uint64_t, warming_group> warming_;  // keyed by the leader's line
  std::deque<open_group> ready_;
  std::uint64_t ready_count_ = 0;
};

}  // namespace sluice
