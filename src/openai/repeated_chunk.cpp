#include "openai/repeated_chunk.hpp"

#include <simdjson.h>

#include <algorithm>
#include <functional>

#include "json/plain_prefix.hpp"

namespace sluice::openai {
namespace {

/// The size of the inside of a JSON string that `text` begins with, up to its closing quote.
/// nullopt: the quote is missing, or a control character comes before it.
std::optional<std::size_t> inside_of_string(std::string_view text) {
  std::size_t at = 0;
  for (;;) {
    at += plain_prefix(text.substr(at));
    if (at >= text.size()) return std::nullopt;
    if (text[at] == '"') return at;
    if (text[at] != '\\' || at + 1 >= text.size() ||
        static_cast<unsigned char>(text[at + 1]) < 0x20) {
      return std::nullopt;
    }
    at += 2;
  }
}

bool is_utf8(std::string_view text) {
  const auto is_ascii = [](unsigned char c) { return c < 0x80; };
  return std::all_of(text.begin(), text.end(), is_ascii) ||
         simdjson::validate_utf8(text.data(), text.size());
}

/// Whether `part` is a part of `whole`, not only equal to one.
bool lies_in(std::string_view part, std::string_view whole) {
  const std::less_equal<> not_after;  // compares pointers into different texts, too
  return !part.empty() && not_after(whole.data(), part.data()) &&
         not_after(part.data() + part.size(), whole.data() + whole.size());
}

}  // namespace

void repeated_chunk::remember(std::string_view chunk, std::string_view text,
                              std::string_view filler) {
  forget();
  if (chunk.size() > longest || !lies_in(text, chunk)) return;
  const auto begin = static_cast<std::size_t>(text.data() - chunk.data());
  before_ = chunk.substr(0, begin);
  const std::string_view rest = chunk.substr(begin + text.size());
  if (!lies_in(filler, rest)) {
    between_ = rest;
    return;
  }
  const auto filled = static_cast<std::size_t>(filler.data() - rest.data());
  between_ = rest.substr(0, filled);
  after_ = rest.substr(filled + filler.size());
}

void repeated_chunk::forget() noexcept {
  before_.clear();
  between_.clear();
  after_.clear();
}

std::optional<std::string_view> repeated_chunk::text_of(std::string_view chunk) const {
  if (before_.empty() || !chunk.starts_with(before_)) return std::nullopt;
  chunk.remove_prefix(before_.size());
  const auto size = inside_of_string(chunk);
  if (!size || *size == 0) return std::nullopt;
  const std::string_view text = chunk.substr(0, *size);
  chunk.remove_prefix(*size);
  if (after_.empty()) {
    if (chunk != between_) return std::nullopt;
  } else {
    if (!chunk.starts_with(between_)) return std::nullopt;
    chunk.remove_prefix(between_.size());
    const auto filler = inside_of_string(chunk);
    if (!filler || chunk.substr(*filler) != after_ || !is_utf8(chunk.substr(0, *filler))) {
      return std::nullopt;
    }
  }
  return is_utf8(text) ? std::optional(text) : std::nullopt;
}

}  // namespace sluice::openai
