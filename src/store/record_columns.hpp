#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"
#include "store/record_text.hpp"

namespace sluice::store {

// Maps records to rows of any database. `Into` has put() for each kind of value. `Row` has the
// get…() functions, which read the next column, and damaged(), which throws. Both use the columns
// in the order of these lists.

inline constexpr std::string_view file_columns =
    "id, owner, filename, purpose, bytes, created_at, expires_at";

inline constexpr std::string_view batch_columns =
    "id, owner, endpoint, input_file_id, completion_window, status, model, errors, output_file_id, "
    "error_file_id, created_at, expires_at, in_progress_at, finalizing_at, completed_at, "
    "failed_at, expired_at, cancelling_at, cancelled_at, metadata, output_expires_after, priority, "
    "estimate, retry_of, ending, ending_output_file_id, ending_error_file_id, requests_total, "
    "requests_completed, requests_failed, input_tokens, cached_tokens, output_tokens, "
    "reasoning_tokens, total_tokens, cost, unpriced, spent";

/// The last columns of a batch.
inline constexpr std::string_view progress_columns =
    "requests_total, requests_completed, requests_failed, input_tokens, cached_tokens, "
    "output_tokens, reasoning_tokens, total_tokens, cost, unpriced, spent";

/// Condition for batches that have not ended. The indexes of both schemas use the same text.
inline constexpr std::string_view is_open_batch =
    "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')";

/// Condition for open batches that have nothing left to do but to end, apart from those whose
/// window has ended.
inline constexpr std::string_view is_ending_batch = "status IN ('finalizing', 'cancelling')";

/// The value of a LIMIT for at most this number of records.
inline std::int64_t limit_of(std::size_t most) {
  constexpr std::size_t limit = std::numeric_limits<int>::max();
  return static_cast<std::int64_t>(std::min(most, limit));
}

/// Reads a column with an amount of money.
template <typename Row>
usd get_amount(Row& row) {
  const std::string text = row.get_text();
  const auto amount = usd::parse(text);
  if (!amount) row.damaged(fmt::format("not an amount: {}", text));
  return *amount;
}

template <typename Into>
void put_progress(Into& into, const batch_progress& progress) {
  const auto& [counts, usage, cost, unpriced, spent] = progress;
  into.put(counts.total).put(counts.completed).put(counts.failed);
  into.put(usage.input_tokens).put(usage.cached_tokens).put(usage.output_tokens);
  into.put(usage.reasoning_tokens).put(usage.total_tokens);
  into.put(cost.to_string()).put(unpriced).put(spent.to_string());
}

template <typename Row>
std::uint64_t get_count(Row& row) {
  return static_cast<std::uint64_t>(row.get_number());
}

template <typename Row>
batch_status status_of(Row& row, const std::string& name) {
  const auto status = status_named(name);
  if (!status) row.damaged(fmt::format("unknown status {}", name));
  return *status;
}

template <typename Row>
batch_progress get_progress(Row& row) {
  batch_progress progress;
  auto& [counts, usage, cost, unpriced, spent] = progress;
  counts.total = get_count(row);
  counts.completed = get_count(row);
  counts.failed = get_count(row);
  usage.input_tokens = row.get_number();
  usage.cached_tokens = row.get_number();
  usage.output_tokens = row.get_number();
  usage.reasoning_tokens = row.get_number();
  usage.total_tokens = row.get_number();
  cost = get_amount(row);
  unpriced = get_count(row);
  spent = get_amount(row);
  return progress;
}

template <typename Into>
void put_end(Into& into, const std::optional<finalizing>& end) {
  if (end) {
    into.put(name_of(end->ending)).put(end->output_file_id).put(end->error_file_id);
  } else {
    into.put_null().put_null().put_null();
  }
}

template <typename Row>
std::optional<finalizing> get_end(Row& row) {
  const auto ending = row.get_optional_text();
  auto output = row.get_optional_text();
  auto errors = row.get_optional_text();
  if (!ending) return std::nullopt;
  return finalizing{status_of(row, *ending), std::move(output).value_or(""),
                    std::move(errors).value_or("")};
}

template <typename Into>
void put_file(Into& into, const file_record& file) {
  into.put(file.id).put(file.owner).put(file.filename).put(file.purpose);
  into.put(file.bytes).put(file.created_at).put(file.expires_at);
}

template <typename Row>
file_record get_file(Row& row) {
  file_record file;
  file.id = row.get_text();
  file.owner = row.get_text();
  file.filename = row.get_text();
  file.purpose = row.get_text();
  file.bytes = get_count(row);
  file.created_at = row.get_number();
  file.expires_at = row.get_optional_number();
  return file;
}

template <typename Into>
void put_batch(Into& into, const batch_record& batch) {
  into.put(batch.id).put(batch.owner).put(batch.endpoint).put(batch.input_file_id);
  into.put(batch.completion_window).put(name_of(batch.status)).put(batch.model);
  into.put(errors_text(batch.errors)).put(batch.output_file_id).put(batch.error_file_id);
  into.put(batch.created_at).put(batch.expires_at).put(batch.in_progress_at);
  into.put(batch.finalizing_at).put(batch.completed_at).put(batch.failed_at);
  into.put(batch.expired_at).put(batch.cancelling_at).put(batch.cancelled_at);
  into.put(batch.has_metadata ? std::optional(metadata_text(batch.metadata)) : std::nullopt);
  into.put(batch.output_expires_after).put(batch.priority).put(batch.estimate);
  into.put(batch.retry_of);
  put_end(into, batch.end);
  put_progress(into, batch.progress);
}

template <typename Row>
batch_record get_batch(Row& row) {
  batch_record batch;
  batch.id = row.get_text();
  batch.owner = row.get_text();
  batch.endpoint = row.get_text();
  batch.input_file_id = row.get_text();
  batch.completion_window = row.get_text();
  batch.status = status_of(row, row.get_text());
  batch.model = row.get_optional_text();
  auto errors = read_errors(row.get_text());
  if (!errors) row.damaged(fmt::format("the errors of {}", batch.id));
  batch.errors = *std::move(errors);
  batch.output_file_id = row.get_optional_text();
  batch.error_file_id = row.get_optional_text();
  batch.created_at = row.get_number();
  batch.expires_at = row.get_number();
  batch.in_progress_at = row.get_optional_number();
  batch.finalizing_at = row.get_optional_number();
  batch.completed_at = row.get_optional_number();
  batch.failed_at = row.get_optional_number();
  batch.expired_at = row.get_optional_number();
  batch.cancelling_at = row.get_optional_number();
  batch.cancelled_at = row.get_optional_number();
  if (const auto text = row.get_optional_text()) {
    auto metadata = read_metadata(*text);
    if (!metadata) row.damaged(fmt::format("the metadata of {}", batch.id));
    batch.metadata = *std::move(metadata);
    batch.has_metadata = true;
  }
  batch.output_expires_after = row.get_optional_number();
  batch.priority = static_cast<int>(row.get_number());
  batch.estimate = row.get_text();
  batch.retry_of = row.get_optional_text();
  batch.end = get_end(row);
  batch.progress = get_progress(row);
  return batch;
}

}  // namespace sluice::store
