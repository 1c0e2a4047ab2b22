#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/money.hpp"
#include "store/file_record.hpp"

namespace sluice::store {

/// Thrown if the store cannot be used. `full`: the disk is full.
class store_error : public std::runtime_error {
 public:
  explicit store_error(const std::string& what, bool full = false)
      : std::runtime_error(what), full_(full) {}
  bool full() const noexcept { return full_; }

 private:
  bool full_;
};

/// The status of a batch, with OpenAI's names.
enum class batch_status : std::uint8_t {
  validating,
  failed,  ///< its lines are not valid; nothing was sent
  in_progress,
  finalizing,
  completed,
  expired,
  cancelling,
  cancelled,
};
/// Returns OpenAI's name of the status.
std::string_view name_of(batch_status status) noexcept;
std::optional<batch_status> status_named(std::string_view name) noexcept;
/// Returns whether a batch with this status has ended.
constexpr bool has_ended(batch_status status) noexcept {
  return status == batch_status::failed || status == batch_status::completed ||
         status == batch_status::expired || status == batch_status::cancelled;
}

/// A reason why a batch has failed: one line of its input that is not valid, or the whole input.
struct batch_error {
  std::string code;
  std::string message;
  std::optional<std::string> param;   ///< the member that is not valid
  std::optional<std::uint64_t> line;  ///< 1-based line of the input file

  bool operator==(const batch_error&) const = default;
};

struct batch_counts {
  std::uint64_t total = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;

  bool operator==(const batch_counts&) const = default;
};

struct batch_usage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;  ///< part of the input tokens
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_tokens = 0;  ///< part of the output tokens
  std::int64_t total_tokens = 0;

  bool operator==(const batch_usage&) const = default;
};

/// The results of a batch so far.
struct batch_progress {
  batch_counts counts;
  batch_usage usage;
  usd cost;                    ///< the cost of all results that have a price
  std::uint64_t unpriced = 0;  ///< successful requests without a price
  /// The cost, plus the reservations of attempts with an unknown outcome. It counts for the key's
  /// budget.
  usd spent;

  bool operator==(const batch_progress&) const = default;
};

struct accepted_lines {
  std::uint64_t total = 0;           ///< number of requests
  std::optional<std::string> model;  ///< the model of all requests; nothing if they name several
};

/// How a batch will end. It is decided before its result files are written.
struct finalizing {
  batch_status ending = batch_status::completed;  ///< completed, expired or cancelled
  std::string output_file_id;
  std::string error_file_id;

  bool operator==(const finalizing&) const = default;
};

struct finished_batch {
  batch_progress progress;
  std::optional<file_record> output;  ///< nothing if no request succeeded
  std::optional<file_record> errors;  ///< nothing if no request failed
};

struct batch_record {
  std::string id;     ///< "batch_…"
  std::string owner;  ///< name of the API key to which it belongs
  std::string endpoint;
  std::string input_file_id;
  std::string completion_window;  ///< as the client gave it: "24h"
  batch_status status = batch_status::validating;
  std::optional<std::string> model;
  std::vector<batch_error> errors;
  std::optional<std::string> output_file_id;
  std::optional<std::string> error_file_id;

  // The following times are Unix times.
  std::int64_t created_at = 0;
  std::int64_t expires_at = 0;
  std::optional<std::int64_t> in_progress_at;
  std::optional<std::int64_t> finalizing_at;
  std::optional<std::int64_t> completed_at;
  std::optional<std::int64_t> failed_at;
  std::optional<std::int64_t> expired_at;
  std::optional<std::int64_t> cancelling_at;
  std::optional<std::int64_t> cancelled_at;

  batch_progress progress;
  std::map<std::string, std::string> metadata;
  bool has_metadata = false;  ///< false if the client gave none
  /// In seconds, from the creation of the result files.
  std::optional<std::int64_t> output_expires_after;
  int priority = 0;                     ///< batches with a higher priority are claimed first
  std::string estimate;                 ///< JSON text; empty if there is none
  std::optional<std::string> retry_of;  ///< the batch from which the failed requests come

  /// Set while the batch is finalizing, or cancelling with its end decided: see batch_store.
  std::optional<finalizing> end;

  bool operator==(const batch_record&) const = default;
};

}  // namespace sluice::store
