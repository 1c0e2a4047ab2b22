#pragma once

#include <string_view>

#include "store/batch_record.hpp"
#include "store/file_record.hpp"
#include "store/sqlite.hpp"

namespace sluice::store {

// How records are stored in rows. The put functions bind, and the get functions read, the columns
// in the order of these lists.

inline constexpr std::string_view file_columns =
    "id, owner, filename, purpose, bytes, created_at, expires_at";
void put_file(sqlite_statement& into, const file_record& file);
file_record get_file(sqlite_statement& row);

inline constexpr std::string_view batch_columns =
    "id, owner, endpoint, input_file_id, completion_window, status, model, errors, output_file_id, "
    "error_file_id, created_at, expires_at, in_progress_at, finalizing_at, completed_at, "
    "failed_at, expired_at, cancelling_at, cancelled_at, metadata, output_expires_after, priority, "
    "estimate, retry_of, ending, ending_output_file_id, ending_error_file_id, requests_total, "
    "requests_completed, requests_failed, input_tokens, cached_tokens, output_tokens, "
    "reasoning_tokens, total_tokens, cost, unpriced, spent";
void put_batch(sqlite_statement& into, const batch_record& batch);
batch_record get_batch(const sqlite_database& database, sqlite_statement& row);

/// The last columns of a batch.
inline constexpr std::string_view progress_columns =
    "requests_total, requests_completed, requests_failed, input_tokens, cached_tokens, "
    "output_tokens, reasoning_tokens, total_tokens, cost, unpriced, spent";
void put_progress(sqlite_statement& into, const batch_progress& progress);

/// Reads a column that holds an amount of money.
usd get_amount(const sqlite_database& database, sqlite_statement& row);

}  // namespace sluice::store
