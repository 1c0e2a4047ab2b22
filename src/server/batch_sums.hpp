#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/background.hpp"
#include "sluice/clock.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

/// One batch of a sum: its model and its results, as stored.
struct summed_batch {
  std::string id;
  std::optional<std::string> model;  ///< nothing if the batch has several models
  store::batch_progress progress;
};

/// All batches of one owner together.
struct batch_sums {
  std::map<store::batch_status, std::uint64_t> by_status;
  store::batch_progress ended;  ///< sum of the batches that have ended
  /// The batches in `ended` that have one model.
  std::map<std::string, store::batch_progress> by_model;
  /// The batches in `ended` with several models and at least one success.
  std::vector<summed_batch> mixed;
  std::vector<summed_batch> open;  ///< batches that have not ended
};

/// Reads all batches of the owner. Blocks. Throws store_error.
batch_sums sum_batches(store::batch_store& records, std::string_view owner);
store::batch_progress& operator+=(store::batch_progress& to, const store::batch_progress& more);

/// Caches the sums of owners. An entry stays valid for at least one second, and long enough that
/// computing it takes at most 2 % of the time. Not thread safe: use it on the event loop's thread.
class kept_sums {
 public:
  /// All references must outlive it.
  kept_sums(background& disk, store::batch_store& records, clock& time)
      : disk_(disk), records_(records), time_(time) {}
  /// Throws store_error.
  boost::asio::awaitable<batch_sums> of(std::string owner);

 private:
  struct entry {
    std::optional<batch_sums> sums;
    time_point good_until{};
    bool being_made = false;
  };

  background& disk_;
  store::batch_store& records_;
  clock& time_;
  std::map<std::string, entry, std::less<>> entries_;
};

}  // namespace sluice::server
