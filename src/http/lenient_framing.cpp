#include "http/lenient_framing.hpp"

#include <algorithm>
#include <boost/algorithm/string/case_conv.hpp>
#include <charconv>
#include <utility>
#include <vector>

#include "base/ascii.hpp"

namespace sluice {
namespace {

// Maximum length of a chunk header or a trailer field.
constexpr std::size_t longest_line = std::size_t{64} * 1024;

/// RFC 9110 §5.6.2
bool is_token(std::string_view text) {
  constexpr std::string_view signs = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           signs.find(c) != std::string_view::npos;
  });
}

std::string without_controls(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if ((c >= 0 && c < ' ' && c != '\t') || c == 0x7f) c = ' ';
  }
  return plain;
}

struct field {
  std::string name;  // in lower case
  std::string value;
};

/// The lines without line ends; folded lines are joined.
std::vector<std::string> lines_of(std::string_view head) {
  std::vector<std::string> lines;
  while (!head.empty()) {
    const std::size_t end = std::min(head.find('\n'), head.size());
    std::string_view line = head.substr(0, end);
    head.remove_prefix(std::min(end + 1, head.size()));
    while (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (lines.size() > 1 && http_white_space.find(line.front()) != std::string_view::npos) {
      lines.back().append(1, ' ').append(trimmed(line, http_white_space));
    } else {
      lines.emplace_back(line);
    }
  }
  return lines;
}

/// Repairs a status line such as "HTTP/1.1  200 OK" or "HTTP/1.1 200".
std::string status_line(std::string_view line) {
  constexpr std::string_view version = "HTTP/1.1";
  if (line.size() < version.size()) return std::string(line);
  const std::string_view status = trimmed(line.substr(version.size()), http_white_space);
  constexpr std::size_t digits = 3;
  std::string text(line.substr(0, version.size()));
  text.append(1, ' ').append(status.substr(0, digits)).append(1, ' ');
  if (status.size() > digits)
    text += without_controls(trimmed(status.substr(digits), http_white_space));
  return text;
}

std::vector<std::string> items_of(std::string_view list) {
  std::vector<std::string> items;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    if (const auto item = trimmed(list.substr(0, end), http_white_space); !item.empty())
      items.emplace_back(item);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return items;
}

/// All Transfer-Encoding and Content-Length fields together: they define where the body ends.
struct framing {
  std::vector<std::string> codings;  // without "chunked"
  bool chunked = false;
  std::vector<std::string> lengths;

  void read(const field& one) {
    for (std::string& item : items_of(one.value)) {
      if (one.name == "content-length") {
        lengths.push_back(std::move(item));
        continue;
      }
      boost::algorithm::to_lower(item);
      if (item == "chunked") {
        chunked = true;
      } else if (item != "identity") {
        codings.push_back(std::move(item));
      }
    }
  }
  std::string lines() const {
    std::string text;
    if (chunked) {
      text = "Transfer-Encoding: ";
      for (const auto& coding : codings) text += coding + ", ";
      return text + "chunked\r\n";
    }
    // Different lengths are kept, so that the parser refuses them.
    for (const auto& length : lengths) {
      if (text.empty() || length != lengths.front()) text += "Content-Length: " + length + "\r\n";
    }
    return text;
  }
};

}  // namespace

std::size_t head_length(std::string_view bytes) {
  for (std::size_t line = bytes.find('\n'); line != std::string_view::npos;
       line = bytes.find('\n', line + 1)) {
    const std::string_view rest = bytes.substr(line + 1);
    if (rest.starts_with('\n')) return line + 2;
    if (rest.starts_with("\r\n")) return line + 3;
  }
  return 0;
}

std::string mended_head(std::string_view head) {
  const std::vector<std::string> lines = lines_of(head);
  if (lines.empty()) return std::string(head);
  std::string text = status_line(lines.front()) + "\r\n";
  framing body;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = trimmed(line.substr(0, colon), http_white_space);
    const std::string value(trimmed(without_controls(line.substr(colon + 1)), http_white_space));
    if (!is_token(name)) continue;
    const field one{boost::algorithm::to_lower_copy(std::string(name)), value};
    if (one.name == "content-length" || one.name == "transfer-encoding") {
      body.read(one);
    } else if (one.name != "connection" && one.name != "proxy-connection") {
      text.append(name).append(": ").append(value).append("\r\n");
    }
  }
  return text + body.lines() + "Connection: close\r\n\r\n";
}

// Reads one line, without its line end.
void lenient_chunks::read(std::string_view line) {
  if (state_ == state::behind) {  // only a line end may follow a chunk
    state_ = line.empty() || line == "\r" ? state::size : state::broken;
    return;
  }
  line = trimmed(line.substr(0, line.find('\r')), http_white_space);
  if (state_ == state::trailer) {
    if (line.empty()) state_ = state::done;
    return;
  }
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
  const std::string_view rest = line.substr(static_cast<std::size_t>(end - line.data()));
  const bool ends = rest.empty() || http_white_space.find(rest.front()) != std::string_view::npos ||
                    rest.front() == ';';
  if (error != std::errc() || !ends) {
    state_ = state::broken;
  } else {
    state_ = left_ > 0 ? state::data : state::trailer;
  }
}

std::size_t lenient_chunks::put(std::string_view bytes,
                                const std::function<void(std::string_view)>& take) {
  std::size_t consumed = 0;
  while (consumed < bytes.size() && !done() && !broken()) {
    std::string_view rest = bytes.substr(consumed);
    if (state_ == state::data) {
      rest = rest.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, rest.size())));
      consumed += rest.size();
      left_ -= rest.size();
      if (left_ == 0) state_ = state::behind;
      take(rest);
      continue;
    }
    const std::size_t end = rest.find('\n');
    line_ += rest.substr(0, end);
    consumed += end == std::string_view::npos ? rest.size() : end + 1;
    if (line_.size() > longest_line) state_ = state::broken;
    if (end != std::string_view::npos) read(std::exchange(line_, {}));
  }
  return consumed;
}

}  // namespace sluice
