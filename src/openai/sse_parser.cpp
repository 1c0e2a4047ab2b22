#include "openai/sse_parser.hpp"

namespace sluice {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace

std::string_view sse_parser::after_byte_order_mark(std::string_view bytes) {
  if (!at_start_) return bytes;
  while (mark_bytes_ < byte_order_mark.size() && !bytes.empty() &&
         bytes.front() == byte_order_mark[mark_bytes_]) {
    bytes.remove_prefix(1);
    ++mark_bytes_;
  }
  if (mark_bytes_ < byte_order_mark.size()) {
    if (bytes.empty()) return bytes;  // not decided yet
    carried_.assign(byte_order_mark.substr(0, mark_bytes_));
  }
  at_start_ = false;
  return bytes;
}

std::string_view sse_parser::after_line_feed(std::string_view bytes) const {
  if (after_cr_ && bytes.starts_with('\n')) bytes.remove_prefix(1);
  return bytes;
}

std::string_view sse_parser::whole_line(std::string_view line) {
  if (carried_.empty()) return line;
  return carried_.append(line);
}

void sse_parser::take_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  std::string_view value;
  if (colon != std::string_view::npos) value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    take_data(value);
  } else if (name == "event") {
    type_.assign(value);
  }
}

void sse_parser::take_data(std::string_view value) {
  if (!has_data_) {
    data_ = value;
    has_data_ = true;
    return;
  }
  if (!joined_in_use_) joined_.assign(data_);
  joined_in_use_ = true;
  joined_ += '\n';
  joined_ += value;
}

void sse_parser::keep(std::string_view rest, bool first_line_is_open) {
  if (first_line_is_open) {
    carried_.append(rest);
    return;
  }
  if (has_data_ && !joined_in_use_) {
    joined_.assign(data_);  // before carried_ changes, since data_ may point into it
    joined_in_use_ = true;
  }
  carried_.assign(rest);
}

void sse_parser::forget_event() {
  type_.clear();
  has_data_ = false;
  joined_in_use_ = false;
}

}  // namespace sluice
