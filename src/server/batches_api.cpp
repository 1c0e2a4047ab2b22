#include "server/batches_api.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/api_objects.hpp"
#include "server/batch_request.hpp"
#include "server/batch_results.hpp"
#include "server/file_form.hpp"
#include "server/object_id.hpp"
#include "server/page_parameters.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr std::size_t most_body_bytes = std::size_t{1} << 20;

// Returns the batch as JSON, with the live counts if it is running here.
std::string as_text(const api_parts& parts, store::batch_record batch) {
  std::string waits;
  if (auto live = parts.runner.live(batch.id); live && !store::has_ended(batch.status)) {
    if (live->counted) batch.progress = live->progress;
    waits = std::move(live->waits);
  }
  return batch_object(batch, waits).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Reads the whole body. If it is too long, refuses the call and returns nothing.
asio::awaitable<std::optional<std::string>> read_body(const api_call& call) {
  std::string body;
  for (;;) {
    const std::string_view piece = co_await call.exchange.read_piece();
    if (piece.empty()) co_return body;
    body += piece;
    if (body.size() > most_body_bytes) {
      const api_error why{.status = 413, .message = "The body of the request is too large."};
      co_await call.refuse(why);
      co_return std::nullopt;
    }
  }
}

asio::awaitable<void> answer_with(const api_parts& parts, const api_call& call,
                                  store::batch_record batch) {
  const std::string text = as_text(parts, std::move(batch));
  co_await call.answer(200, text);
}

// Answers a call that creates a batch: with the new batch, or with the refusal if there is one.
asio::awaitable<void> answer_created(api_parts& parts, const api_call& call,
                                     const std::optional<api_error>& refusal,
                                     const store::batch_record& batch) {
  if (refusal) {
    co_await call.refuse(*refusal);
    co_return;
  }
  parts.runner.wake();
  co_await answer_with(parts, call, batch);
}

asio::awaitable<std::optional<store::batch_record>> find(api_parts& parts, const api_call& call) {
  if (!is_object_id(call.id, "batch_")) co_return std::nullopt;
  auto found =
      co_await parts.disk.run([&] { return parts.records.find_batch(call.client.name, call.id); });
  co_return found;
}

store::batch_record new_batch(const api_call& call, batch_request wanted, std::int64_t now) {
  store::batch_record batch;
  batch.id = new_object_id("batch_");
  batch.owner = call.client.name;
  batch.endpoint = to_string(wanted.target);
  batch.input_file_id = std::move(wanted.input_file_id);
  batch.completion_window = std::move(wanted.completion_window);
  batch.created_at = now;
  batch.expires_at = now + wanted.window_s;
  batch.metadata = std::move(wanted.metadata);
  batch.has_metadata = wanted.has_metadata;
  batch.output_expires_after = wanted.output_expires_after_s;
  batch.priority = wanted.priority;
  return batch;
}

// Returns a new batch with the same settings and another input.
store::batch_record batch_like(const store::batch_record& old, const std::string& input_file_id,
                               std::int64_t now) {
  store::batch_record batch;
  batch.id = new_object_id("batch_");
  batch.owner = old.owner;
  batch.endpoint = old.endpoint;
  batch.input_file_id = input_file_id;
  batch.completion_window = old.completion_window;
  batch.created_at = now;
  batch.expires_at = now + (old.expires_at - old.created_at);
  batch.metadata = old.metadata;
  batch.has_metadata = old.has_metadata;
  batch.output_expires_after = old.output_expires_after;
  batch.priority = old.priority;
  batch.retry_of = old.id;
  return batch;
}

// The error if a file has a record, but no bytes.
store::store_error lost_bytes(const std::string& id) {
  return store::store_error(fmt::format("{}: its bytes are gone", id));
}

// Returns whether the batch is stored, or may be.
bool may_be_stored(api_parts& parts, const store::batch_record& batch) noexcept {
  try {
    return parts.records.find_batch(batch.owner, batch.id).has_value();
  } catch (const store::store_error&) {
    return true;
  }
}

// Links the input file into the batch's folder and stores the batch. Returns false if the input
// file is gone. If the batch is not stored, removes its folder, and also `own_input`, the record of
// an input file that was made for this batch. Blocks.
bool store_batch(api_parts& parts, store::batch_record& batch,
                 const store::file_record* own_input = nullptr) {
  const auto undo = [&]() noexcept {
    try {
      parts.folder.remove_batch(batch.id);
    } catch (const store::store_error&) {
      // The next start removes the folder.
    }
    if (own_input != nullptr) parts.folder.take_back(parts.records, *own_input);
  };
  bool stored = false;
  try {
    if (parts.folder.take_input(batch.input_file_id, batch.id)) {
      batch.estimate = parts.estimate(parts.folder.batch_input(batch.id));
      stored = parts.records.create_batch(batch);
    } else if (parts.records.has_file(batch.input_file_id)) {
      throw lost_bytes(batch.input_file_id);
    }
  } catch (...) {
    if (!may_be_stored(parts, batch)) undo();
    throw;
  }
  if (stored) {
    parts.folder.changed(parts.records);
  } else {
    undo();
  }
  return stored;
}

api_error no_input_file(const std::string& id) {
  api_error why = not_found("File", id);
  why.param = "input_file_id";
  return why;
}

// The status is not 409, because OpenAI's SDKs would try again.
api_error wrong_status(std::string_view what, const store::batch_record& batch) {
  return {.message = fmt::format("Cannot {} a batch with status '{}'.", what,
                                 store::name_of(batch.status))};
}

}  // namespace

asio::awaitable<void> create_batch(api_parts& parts, const api_call& call) {
  const auto body = co_await read_body(call);
  if (!body) co_return;
  auto wanted = read_batch_request(*body);
  if (const auto* refusal = std::get_if<api_error>(&wanted)) {
    co_await call.refuse(*refusal);
    co_return;
  }
  store::batch_record batch =
      new_batch(call, std::get<batch_request>(std::move(wanted)), parts.unix_now());
  std::optional<api_error> refusal;
  co_await parts.disk.run([&] {
    std::optional<store::file_record> input;
    if (is_object_id(batch.input_file_id, "file-")) {
      input = parts.records.find_file(call.client.name, batch.input_file_id);
    }
    if (input && input->purpose != "batch") {
      refusal = invalid_parameter(
          "input_file_id",
          fmt::format("The file has the purpose '{}'. A batch needs one with the purpose 'batch'.",
                      input->purpose));
    } else if (!input || !store_batch(parts, batch)) {
      refusal = no_input_file(batch.input_file_id);
    }
  });
  co_await answer_created(parts, call, refusal, batch);
}

asio::awaitable<void> list_batches(api_parts& parts, const api_call& call) {
  const auto wanted = page_parameters(call, usual_batches, most_batches);
  if (const auto* refusal = std::get_if<api_error>(&wanted)) {
    co_await call.refuse(*refusal);
    co_return;
  }
  const auto page = co_await parts.disk.run([&] {
    return parts.records.list_batches(call.client.name, std::get<store::page_request>(wanted));
  });
  std::vector<nlohmann::ordered_json> data;
  for (const auto& batch : page.records) {
    data.push_back(nlohmann::ordered_json::parse(as_text(parts, batch)));
  }
  const std::string text = list_object(data, page.has_more).dump();
  co_await call.answer(200, text);
}

asio::awaitable<void> show_batch(api_parts& parts, const api_call& call) {
  auto batch = co_await find(parts, call);
  if (!batch) {
    const api_error why = not_found("Batch", call.id);
    co_await call.refuse(why);
    co_return;
  }
  co_await answer_with(parts, call, *std::move(batch));
}

asio::awaitable<void> cancel_batch(api_parts& parts, const api_call& call) {
  std::optional<store::batch_record> batch;
  if (is_object_id(call.id, "batch_")) {
    batch = co_await parts.disk.run(
        [&] { return parts.records.request_cancel(call.client.name, call.id, parts.unix_now()); });
  }
  std::optional<api_error> refusal;
  if (!batch) {
    refusal = not_found("Batch", call.id);
  } else if (batch->status != store::batch_status::cancelling) {
    refusal = wrong_status("cancel", *batch);
  }
  if (refusal) {
    co_await call.refuse(*refusal);
    co_return;
  }
  parts.runner.cancelled(batch->id);
  co_await answer_with(parts, call, *std::move(batch));
}

asio::awaitable<void> retry_batch(api_parts& parts, const api_call& call) {
  const auto old = co_await find(parts, call);
  std::optional<api_error> refusal;
  if (!old) {
    refusal = not_found("Batch", call.id);
  } else if (!store::has_ended(old->status)) {
    refusal = wrong_status("retry", *old);
  } else if (!old->error_file_id) {
    refusal = api_error{.message = "The batch has no failed requests to send again."};
  }
  if (refusal) {
    co_await call.refuse(*refusal);
    co_return;
  }
  store::batch_record batch;
  co_await parts.disk.run([&] {
    const auto input = parts.records.find_file(call.client.name, old->input_file_id);
    const auto errors = parts.records.find_file(call.client.name, *old->error_file_id);
    if (!input || !errors) {
      refusal = no_input_file(input ? *old->error_file_id : old->input_file_id);
      return;
    }
    const auto draft = parts.folder.new_draft();
    for (const auto& id : {input->id, errors->id}) {
      if (parts.folder.fetch(id)) continue;
      if (parts.records.has_file(id)) throw lost_bytes(id);
      refusal = no_input_file(id);
      return;
    }
    copy_failed_lines(parts.folder.file(input->id), parts.folder.file(errors->id), *draft);
    const std::int64_t now = parts.unix_now();
    const store::file_record file{new_object_id("file-"),
                                  call.client.name,
                                  fmt::format("retry_of_{}.jsonl", old->id),
                                  "batch",
                                  draft->size(),
                                  now,
                                  now + longest_file_life};
    parts.folder.add_file(parts.records, *draft, file);
    batch = batch_like(*old, file.id, now);
    if (!store_batch(parts, batch, &file)) refusal = no_input_file(file.id);
  });
  co_await answer_created(parts, call, refusal, batch);
}

}  // namespace sluice::server
