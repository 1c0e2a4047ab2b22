#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "sluice/usage.hpp"

namespace sluice::server {

/// What the interactive calls of this process have done, by key and model. Pure: takes `now`. Not
/// thread safe: use it on the event loop's thread.
class call_counts {
 public:
  /// Clients choose the names of models. Calls for more models than this are counted under
  /// `other_models`.
  static constexpr std::size_t most_models = 1000;
  static constexpr const char* other_models = "other";

  struct row {
    std::string key;    ///< name of the client's key; empty: the server has no keys
    std::string model;  ///< empty: the request named none
    std::uint64_t in_flight = 0;
    std::uint64_t started = 0;              ///< since the server started
    std::uint64_t started_last_minute = 0;  ///< in the last 60 s
    /// Answers by the first digit of their status, at [1] to [5]; at [0] the calls without an
    /// answer, because the client went away or the answer broke off.
    std::array<std::uint64_t, 6> answers{};
    token_usage tokens;
    usd cost;
    std::uint64_t unpriced = 0;  ///< successful calls whose cost is unknown
  };

  /// A call has begun. The place is valid as long as this object.
  using place = std::size_t;
  place begin(const std::string& key, const std::string& model, time_point now);
  /// The call has ended; `status` of the answer; 0: it was not sent whole.
  void end(place call, int status);
  /// What a successful call has used; nothing: unknown.
  void used(place call, const std::optional<token_usage>& tokens, const std::optional<usd>& cost);

  /// All rows, sorted by key and model.
  std::vector<row> rows(time_point now) const;

 private:
  static constexpr std::size_t seconds = 60;
  struct entry {
    row sums;
    std::array<std::uint32_t, seconds> starts{};  // of each second of the last minute
    std::int64_t second = 0;                      // of the last start
  };
  static void advance(entry& one, time_point now);

  std::map<std::pair<std::string, std::string>, place> places_;
  std::vector<entry> entries_;
};

}  // namespace sluice::server
