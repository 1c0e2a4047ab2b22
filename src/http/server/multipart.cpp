#include "http/server/multipart.hpp"

#include <algorithm>
#include <boost/algorithm/string/predicate.hpp>
#include <cstring>
#include <utility>

#include "base/ascii.hpp"

namespace sluice::http_server {
namespace {

constexpr std::string_view crlf = "\r\n";
constexpr std::size_t longest_boundary = 70;  // RFC 2046, 5.1.1

std::size_t find(std::string_view text, std::string_view what, std::size_t from = 0) {
  if (from >= text.size()) return std::string_view::npos;
  const void* at = ::memmem(text.data() + from, text.size() - from, what.data(), what.size());
  return at == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

// Takes a token or a quoted string from the start of `text`. In a quoted string, a backslash
// escapes a quote or a backslash. Before any other character it is a normal character, because some
// browsers send paths with backslashes.
std::optional<std::string> take_value(std::string_view& text) {
  std::string value;
  if (!text.starts_with('"')) {
    const std::size_t end = std::min(text.find(';'), text.size());
    value = trimmed(text.substr(0, end), http_white_space);
    text.remove_prefix(end);
    return value;
  }
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    const bool escape =
        text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\');
    if (escape) ++i;
    value += text[i];
  }
  return std::nullopt;
}

// One parameter of a field value like `form-data; name="file"`.
std::optional<std::string> parameter(std::string_view value, std::string_view name) {
  for (std::size_t semicolon = value.find(';'); semicolon != std::string_view::npos;
       semicolon = value.find(';')) {
    value = trimmed(value.substr(semicolon + 1), http_white_space);
    const std::size_t equal = value.find('=');
    if (equal == std::string_view::npos) return std::nullopt;
    const std::string_view found = trimmed(value.substr(0, equal), http_white_space);
    value = trimmed(value.substr(equal + 1), http_white_space);
    auto text = take_value(value);
    if (!text) return std::nullopt;
    if (boost::algorithm::iequals(found, name)) return text;
  }
  return std::nullopt;
}

// Browsers write a quote and line ends in names as %22, %0D and %0A (HTML standard).
std::string unescaped(std::string name) {
  for (const auto& [code, character] :
       {std::pair{"%22", '"'}, std::pair{"%0D", '\r'}, std::pair{"%0A", '\n'}}) {
    for (std::size_t at = name.find(code); at != std::string::npos; at = name.find(code, at + 1)) {
      name.replace(at, 3, 1, character);
    }
  }
  return name;
}

std::optional<multipart_parser::part_head> read_fields(std::string_view text) {
  multipart_parser::part_head head;
  bool named = false;
  while (!text.empty()) {
    const std::size_t end = std::min(find(text, crlf), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + crlf.size(), text.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const std::string_view name = trimmed(line.substr(0, colon), http_white_space);
    const std::string_view value = trimmed(line.substr(colon + 1), http_white_space);
    if (boost::algorithm::iequals(name, "Content-Disposition")) {
      if (!boost::algorithm::istarts_with(value, "form-data")) return std::nullopt;
      auto field = parameter(value, "name");
      if (!field) return std::nullopt;
      head.name = unescaped(*std::move(field));
      head.filename = parameter(value, "filename");
      if (head.filename) head.filename = unescaped(*std::move(head.filename));
      named = true;
    } else if (boost::algorithm::iequals(name, "Content-Type")) {
      head.content_type = value;
    }
  }
  return named ? std::optional(std::move(head)) : std::nullopt;
}

}  // namespace

std::optional<std::string> multipart_parser::boundary_of(std::string_view content_type) {
  const std::string_view kind =
      trimmed(content_type.substr(0, std::min(content_type.find(';'), content_type.size())),
              http_white_space);
  if (!boost::algorithm::iequals(kind, "multipart/form-data")) return std::nullopt;
  auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > longest_boundary) return std::nullopt;
  const bool plain =
      std::all_of(boundary->begin(), boundary->end(), [](char c) { return c >= ' ' && c <= '~'; });
  return plain && boundary->back() != ' ' ? boundary : std::nullopt;
}

// Starts with a line end in the buffer, so that the parser finds the first boundary like the
// others.
multipart_parser::multipart_parser(std::string_view boundary, receiver to)
    : delimiter_(std::string(crlf) + "--" + std::string(boundary)),
      to_(std::move(to)),
      pending_(crlf) {}

bool multipart_parser::fail(std::string why) {
  fault_ = std::move(why);
  pending_.clear();
  return false;
}

bool multipart_parser::feed(std::string_view piece) {
  if (!fault_.empty()) return false;
  if (state_ == state::epilogue) return true;
  pending_ += piece;
  while (step()) {
  }
  return fault_.empty();
}

bool multipart_parser::finish() {
  if (!fault_.empty()) return false;
  if (state_ == state::epilogue) return true;
  return fail("it ends before the last boundary");
}

// Takes one step. Returns false if it needs more bytes, or if the body has a fault.
bool multipart_parser::step() {
  switch (state_) {
    case state::preamble:
      return skip_preamble();
    case state::after_boundary:
      return read_after_boundary();
    case state::head:
      return read_head();
    case state::content:
      return read_content();
    case state::epilogue:
      pending_.clear();
      return false;
  }
  return false;
}

bool multipart_parser::skip_preamble() {
  const std::size_t at = find(pending_, delimiter_);
  if (at == std::string::npos) {
    const std::size_t keep = std::min(pending_.size(), delimiter_.size() - 1);
    pending_.erase(0, pending_.size() - keep);
    return false;
  }
  pending_.erase(0, at + delimiter_.size());
  state_ = state::after_boundary;
  return true;
}

// Two dashes after a boundary end the body. Otherwise only blanks may stand before the line end.
bool multipart_parser::read_after_boundary() {
  if (pending_.size() >= 2 && pending_.starts_with("--")) {
    state_ = state::epilogue;
    return true;
  }
  const std::size_t end = find(pending_, crlf);
  const std::string_view line = std::string_view(pending_).substr(0, end);
  const bool complete = end != std::string::npos;
  // An incomplete line may already contain the CR of its line end.
  const std::size_t longest = longest_boundary + (complete ? 0 : 1);
  if (line.size() > longest || (complete && !trimmed(line, http_white_space).empty())) {
    return fail("a boundary is not followed by a line end");
  }
  if (end == std::string::npos) return false;
  if (++parts_ > max_parts) return fail("it has too many parts");
  // The line end stays in the buffer. So the empty line after the head is found even if the head is
  // empty.
  pending_.erase(0, end);
  state_ = state::head;
  return true;
}

bool multipart_parser::read_head() {
  constexpr std::string_view end_of_head = "\r\n\r\n";
  const std::size_t end = find(pending_, end_of_head);
  // An incomplete head may already contain the first bytes of "\r\n\r\n".
  const std::size_t longest =
      max_part_head + (end == std::string::npos ? end_of_head.size() - 1 : 0);
  if (std::min(end, pending_.size()) > longest) return fail("the head of a part is too long");
  if (end == std::string::npos) return false;
  const auto fields = std::string_view(pending_).substr(0, end);
  const auto head = read_fields(fields.substr(std::min(crlf.size(), fields.size())));
  if (!head) return fail("the head of a part has no Content-Disposition with a name");
  to_.on_part(*head);
  // The last line end stays in the buffer, because the boundary follows an empty part at once.
  // `to_skip_` keeps it out of the content.
  pending_.erase(0, end + crlf.size());
  to_skip_ = crlf.size();
  state_ = state::content;
  return true;
}

void multipart_parser::give(std::size_t size) {
  const std::size_t skipped = std::min(to_skip_, size);
  to_skip_ -= skipped;
  if (size > skipped) {
    to_.on_bytes(std::string_view(pending_).substr(skipped, size - skipped));
  }
}

bool multipart_parser::read_content() {
  const std::size_t at = find(pending_, delimiter_);
  if (at != std::string::npos) {
    give(at);
    to_.on_part_end();
    pending_.erase(0, at + delimiter_.size());
    state_ = state::after_boundary;
    return true;
  }
  // The last bytes may be the first bytes of a boundary.
  std::size_t keep = std::min(pending_.size(), delimiter_.size() - 1);
  while (keep > 0 &&
         !delimiter_.starts_with(std::string_view(pending_).substr(pending_.size() - keep))) {
    --keep;
  }
  const std::size_t sure = pending_.size() - keep;
  give(sure);
  pending_.erase(0, sure);
  return false;
}

}  // namespace sluice::http_server
