#include "server/files_api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/api_objects.hpp"
#include "server/file_form.hpp"
#include "server/json_answer.hpp"
#include "server/object_id.hpp"
#include "server/page_parameters.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr std::size_t piece_size = std::size_t{256} * 1024;
constexpr std::size_t most_files = 10'000;

// Finds the file that the path names. If the key has no such file, refuses the call and returns
// nothing.
asio::awaitable<std::optional<store::file_record>> find_or_refuse(api_parts& parts,
                                                                  const api_call& call) {
  std::optional<store::file_record> found;
  if (is_object_id(call.id, "file-")) {
    found =
        co_await parts.disk.run([&] { return parts.records.find_file(call.client.name, call.id); });
  }
  if (!found) {
    const api_error why = not_found("File", call.id);
    co_await call.refuse(why);
  }
  co_return found;
}

std::string deletion(std::string_view id) {
  const nlohmann::ordered_json object = {{"id", id}, {"object", "file"}, {"deleted", true}};
  return json_text(object);
}

// Parses a form while it arrives, and writes its file to a draft.
asio::awaitable<std::optional<api_error>> receive(api_parts& parts, const api_call& call,
                                                  file_form& form, data_folder::draft& into) {
  std::string bytes;
  const auto write = [&]() -> asio::awaitable<void> {
    co_await parts.disk.run([&] { into.append(bytes); });
    bytes.clear();
  };
  for (;;) {
    const std::string_view piece = co_await call.exchange.read_piece();
    if (piece.empty()) break;
    if (auto refusal = form.feed(piece)) co_return refusal;
    bytes += form.take_bytes();
    if (bytes.size() >= piece_size) co_await write();
  }
  if (auto refusal = form.finish()) co_return refusal;
  co_await write();
  co_return std::nullopt;
}

}  // namespace

asio::awaitable<void> upload_file(api_parts& parts, const api_call& call) {
  const auto type = call.exchange.head().fields.last("Content-Type").value_or("");
  const auto boundary = http_server::multipart_parser::boundary_of(type);
  if (!boundary) {
    const api_error why{.message =
                            "Send the file as multipart/form-data, with the fields 'file' "
                            "and 'purpose'."};
    co_await call.refuse(why);
    co_return;
  }
  file_form form(*boundary, parts.limits);
  const auto draft = co_await parts.disk.run([&] { return parts.folder.new_draft(); });
  if (const auto refusal = co_await receive(parts, call, form, *draft)) {
    co_await call.refuse(*refusal);
    co_return;
  }
  const std::int64_t now = parts.unix_now();
  store::file_record file{new_object_id("file-"),
                          call.client.name,
                          form.filename(),
                          form.purpose(),
                          draft->size(),
                          now,
                          std::nullopt};
  if (form.expires_after_s()) {
    file.expires_at = now + *form.expires_after_s();
  } else if (form.purpose() == "batch") {
    file.expires_at = now + longest_file_life;
  }
  co_await parts.disk.run([&] { parts.folder.add_file(parts.records, *draft, file); });
  const std::string text = json_text(file_object(file));
  co_await call.answer(200, text);
}

asio::awaitable<void> list_files(api_parts& parts, const api_call& call) {
  auto wanted = page_parameters(call, most_files, most_files);
  const auto order = call.parameter("order").value_or("desc");
  if (order != "asc" && order != "desc") {
    wanted = invalid_parameter("order", "Invalid 'order': it must be 'asc' or 'desc'.");
  }
  if (const auto* refusal = std::get_if<api_error>(&wanted)) {
    co_await call.refuse(*refusal);
    co_return;
  }
  const store::file_filter filter{std::get<store::page_request>(wanted),
                                  call.parameter("purpose").value_or(""), order == "asc"};
  const std::string text = co_await parts.disk.run([&] {
    const auto page = parts.records.list_files(call.client.name, filter);
    std::vector<nlohmann::ordered_json> data;
    for (const auto& file : page.records) data.push_back(file_object(file));
    return json_text(list_object(data, page.has_more));
  });
  co_await call.answer(200, text);
}

asio::awaitable<void> show_file(api_parts& parts, const api_call& call) {
  const auto file = co_await find_or_refuse(parts, call);
  if (!file) co_return;
  const std::string text = json_text(file_object(*file));
  co_await call.answer(200, text);
}

asio::awaitable<void> send_file_content(api_parts& parts, const api_call& call) {
  const auto file = co_await find_or_refuse(parts, call);
  if (!file) co_return;
  std::error_code error;
  const auto opened = co_await parts.disk.run([&] {
    parts.folder.fetch(file->id);
    return parts.files.open(parts.folder.file(file->id), file_system::open_as::read_only, error);
  });
  if (!opened) throw store::store_error(open_fault_sentence(parts.folder.file(file->id), error));
  header_fields fields;
  fields.add("Content-Type", "application/octet-stream");
  if (!co_await call.exchange.begin(200, fields, file->bytes)) co_return;
  std::vector<char> piece(piece_size);
  for (std::uint64_t sent = 0; sent < file->bytes;) {
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), file->bytes - sent));
    const std::size_t size =
        co_await parts.disk.run([&] { return opened->read_at(sent, piece.data(), wanted, error); });
    // The connection is closed before the end of the body, so the client sees that the body is too
    // short.
    if (size == 0) throw store::store_error(parts.folder.file(file->id) + ": it cannot be read");
    if (!co_await call.exchange.write({piece.data(), size})) co_return;
    sent += size;
  }
  co_await call.exchange.finish();
}

asio::awaitable<void> delete_file(api_parts& parts, const api_call& call) {
  bool removed = false;
  if (is_object_id(call.id, "file-")) {
    removed = co_await parts.disk.run([&] {
      if (!parts.records.remove_file(call.client.name, call.id)) return false;
      parts.folder.remove_file(call.id);
      return true;
    });
  }
  if (!removed) {
    const api_error why = not_found("File", call.id);
    co_await call.refuse(why);
    co_return;
  }
  const std::string text = deletion(call.id);
  co_await call.answer(200, text);
}

}  // namespace sluice::server
