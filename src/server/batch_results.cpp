#include "server/batch_results.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "files/line_reader.hpp"
#include "json/members.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "server/object_id.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t write_size = std::size_t{1} << 20;

void each_line(const std::string& path, const std::function<void(std::string_view)>& visit) {
  line_reader lines(open_bytes(path), std::numeric_limits<std::uint64_t>::max());
  line_reader::line line;
  while (lines.next(line)) visit(line.text);
}

// Returns the custom_id of a line of an input, output or error file; nothing if it has none.
std::optional<std::string> id_of(std::string_view line) {
  const json_object fields = json_object::parse(line);
  const std::string_view value = fields.value("custom_id");
  return value.empty() ? std::nullopt : json_string_wtf8(value);
}

void add_ids(const std::string& path, id_set& ids) {
  if (!std::filesystem::exists(path)) return;
  each_line(path, [&](std::string_view line) {
    if (const auto id = id_of(line)) ids.insert(hash_of(*id));
  });
}

// Collects text and writes it to a file in large pieces.
class buffered_lines {
 public:
  explicit buffered_lines(data_folder::draft& into) : into_(into) {}
  void add(std::string_view line) {
    buffer_ += line;
    buffer_ += '\n';
    if (buffer_.size() >= write_size) flush();
  }
  void flush() {
    into_.append(buffer_);
    buffer_.clear();
  }

 private:
  data_folder::draft& into_;
  std::string buffer_;
};

std::string unsent_line(std::string_view custom_id_json, store::batch_status ending) {
  const bool expired = ending == store::batch_status::expired;
  return fmt::format(
      R"({{"id":"{}","custom_id":{},"response":null,"error":{{"code":"{}","message":"{}"}}}})",
      new_object_id("batch_req_"), custom_id_json, expired ? "batch_expired" : "batch_cancelled",
      expired ? "This request could not be executed before the completion window expired."
              : "This request was not executed because the batch was cancelled.");
}

std::optional<std::uint64_t> size_of(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? std::nullopt : std::optional<std::uint64_t>(size);
}

// Makes the error file of a batch that did not send all its requests. It contains the errors that
// the job wrote, and one line for each request without a result.
void complete_error_file(data_folder& folder, const store::batch_record& batch) {
  id_set answered;
  add_ids(folder.batch_output(batch.id), answered);
  add_ids(folder.batch_errors(batch.id), answered);
  const auto draft = folder.new_draft();
  buffered_lines lines(*draft);
  if (size_of(folder.batch_errors(batch.id))) {
    each_line(folder.batch_errors(batch.id), [&](std::string_view line) { lines.add(line); });
  }
  each_line(folder.batch_input(batch.id), [&](std::string_view line) {
    const json_object fields = json_object::parse(line);
    const std::string_view id = fields.value("custom_id");
    const auto text = id.empty() ? std::nullopt : json_string_wtf8(id);
    if (!text || !answered.insert(hash_of(*text)).second) return;
    lines.add(unsent_line(id, batch.end->ending));
  });
  lines.flush();
  if (draft->size() > 0) draft->publish(batch.end->error_file_id);
}

}  // namespace

result_files_made make_result_files(data_folder& folder, const store::batch_record& batch) {
  const std::string output = folder.file(batch.end->output_file_id);
  const std::string errors = folder.file(batch.end->error_file_id);
  const bool has_output = folder.has_result(batch.end->output_file_id);
  const bool has_errors = folder.has_result(batch.end->error_file_id);
  if (!has_output && size_of(folder.batch_output(batch.id)).value_or(0) > 0) {
    folder.publish_copy(folder.batch_output(batch.id), batch.end->output_file_id);
  }
  if (batch.end->ending != store::batch_status::completed) {
    if (!has_errors) complete_error_file(folder, batch);
  } else if (!has_errors && size_of(folder.batch_errors(batch.id)).value_or(0) > 0) {
    folder.publish_copy(folder.batch_errors(batch.id), batch.end->error_file_id);
  }
  return {size_of(output), size_of(errors)};
}

std::uint64_t copy_failed_lines(const std::string& input, const std::string& errors,
                                data_folder::draft& into) {
  id_set failed;
  add_ids(errors, failed);
  std::uint64_t copied = 0;
  buffered_lines lines(into);
  each_line(input, [&](std::string_view line) {
    const auto id = id_of(line);
    if (!id || failed.find(hash_of(*id)) == nullptr) return;
    lines.add(line);
    ++copied;
  });
  lines.flush();
  return copied;
}

}  // namespace sluice::server
