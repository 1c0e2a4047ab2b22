#pragma once

#include <algorithm>
#include <string_view>
#include <utility>

#include "openai/reply_reader.hpp"

namespace sluice::fuzz {

/// Splits a text into the header lines `name: value` and the part after the blank line.
inline std::pair<openai::reply_head, std::string_view> split_head(std::string_view text) {
  openai::reply_head head;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) break;
    const std::size_t colon = std::min(line.find(": "), line.size());
    const std::string_view value = line.substr(std::min(colon + 2, line.size()));
    if (line.substr(0, colon) == "location") {
      head.location = value;
    } else {
      head.hints[std::string(line.substr(0, colon))] = value;
    }
  }
  return {std::move(head), text};
}

}  // namespace sluice::fuzz
