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
    "questions", weight::advisory, subject::other,
    "the answers to three well-known trick questions are those of a weaker model",
    "every recent model knows them, and answers vary"};
constexpr check_kind fields_kind{
    "reply_fields", weight::advisory, subject::other,
    "replies name another model, or their ids do not look like those of OpenAI",
    "a relay can forge all of it"};

check trick_questions(const evidence& found) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> by_question;
  std::size_t strong = 0;
  std::size_t all = 0;
  for (const observation& one : found.seen) {
    if (one.request->why != purpose::question || one.first() == nullptr) continue;
    const question* source = find_question(one.request->detail);
    if (source == nullptr) continue;
    const bool good = source->strong(one.first()->content);
    auto& [times_good, times] = by_question[one.request->detail];
    ++times;
    ++all;
    if (!good) continue;
    ++times_good;
    ++strong;
  }
  if (all == 0) {
    return skip(questions_kind,
                "the budget is too small for them, or the claimed model is the weaker one");
  }
  std::string text;
  for (const auto& [name, times] : by_question) {
    text += fmt::format("{}{} {} of {}", text.empty() ? "" : ", ", name, times.first, times.second);
  }
  return judged(questions_kind, 2 * strong >= all, std::move(text));
}

check fields(const evidence& found) {
  std::size_t all = 0;
  std::size_t good = 0;
  std::string example;
  for (const observation& one : found.seen) {
    if (!one.answered) continue;
    ++all;
    const bool id = one.id.starts_with("chatcmpl-");
    if (id && is_same_model(one.model, found.sold.model)) {
      ++good;
    } else if (example.empty()) {
      example = fmt::format("; one has the model \"{}\" and the id \"{}\"", one.model, one.id);
    }
  }
  if (all == 0) return skip(fields_kind, "no request was answered");
  return judged(fields_kind, good == all,
                fmt::format("{} of {} replies look like those of OpenAI{}", good, all, example));
}

}  // namespace

std::vector<check> advisory_checks(const evidence& found) {
  return {trick_questions(found), fields(found)};
}

}  // namespace sluice::probe
