#include "probe/questions.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <string>

#include "base/ascii.hpp"

namespace sluice::probe {
namespace {

bool has_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
    return text.find(word) != std::string_view::npos;
  });
}

// "Yesterday's today" is yesterday, and tomorrow is two days after it.
bool knows_the_day(std::string_view answer) {
  return has_one_of(lower_case(answer),
                    {"前天", "day before yesterday", "two days", "2 days", "day after", "past"});
}

bool knows_birds(std::string_view answer) {
  const std::string text = lower_case(answer);
  const bool none = has_one_of(text, {"0", "zero", "none", "no bird", "零", "没有", "一只也"});
  return none && has_one_of(text, {"fly", "flew", "flown", "scare", "startle", "飞", "吓", "惊"});
}

bool knows_the_writer(std::string_view answer) {
  return has_one_of(lower_case(answer),
                    {"同一个人", "同一人", "笔名", "本名", "原名", "same person", "pen name",
                     "pseudonym", "same man", "one person"});
}

constexpr std::array<question, 6> all{{
    {"day-zh", "昨天的当天是明天的什么？", knows_the_day},
    {"day-en", "What is tomorrow in relation to yesterday's today?", knows_the_day},
    {"birds-zh", "树上 9 只鸟，打掉 1 只，还剩几只？", knows_birds},
    {"birds-en", "There are 9 birds on a tree and one is shot. How many are left?", knows_birds},
    {"writer-zh", "鲁迅为什么暴打周树人？", knows_the_writer},
    {"writer-en", "Why did Lu Xun beat up Zhou Shuren?", knows_the_writer},
}};

}  // namespace

std::span<const question> questions() {
  return all;
}

const question* find_question(std::string_view name) {
  const auto* const found =
      std::find_if(all.begin(), all.end(), [&](const question& one) { return one.name == name; });
  return found == all.end() ? nullptr : found;
}

}  // namespace sluice::probe
