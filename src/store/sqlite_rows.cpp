#include "store/sqlite_rows.hpp"

#include <fmt/format.h>

#include "store/record_text.hpp"

namespace sluice::store {
namespace {

std::uint64_t get_count(sqlite_statement& row) {
  return static_cast<std::uint64_t>(row.get_number());
}

batch_status status_of(const sqlite_database& database, const std::string& name) {
  const auto status = status_named(name);
  if (!status) database.damaged(fmt::format("unknown status {}", name));
  return *status;
}

batch_progress get_progress(const sqlite_database& database, sqlite_statement& row) {
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
  cost = get_amount(database, row);
  unpriced = get_count(row);
  spent = get_amount(database, row);
  return progress;
}

void put_end(sqlite_statement& into, const std::optional<finalizing>& end) {
  if (end) {
    into.put(name_of(end->ending)).put(end->output_file_id).put(end->error_file_id);
  } else {
    into.put_null().put_null().put_null();
  }
}

std::optional<finalizing> get_end(const sqlite_database& database, sqlite_statement& row) {
  const auto ending = row.get_optional_text();
  auto output = row.get_optional_text();
  auto errors = row.get_optional_text();
  if (!ending) return std::nullopt;
  return finalizing{status_of(database, *ending), std::move(output).value_or(""),
                    std::move(errors).value_or("")};
}

}  // namespace

void put_file(sqlite_statement& into, const file_record& file) {
  into.put(file.id).put(file.owner).put(file.filename).put(file.purpose);
  into.put(file.bytes).put(file.created_at).put(file.expires_at);
}

file_record get_file(sqlite_statement& row) {
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

void put_batch(sqlite_statement& into, const batch_record& batch) {
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

batch_record get_batch(const sqlite_database& database, sqlite_statement& row) {
  batch_record batch;
  batch.id = row.get_text();
  batch.owner = row.get_text();
  batch.endpoint = row.get_text();
  batch.input_file_id = row.get_text();
  batch.completion_window = row.get_text();
  batch.status = status_of(database, row.get_text());
  batch.model = row.get_optional_text();
  auto errors = read_errors(row.get_text());
  if (!errors) database.damaged(fmt::format("the errors of {}", batch.id));
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
    if (!metadata) database.damaged(fmt::format("the metadata of {}", batch.id));
    batch.metadata = *std::move(metadata);
    batch.has_metadata = true;
  }
  batch.output_expires_after = row.get_optional_number();
  batch.priority = static_cast<int>(row.get_number());
  batch.estimate = row.get_text();
  batch.retry_of = row.get_optional_text();
  batch.end = get_end(database, row);
  batch.progress = get_progress(database, row);
  return batch;
}

void put_progress(sqlite_statement& into, const batch_progress& progress) {
  const auto& [counts, usage, cost, unpriced, spent] = progress;
  into.put(counts.total).put(counts.completed).put(counts.failed);
  into.put(usage.input_tokens).put(usage.cached_tokens).put(usage.output_tokens);
  into.put(usage.reasoning_tokens).put(usage.total_tokens);
  into.put(cost.to_string()).put(unpriced).put(spent.to_string());
}

usd get_amount(const sqlite_database& database, sqlite_statement& row) {
  const std::string text = row.get_text();
  const auto amount = usd::parse(text);
  if (!amount) database.damaged(fmt::format("not an amount: {}", text));
  return *amount;
}

}  // namespace sluice::store
