#include "probe/advisory_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "probe/questions.hpp"

namespace sluice::probe {
namespace {

constexpr check_kind questions_kind{
    "questions", weight::advisory,
    "answers to the trade's three questions are those of a weaker model",
    "every model of today knows them, and answers vary"};
constexpr check_kind fields_kind{
    "reply_fields", weight::advisory,
    "replies name another model, or have ids that OpenAI does not give", "all of it can be forged"};

check questions_asked(const evidence& found) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> by_question;
  std::size_t strong = 0;
  std::size_t all = 0;
  for (const observation& one : found.seen) {
    if (one.asked->why != purpose::question || one.first() == nullptr) continue;
    const question* asked = find_question(one.asked->detail);
    if (asked == nullptr) continue;
    const bool good = asked->strong(one.first()->content);
    auto& [times_good, times] = by_question[one.asked->detail];
    ++times;
    ++all;
    if (!good) continue;
    ++times_good;
    ++strong;
  }
  if (all == 0) {
    return skip(questions_kind,
                "the budget did not pay for them, or it is the weaker model that is sold");
  }
  std::string told;
  for (const auto& [name, times] : by_question) {
    told += fmt::format("{}{} {} of {}", told.empty() ? "" : ", ", name, times.first, times.second);
  }
  return judged(questions_kind, 2 * strong >= all, std::move(told));
}

// "gpt-4-0613" for "gpt-4", "gpt-4o" for "openai/gpt-4o".
bool is_same_model(std::string_view told, std::string_view asked) {
  const auto bare = [](std::string_view name) { return name.substr(name.rfind('/') + 1); };
  const std::string_view a = bare(told);
  const std::string_view b = bare(asked);
  if (!a.starts_with(b)) return false;
  const std::string_view rest = a.substr(b.size());
  return rest.empty() || (rest.front() == '-' && rest.size() > 4 &&
                          rest.find_first_not_of("-0123456789") == std::string_view::npos);
}

check fields(const evidence& found) {
  std::size_t all = 0;
  std::size_t good = 0;
  std::string odd;
  for (const observation& one : found.seen) {
    if (!one.answered) continue;
    ++all;
    const bool id = one.id.starts_with("chatcmpl-");
    if (id && is_same_model(one.model, found.sold.model)) {
      ++good;
    } else if (odd.empty()) {
      odd = fmt::format("; one has the model \"{}\" and the id \"{}\"", one.model, one.id);
    }
  }
  if (all == 0) return skip(fields_kind, "nothing was answered");
  return judged(fields_kind, good == all,
                fmt::format("{} of {} replies look as OpenAI's do{}", good, all, odd));
}

}  // namespace

std::vector<check> advisory_checks(const evidence& found) {
  return {questions_asked(found), fields(found)};
}

}  // namespace sluice::probe
