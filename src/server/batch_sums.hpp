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

/// What a batch that counts in a sum has done, as the store knows it.
struct summed_batch {
  std::string id;
  std::optional<std::string> model;  ///< nothing: it names several
  store::batch_progress progress;
};

/// All batches of one owner together.
struct batch_sums {
  std::map<store::batch_status, std::uint64_t> by_status;
  store::batch_progress ended;                            ///< of batches that have ended
  std::map<std::string, store::batch_progress> by_model;  ///< of those of `ended` with one model
  std::vector<summed_batch> mixed;  ///< those of `ended` with several models and a success
  std::vector<summed_batch> open;   ///< batches that have not ended
};

/// Goes through all batches of the owner. Blocks. Throws store_error.
batch_sums sum_batches(store::batch_store& records, std::string_view owner);
store::batch_progress& operator+=(store::batch_progress& to, const store::batch_progress& more);

/// The sums of owners, kept for a moment: for a second, or for long enough that all the work takes
/// at most 2 % of the time. Not thread safe: use it on the event loop's thread.
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
