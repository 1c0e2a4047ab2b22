#include "server/status_api.hpp"

#include <fmt/format.h>

#include <charconv>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "server/failed_lines.hpp"
#include "server/json_answer.hpp"
#include "server/object_id.hpp"
#include "server/page_parameters.hpp"
#include "server/status_report.hpp"

namespace sluice::server {

namespace asio = boost::asio;

namespace {

template <typename Value>
nlohmann::ordered_json or_null(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

nlohmann::ordered_json list_of(const failed_page& page) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (const failed_line& one : page.lines) {
    data.push_back({{"line", or_null(one.line)},
                    {"custom_id", one.custom_id},
                    {"code", one.code},
                    {"message", one.message},
                    {"model", or_null(one.model)}});
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"has_more", page.has_more},
          {"next", page.lines.empty() ? nlohmann::ordered_json()
                                      : nlohmann::ordered_json(std::to_string(page.next))}};
}

std::optional<std::uint64_t> position_in(const std::string& text) {
  std::uint64_t position = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, position);
  return error == std::errc{} && stop == end ? std::optional(position) : std::nullopt;
}

// What a request for failed lines wants.
struct wanted_lines {
  std::uint64_t from = 0;
  std::size_t limit = 0;
  bool runs_here = false;  // this server runs the batch
};

struct found_lines {
  bool has_file = false;  // false: the batch has no error file
  std::optional<failed_page> page;
};

found_lines read_opened(file& opened, const wanted_lines& wanted) {
  std::error_code error;
  found_lines found{true, read_failed_lines(opened, wanted.from, wanted.limit, error)};
  if (error) throw store::store_error("an error file cannot be read: " + error.message());
  return found;
}

// Reads the error file of a batch that has ended. Its bytes may be on another server only.
found_lines read_ended(api_parts& parts, const store::batch_record& batch,
                       const wanted_lines& wanted) {
  const std::string& id = *batch.error_file_id;
  std::error_code error;
  std::unique_ptr<file> opened;
  if (parts.folder.fetch(id)) {
    opened = parts.files.open(parts.folder.file(id), file_system::open_as::read_only, error);
  }
  if (opened) return read_opened(*opened, wanted);
  if (!parts.records.find_file(batch.owner, id)) return {};  // its owner has deleted it
  throw store::store_error(error ? open_fault_sentence(parts.folder.file(id), error)
                                 : fmt::format("{}: its bytes are gone", id));
}

// Reads the error file of a batch that another server runs, as far as that server has stored it.
found_lines read_shared(store::shared_files& shared, const std::string& batch,
                        const wanted_lines& wanted) {
  struct page_is_complete : std::exception {};
  for (const auto& stored : shared.files_of(batch)) {
    if (stored.name != data_folder::errors_name) continue;
    failed_lines_reader reader(wanted.from, wanted.limit);
    std::uint64_t at = 0;
    try {
      shared.read(batch, stored.number, [&](std::string_view piece) {
        if (!reader.take(at, piece)) throw page_is_complete();
        at += piece.size();
      });
    } catch (const page_is_complete&) {
      // The rest of the file is not needed.
    }
    return {true, std::move(reader).page()};
  }
  return {};
}

// While the batch runs, its error file is the part that exists so far.
found_lines read_lines(api_parts& parts, const store::batch_record& batch,
                       const wanted_lines& wanted) {
  if (batch.error_file_id) return read_ended(parts, batch, wanted);
  if (store::has_ended(batch.status)) return {};
  if (parts.folder.shared() != nullptr && !wanted.runs_here) {
    return read_shared(*parts.folder.shared(), batch.id, wanted);
  }
  std::error_code error;
  const std::string path = parts.folder.batch_errors(batch.id);
  const auto opened = parts.files.open(path, file_system::open_as::read_only, error);
  if (opened) return read_opened(*opened, wanted);
  if (error == std::errc::no_such_file_or_directory) return {};
  throw store::store_error(open_fault_sentence(path, error));
}

}  // namespace

asio::awaitable<void> show_status(api_parts& parts, const api_call& call) {
  auto sums = co_await parts.sums.of(call.client.name);
  usd spent_by_calls;
  if (call.client.budget) {
    spent_by_calls = co_await parts.runner.money().taken_by_calls(call.client.name);
  }
  parts.runner.count_now();
  const live_limits limits = parts.sender.limits();
  const status_facts facts{.now = parts.time.now(),
                           .unix_now = parts.time.unix_now(),
                           .client = call.client,
                           .has_keys = !parts.keys.empty(),
                           .runs = parts.sender.now(),
                           .relays = parts.sender.relay_statuses(),
                           .requests_per_minute = parts.sender.requests_per_minute(),
                           .tokens_per_minute = limits.tokens_per_minute,
                           .own = parts.runner.runs_of(call.client.name),
                           .sums = std::move(sums),
                           .figures = parts.figures,
                           .spent_by_calls = spent_by_calls};
  const std::string text = json_text(status_report(facts));
  co_await call.answer(200, text);
}

asio::awaitable<void> list_failed_lines(api_parts& parts, const api_call& call) {
  const auto wanted = page_parameters(call, usual_batches, most_batches);
  if (const auto* refusal = std::get_if<api_error>(&wanted)) {
    co_await call.refuse(*refusal);
    co_return;
  }
  const auto& which = std::get<store::page_request>(wanted);
  const auto from =
      which.after.empty() ? std::optional<std::uint64_t>(0) : position_in(which.after);
  std::optional<failed_page> page;
  bool found = false;
  if (is_object_id(call.id, "batch_")) {
    const wanted_lines lines{from.value_or(0), which.limit, parts.runner.live(call.id).has_value()};
    co_await parts.disk.run([&] {
      auto batch = parts.records.find_batch(call.client.name, call.id);
      found = batch.has_value();
      if (!found || !from) return;
      found_lines read = read_lines(parts, *batch, lines);
      if (!read.has_file && !batch->error_file_id) {
        // The batch may have ended just now. Then its folder is gone.
        batch = parts.records.find_batch(call.client.name, call.id);
        if (batch) read = read_lines(parts, *batch, lines);
      }
      if (read.has_file) {
        page = std::move(read.page);
      } else {
        page.emplace();
      }
    });
  }
  std::optional<api_error> refusal;
  if (!found) {
    refusal = not_found("Batch", call.id);
  } else if (!page) {
    refusal = invalid_parameter(
        "after", "Invalid 'after': take the 'next' of the page before, or start without it.");
  }
  if (refusal) {
    co_await call.refuse(*refusal);
    co_return;
  }
  const std::string text = json_text(list_of(*page));
  co_await call.answer(200, text);
}

}  // namespace sluice::server
