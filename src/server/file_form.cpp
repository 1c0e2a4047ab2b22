#include "server/file_form.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "json/text.hpp"

namespace sluice::server {
namespace {

// Makes a text that the store accepts: without NUL and without invalid UTF-8.
std::string storable(std::string text) {
  std::erase(text, '\0');
  return valid_utf8(std::move(text));
}

constexpr std::size_t longest_field = 1024;
constexpr std::size_t longest_filename = 1024;
constexpr std::array<std::string_view, 6> purposes = {"assistants", "batch",     "fine-tune",
                                                      "vision",     "user_data", "evals"};

api_error too_large(std::uint64_t most) {
  return {.status = 413,
          .message = fmt::format("The file is too large: at most {} bytes are allowed.", most),
          .param = "file",
          .code = "file_too_large"};
}

}  // namespace

file_form::file_form(std::string_view boundary, const file_limits& limits)
    : limits_(limits),
      parser_(boundary, {.on_part = [this](const auto& head) { begin_part(head); },
                         .on_bytes = [this](std::string_view piece) { take(piece); },
                         .on_part_end = [this] { in_file_ = false; }}) {}

void file_form::begin_part(const http_server::multipart_parser::part_head& head) {
  in_file_ = head.name == "file" && !has_file_;
  field_ = nullptr;
  if (in_file_) {
    has_file_ = true;
    filename_ = storable(head.filename.value_or(""));
  } else if (head.name == "purpose") {
    field_ = &purpose_;
  } else if (head.name == "expires_after[anchor]") {
    field_ = &anchor_;
  } else if (head.name == "expires_after[seconds]") {
    field_ = &seconds_;
  }
}

void file_form::take(std::string_view piece) {
  if (in_file_) {
    size_ += piece.size();
    // Bytes beyond the limit are not kept: the file will be refused.
    if (size_ <= limits_.most_bytes) bytes_ += piece;
  } else if (field_ != nullptr) {
    too_long_ = too_long_ || field_->size() + piece.size() > longest_field;
    if (!too_long_) *field_ += piece;
  }
}

std::optional<api_error> file_form::check_size() const {
  if (size_ > limits_.most_bytes) return too_large(limits_.most_bytes);
  if (purpose_ == "batch" && size_ > limits_.most_batch_bytes) {
    return too_large(limits_.most_batch_bytes);
  }
  return std::nullopt;
}

std::optional<api_error> file_form::feed(std::string_view piece) {
  if (!parser_.feed(piece)) {
    return api_error{.message = "The form could not be read: " + parser_.fault()};
  }
  return check_size();
}

std::optional<api_error> file_form::check_expiry() {
  if (anchor_.empty() && seconds_.empty()) return std::nullopt;
  std::int64_t seconds = 0;
  const char* const end = seconds_.data() + seconds_.size();
  const auto [stop, error] = std::from_chars(seconds_.data(), end, seconds);
  const bool is_number = error == std::errc{} && stop == end;
  if (anchor_ != "created_at" || !is_number || seconds < shortest_file_life ||
      seconds > longest_file_life) {
    return invalid_parameter(
        "expires_after", fmt::format("Invalid 'expires_after': 'anchor' must be \"created_at\", "
                                     "and 'seconds' from {} to {}.",
                                     shortest_file_life, longest_file_life));
  }
  expires_after_s_ = seconds;
  return std::nullopt;
}

std::optional<api_error> file_form::finish() {
  if (!parser_.finish()) {
    return api_error{.message = "The form could not be read: " + parser_.fault()};
  }
  if (too_long_) return api_error{.message = "A field of the form is too long."};
  if (!has_file_) return missing_parameter("file");
  if (purpose_.empty()) return missing_parameter("purpose");
  if (std::find(purposes.begin(), purposes.end(), purpose_) == purposes.end()) {
    return invalid_parameter("purpose",
                             fmt::format("Invalid value: '{}'. Supported values are: '{}'.",
                                         shortened(purpose_), fmt::join(purposes, "', '")));
  }
  if (filename_.empty()) return invalid_parameter("file", "The file must have a name.");
  if (filename_.size() > longest_filename) {
    return invalid_parameter(
        "file",
        fmt::format("The name of the file is longer than {} bytes. Shorten it.", longest_filename));
  }
  if (purpose_ == "batch" && !filename_.ends_with(".jsonl")) {
    return api_error{.message = "Invalid file format for Batch API. Must be .jsonl"};
  }
  if (auto fault = check_expiry()) return fault;
  return check_size();
}

}  // namespace sluice::server
