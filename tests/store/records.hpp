#pragma once

#include <fmt/format.h>

#include <optional>
#include <ostream>
#include <sstream>
#include <string>

#include "store/batch_record.hpp"
#include "store/batch_store.hpp"
#include "store/file_record.hpp"
#include "store/record_text.hpp"

namespace sluice::store {

// How GoogleTest prints records.

inline std::string shown(const std::optional<std::int64_t>& value) {
  return value ? fmt::to_string(*value) : "-";
}
inline void PrintTo(const file_record& file, std::ostream* out) {
  *out << fmt::format("{} of {}: {} {}, {} bytes, {} to {}", file.id, file.owner, file.filename,
                      file.purpose, file.bytes, file.created_at, shown(file.expires_at));
}
inline void PrintTo(const batch_record& batch, std::ostream* out) {
  const auto& [counts, usage, cost, unpriced, spent] = batch.progress;
  *out << fmt::format(
      "{} of {}: {}, input {}, output {}, errors {}, times {} {} {} {} {} {} {} {} {}, counts {} "
      "{} {}, tokens {} {} {} {} {}, cost {} {} {}, {} {}, priority {}, retry of {}, end {}",
      batch.id, batch.owner, name_of(batch.status), batch.input_file_id,
      batch.output_file_id.value_or("-"), batch.error_file_id.value_or("-"), batch.created_at,
      batch.expires_at, shown(batch.in_progress_at), shown(batch.finalizing_at),
      shown(batch.completed_at), shown(batch.failed_at), shown(batch.expired_at),
      shown(batch.cancelling_at), shown(batch.cancelled_at), counts.total, counts.completed,
      counts.failed, usage.input_tokens, usage.cached_tokens, usage.output_tokens,
      usage.reasoning_tokens, usage.total_tokens, cost.to_string(), unpriced, spent.to_string(),
      errors_text(batch.errors), metadata_text(batch.metadata), batch.priority,
      batch.retry_of.value_or("-"), batch.end ? name_of(batch.end->ending) : "-");
}

/// An uploaded file.
inline file_record input_file(std::string owner, std::string id, std::int64_t created_at = 100) {
  file_record file;
  file.id = std::move(id);
  file.owner = std::move(owner);
  file.filename = "in.jsonl";
  file.purpose = "batch";
  file.bytes = 7;
  file.created_at = created_at;
  return file;
}

inline file_record result_file(std::string owner, std::string id, std::int64_t created_at = 100) {
  file_record file = input_file(std::move(owner), std::move(id), created_at);
  file.purpose = "batch_output";
  return file;
}

/// A new batch.
inline batch_record new_batch(std::string owner, std::string id, std::string input_file_id,
                              std::int64_t created_at = 100) {
  batch_record batch;
  batch.id = std::move(id);
  batch.owner = std::move(owner);
  batch.endpoint = "/v1/chat/completions";
  batch.input_file_id = std::move(input_file_id);
  batch.completion_window = "24h";
  batch.created_at = created_at;
  batch.expires_at = created_at + 86'400;
  return batch;
}

/// A progress with a different value in each field.
inline batch_progress some_progress(std::int64_t first = 1) {
  const auto count = static_cast<std::uint64_t>(first);
  batch_progress progress;
  progress.counts = {count + 10, count + 1, count + 2};
  progress.usage = {first + 3, first + 4, first + 5, first + 6, first + 7};
  progress.cost = *usd::parse("0.000000000000000001") * first;
  progress.unpriced = count + 8;
  progress.spent = *usd::parse("12345678901234567.000000000000000001") * first;
  return progress;
}

/// A batch with a different value in each field.
inline batch_record whole_batch(std::string owner, std::string id, std::string input_file_id) {
  batch_record batch = new_batch(std::move(owner), std::move(id), std::move(input_file_id));
  batch.model = "gpt-x";
  batch.errors = {{"empty_batch", "No \"lines\"\n\xc3\xa9", std::nullopt, std::nullopt},
                  {"bad_line", "", "body.model", 18'446'744'073'709'551'615U}};
  batch.output_file_id = "file-out";
  batch.error_file_id = "file-err";
  batch.in_progress_at = 101;
  batch.finalizing_at = 102;
  batch.completed_at = 103;
  batch.failed_at = 104;
  batch.expired_at = 105;
  batch.cancelling_at = 106;
  batch.cancelled_at = 107;
  batch.progress = some_progress();
  batch.metadata = {{"", "empty key"}, {"a \"key\"", "tab\t, \xe4\xb8\xad\xe6\x96\x87"}};
  batch.has_metadata = true;
  batch.output_expires_after = 108;
  batch.priority = -5;
  batch.estimate = R"({"cost_usd":"1.5"})";
  batch.retry_of = "batch_before";
  batch.end = finalizing{batch_status::expired, "file-1o", "file-1e"};
  return batch;
}

/// The records of alice and bob in a store, as text. Shows claims up to `last_epoch`.
inline std::string dump(batch_store& store, std::uint64_t last_epoch = 3) {
  std::ostringstream out;
  for (const char* owner : {"alice", "bob"}) {
    for (const file_record& file : store.list_files(owner, {{9'999, ""}, "", false}).records) {
      PrintTo(file, &out);
      out << '\n';
    }
    for (const batch_record& batch : store.list_batches(owner, {9'999, ""}).records) {
      PrintTo(batch, &out);
      for (std::uint64_t epoch = 1; epoch <= last_epoch; ++epoch) {
        if (store.claimed({batch.id, epoch})) out << ", claimed " << epoch;
      }
      out << '\n';
    }
    out << owner << "'s calls cost " << store.add_call_spend(owner, {}).to_string() << '\n';
  }
  return out.str();
}

}  // namespace sluice::store
