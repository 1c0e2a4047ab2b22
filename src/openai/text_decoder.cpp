#include "openai/text_decoder.hpp"

#include "json/members.hpp"

namespace sluice::openai {
namespace {

constexpr std::size_t escape_bytes = 6;  // \uXXXX

bool is_high_surrogate(std::string_view escape) {
  return escape.size() == escape_bytes && escape[1] == 'u' &&
         (escape[2] == 'd' || escape[2] == 'D') &&
         std::string_view("89abAB").find(escape[3]) != std::string_view::npos;
}

// The longest prefix that does not end inside an escape or between two surrogates.
std::size_t whole_length(std::string_view raw) {
  for (std::size_t at = 0; at < raw.size();) {
    if (raw[at] != '\\') {
      ++at;
      continue;
    }
    if (at + 1 == raw.size()) return at;
    const std::size_t size = raw[at + 1] == 'u' ? escape_bytes : 2;
    if (at + size > raw.size()) return at;
    const bool pair = is_high_surrogate(raw.substr(at, size));
    if (pair && at + 2 * escape_bytes > raw.size() &&
        std::string_view("\\u").starts_with(raw.substr(at + size, 2))) {
      return at;
    }
    at += size;
  }
  return raw.size();
}

}  // namespace

std::string text_decoder::more(std::string_view so_far) {
  if (so_far.size() <= taken_) return {};
  const std::string_view fresh = so_far.substr(taken_);
  const std::string_view whole = fresh.substr(0, whole_length(fresh));
  taken_ += whole.size();
  std::string quoted;
  quoted.reserve(whole.size() + 2);
  quoted.append("\"").append(whole).append("\"");
  return json_string(quoted).value_or(std::string(whole));
}

}  // namespace sluice::openai
