#include "server/failed_lines.hpp"

#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t block_size = std::size_t{64} * 1024;
constexpr std::size_t longest_line = std::size_t{1} << 20;
constexpr std::uint64_t most_bytes = std::uint64_t{8} << 20;  // limit for one page
constexpr std::size_t longest_message = 2000;
constexpr std::size_t longest_id = 600;

std::string cut(std::string_view text, std::size_t longest) {
  if (text.size() <= longest) return std::string(text);
  return std::string(utf8_prefix(text, longest)) + "…";
}

std::string text_of(const json_object& fields, std::string_view name) {
  return fields.text(name).value_or("");
}

// Returns the message in a relay's error body. It accepts every form that relays use.
std::string message_of(std::string_view body) {
  const json_object fields(body);
  for (const json_object& place : {fields.object("error"), fields}) {
    if (const auto message = place.text("message")) return *message;
  }
  return fields.text("error").value_or(json_string(body).value_or(std::string(body)));
}

}  // namespace

failed_line read_failed_line(std::string_view text) {
  const json_object fields = json_object::parse(text);
  const json_object error = fields.object("error");
  const json_object response = fields.object("response");
  const json_object known = fields.object("sluice");
  failed_line one;
  one.custom_id = cut(text_of(fields, "custom_id"), longest_id);
  if (error.is_object()) {
    one.code = text_of(error, "code");
    one.message = text_of(error, "message");
  } else if (response.is_object()) {
    one.code = response.value("status_code");
    one.message = message_of(response.value("body"));
  }
  one.code = cut(one.code, longest_id);
  one.message = cut(one.message, longest_message);
  one.model = known.text("model");
  const std::string_view number = known.value("line");
  std::uint64_t line = 0;
  const auto [end, fault] = std::from_chars(number.data(), number.data() + number.size(), line);
  if (!number.empty() && fault == std::errc{}) one.line = line;
  return one;
}

failed_lines_reader::failed_lines_reader(std::uint64_t from, std::size_t limit)
    : from_(from), limit_(limit), at_(from > 0 ? from - 1 : 0), begun_(from == 0) {
  page_.next = from;
}

bool failed_lines_reader::take(std::uint64_t position, std::string_view bytes) {
  if (ended_) return false;
  if (position + bytes.size() <= at_) return true;
  bytes.remove_prefix(static_cast<std::size_t>(at_ - position));
  if (!begun_) {
    ended_ = bytes.front() != '\n';
    if (ended_) return false;
    begun_ = true;
    bytes.remove_prefix(1);
    ++at_;
  }
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    at_ += piece.size();
    too_long_ = too_long_ || line_.size() + piece.size() > longest_line;
    if (!too_long_) line_ += piece;
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    ++at_;
    if (!end_line()) return false;
  }
  return true;
}

// Adds the line that ends at the current position, unless the page is complete.
bool failed_lines_reader::end_line() {
  if (page_.lines.size() == limit_ || at_ - from_ > most_bytes) {
    page_.has_more = !page_.lines.empty();
    ended_ = page_.has_more;
    if (ended_) return false;
  }
  page_.lines.push_back(too_long_ ? failed_line{{}, {}, "line_too_long", {}, {}}
                                  : read_failed_line(line_));
  page_.next = at_;
  line_.clear();
  too_long_ = false;
  return true;
}

std::optional<failed_page> failed_lines_reader::page() && {
  return begun_ ? std::optional(std::move(page_)) : std::nullopt;
}

std::optional<failed_page> read_failed_lines(file& opened, std::uint64_t from, std::size_t limit,
                                             std::error_code& error) {
  failed_lines_reader reader(from, limit);
  std::vector<char> block(block_size);
  for (std::size_t size = 1; size > 0;) {
    const std::uint64_t at = reader.needs();
    size = opened.read_at(at, block.data(), block.size(), error);
    if (!reader.take(at, {block.data(), size})) break;
  }
  return std::move(reader).page();
}

}  // namespace sluice::server
