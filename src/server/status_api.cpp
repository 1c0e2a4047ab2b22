#include "server/status_api.hpp"

#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
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

// Opens the error file of a batch. While the batch runs, it is the part that exists so far. Null:
// there is none.
std::unique_ptr<file> open_errors(api_parts& parts, const store::batch_record& batch) {
  std::error_code error;
  const auto open = [&](const std::string& path) {
    return parts.files.open(path, file_system::open_as::read_only, error);
  };
  if (batch.error_file_id) return open(parts.folder.file(*batch.error_file_id));
  return store::has_ended(batch.status) ? nullptr : open(parts.folder.batch_errors(batch.id));
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
    co_await parts.disk.run([&] {
      auto batch = parts.records.find_batch(call.client.name, call.id);
      found = batch.has_value();
      if (!found || !from) return;
      auto opened = open_errors(parts, *batch);
      if (!opened && !batch->error_file_id) {
        // The batch may have ended just now. Then its folder is gone.
        batch = parts.records.find_batch(call.client.name, call.id);
        if (batch) opened = open_errors(parts, *batch);
      }
      if (!opened) {
        page.emplace();
        return;
      }
      std::error_code error;
      page = read_failed_lines(*opened, *from, which.limit, error);
      if (error) throw store::store_error("an error file cannot be read: " + error.message());
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
