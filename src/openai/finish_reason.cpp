#include "openai/finish_reason.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

#include "json/members.hpp"
#include "json/same_key.hpp"

namespace sluice::openai {
namespace {

bool is_filled_list(std::string_view value) {
  return value.front() == '[' && value.find_first_not_of(" \t\r\n", 1) != value.size() - 1;
}

std::string text_or_empty(std::string_view value) {
  return json_string(value).value_or(std::string());
}

}  // namespace

bool is_finish_reason(std::string_view text) {
  // KoboldCpp: https://github.com/PowerShell/AIShell/issues/350
  // Gemini: https://ai.google.dev/api/generate-content#FinishReason
  constexpr std::array<std::string_view, 8> none{
      "", "null", "none", "nil", "undefined", "nan", "unspecified", "finishreasonunspecified"};
  std::string letters;
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (std::isspace(c) != 0 || c == '_' || c == '-') continue;
    letters += static_cast<char>(std::tolower(c));
  }
  return std::find(none.begin(), none.end(), letters) == none.end();
}

auto finish_reason_counter::opened(bracket in, member key, char kind) -> bracket {
  const bool in_body = in == bracket::body;
  if (kind == '[') return in_body && key == member::choices ? bracket::choices : bracket::other;
  if (in == bracket::choices) return bracket::choice;
  return in_body && key == member::incomplete_details ? bracket::incomplete_details
                                                      : bracket::other;
}

void finish_reason_counter::on_open(std::size_t depth, char kind) {
  if (depth >= deepest) return;
  brackets_[depth] =
      depth == 0 ? bracket::body : opened(brackets_[depth - 1], members_[depth - 1], kind);
}

auto finish_reason_counter::named(bracket in, std::string_view key) -> member {
  switch (in) {
    case bracket::body:
      if (same_key(key, "choices")) return member::choices;
      if (same_key(key, "data")) return member::data;
      if (same_key(key, "status")) return member::status;
      if (same_key(key, "incomplete_details")) return member::incomplete_details;
      break;
    case bracket::choice:
      if (same_key(key, "finish_reason")) return member::finish_reason;
      break;
    case bracket::incomplete_details:
      if (same_key(key, "reason")) return member::reason;
      break;
    case bracket::choices:
    case bracket::other:
      break;
  }
  return member::other;
}

void finish_reason_counter::on_key(std::size_t depth, std::string_view key) {
  if (depth <= deepest) members_[depth - 1] = named(brackets_[depth - 1], key);
}

void finish_reason_counter::on_value(std::size_t depth, std::string_view value) {
  if (depth > deepest) return;
  switch (members_[depth - 1]) {
    case member::choices:
      has_choices_ = has_choices_ || is_filled_list(value);
      break;
    case member::data:
      if (value.front() == '[') has_data_ = is_filled_list(value);
      break;
    case member::status:
      status_ = text_or_empty(value);
      break;
    case member::finish_reason:
      if (std::string reason = text_or_empty(value); is_finish_reason(reason)) {
        ++counts_[std::move(reason)];
      }
      break;
    case member::reason:
      incomplete_reason_ = text_or_empty(value);
      break;
    case member::incomplete_details:
    case member::other:
      break;
  }
}

std::map<std::string, std::uint64_t> finish_reason_counter::take() {
  if (!has_choices_ && !has_data_ && !status_.empty()) {
    const bool incomplete = status_ == "incomplete" && !incomplete_reason_.empty();
    ++counts_[incomplete ? incomplete_reason_ : status_];
  }
  return std::move(counts_);
}

}  // namespace sluice::openai
