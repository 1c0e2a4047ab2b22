#include "server/failed_lines.hpp"

#include <charconv>
#include <string_view>
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

std::optional<failed_page> read_failed_lines(file& opened, std::uint64_t from, std::size_t limit,
                                             std::error_code& error) {
  failed_page page;
  page.next = from;
  if (from > 0) {
    char before = 0;
    if (opened.read_at(from - 1, &before, 1, error) != 1 || before != '\n') return std::nullopt;
  }
  std::vector<char> block(block_size);
  std::string line;
  bool too_long = false;
  for (std::uint64_t at = from;;) {
    const std::size_t size = opened.read_at(at, block.data(), block.size(), error);
    if (size == 0) return page;
    at += size;
    std::string_view rest(block.data(), size);
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      const std::string_view piece = rest.substr(0, end);
      too_long = too_long || line.size() + piece.size() > longest_line;
      if (!too_long) line += piece;
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
      if (page.lines.size() == limit || at - rest.size() - from > most_bytes) {
        page.has_more = !page.lines.empty();
        if (page.has_more) return page;
      }
      page.lines.push_back(too_long ? failed_line{{}, {}, "line_too_long", {}, {}}
                                    : read_failed_line(line));
      page.next = at - rest.size();
      line.clear();
      too_long = false;
    }
  }
}

}  // namespace sluice::server
