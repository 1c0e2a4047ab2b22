#include "upstream/repeated_failures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace sluice {
namespace {

// Longer words are ids, even without a digit.
constexpr std::size_t longest_word = 24;

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || c == '_' || c == '-';
}

bool is_id(std::string_view word) {
  const bool has_digit = std::any_of(word.begin(), word.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  return has_digit || word.size() > longest_word;
}

// Refusals that may mean an account without money, with a message that is not in the table of
// vendor errors.
bool may_be_the_accounts(const failure& why) {
  const int status = why.http_status;
  return why.code == errc::http_error && !why.model_out && !why.tier_full &&
         (status == 403 || status == 412 || status >= 500);
}

bool is_permanent(const failure& why) {
  return why.kind == failure_class::permanent || why.kind == failure_class::wrong_address;
}

}  // namespace

std::string words_without_ids(const failure& why) {
  std::string text = fmt::format("{} {} ", to_string(why.code), why.http_status);
  const std::string_view message = why.message;
  for (std::size_t i = 0; i < message.size();) {
    if (!is_word_byte(message[i])) {
      text += message[i++];
      continue;
    }
    std::size_t end = i;
    while (end < message.size() && is_word_byte(message[end])) ++end;
    const std::string_view word = message.substr(i, end - i);
    text += is_id(word) ? "#" : word;
    i = end;
  }
  return text;
}

repeated_failures::verdict repeated_failures::failed(std::size_t job, bool job_succeeded,
                                                     std::size_t relay, bool relay_served,
                                                     const failure& why) {
  verdict outcome;
  if (why.goes_on)
    return outcome;  // the relay accepted the request, and its id must be written to the result
  if (!job_succeeded && is_permanent(why)) {
    outcome.in = {rule::job, job};
  } else if (relay_served && may_be_the_accounts(why)) {
    outcome.in = {rule::relay, relay};
  } else {
    return outcome;
  }
  std::string words = words_without_ids(why);
  state& so_far = rows_[outcome.in];
  if (so_far.words != words) {
    so_far = {std::move(words), 0};
    outcome.first = true;
  }
  outcome.count = ++so_far.count;
  outcome.enough =
      outcome.count >= (outcome.in.kept_by == rule::job ? enough_of_job : enough_of_relay);
  return outcome;
}

}  // namespace sluice
