#include "tariff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "support/manual_clock.hpp"

namespace sluice::simulation {
namespace {

// Rates in US cents per million tokens.
struct rates {
  int input;
  int cached;
  int write;
  int output;
  int thinking;
};

constexpr std::int64_t step = 120;  // tokens; a longer prompt has other rates
constexpr rates base{300, 75, 375, 710, 900};
constexpr rates base_above{600, 150, 750, 1100, 1300};
constexpr rates at_peak{620, 140, 800, 1500, 1900};
constexpr rates from_tomorrow{450, 60, 500, 650, 1000};
constexpr rates flex{150, 40, 190, 350, 440};
constexpr rates flex_above{310, 80, 380, 560, 640};
constexpr rates priority{610, 160, 760, 1420, 1810};
constexpr rates priority_above{1210, 310, 1510, 2210, 2610};
constexpr int ultrafast = 3;  // multiple of the standard tier's price

std::string fields(const rates& one) {
  const auto dollars = [](int cents) { return fmt::format("{}.{:02}", cents / 100, cents % 100); };
  return fmt::format(
      R"("input":"{}","cached_input":"{}","cache_write":"{}","output":"{}","output_thinking":"{}")",
      dollars(one.input), dollars(one.cached), dollars(one.write), dollars(one.output),
      dollars(one.thinking));
}

std::string card(const rates& usual, const rates& above) {
  return fmt::format(R"({},"above":[{{"input_tokens":{},{}}}])", fields(usual), step,
                     fields(above));
}

usd sum_at(const rates& one, const token_usage& usage, int times) {
  const std::int64_t plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens;
  const int reply = usage.reasoning_tokens > 0 ? one.thinking : one.output;
  const std::int64_t cents = plain * one.input + usage.cached_tokens * one.cached +
                             usage.cache_write_tokens * one.write + usage.completion_tokens * reply;
  return *usd::parse("0.00000001") * (cents * times);
}

}  // namespace

tariff::tariff(dice random)
    : random_(random),
      greedy_(random_.percent(60)),
      peak_(random_.percent(40)),
      changes_(random_.percent(30)) {
  constexpr int minute_s = 60;
  constexpr int minutes_a_day = 24 * 60;
  const auto now = static_cast<std::int64_t>(test::manual_clock::unix_start) / minute_s;
  const auto today = static_cast<int>(now % minutes_a_day);
  peak_begin_ = today + static_cast<int>(random_.between(-40, 15));
  peak_end_ = peak_begin_ + static_cast<int>(random_.between(30, 60));  // before midnight
}

std::string tariff::price_list() const {
  std::string model = card(base, base_above);
  if (peak_) {
    const auto clock = [](int minute) {
      return fmt::format("{:02}:{:02}", minute / 60, minute % 60);
    };
    model += fmt::format(R"(,"hours":[{{"utc":"{}-{}",{}}}])", clock(peak_begin_), clock(peak_end_),
                         fields(at_peak));
  }
  // manual_clock::unix_start is on 2023-11-14. In time zones to the east, the next day has begun.
  if (changes_) {
    model += fmt::format(R"(,"next":[{{"from":"2023-11-15",{}}}])", fields(from_tomorrow));
  }
  model +=
      fmt::format(R"(,"tiers":{{"flex":{{{}}},"priority":{{{}}},"ultrafast":{{"times":"{}"}}}})",
                  card(flex, flex_above), card(priority, priority_above), ultrafast);
  return fmt::format(R"({{"format":2,"models":{{"m":{{{}}}}}}})", model);
}

std::string tariff::serving_tier(const std::vector<std::string>& asked) {
  const std::string& one = asked[random_.below(asked.size())];
  if (greedy_) {
    const auto dear = [](const std::string& name) {
      return name == "ultrafast" ? 3 : name == "priority" || name == "auto" ? 2 : 1;
    };
    const std::string& dearest =
        *std::max_element(asked.begin(), asked.end(),
                          [&](const auto& a, const auto& b) { return dear(a) < dear(b); });
    if (dearest == "auto") return "priority";
    return dearest == "flex" ? "default" : dearest;  // like a relay that ignores the tier
  }
  if (one == "auto") return random_.percent(50) ? "priority" : "default";
  return random_.percent(20) ? "default" : one;
}

usd tariff::bill(const token_usage& usage, std::string_view tier, double started, double ended) {
  const bool above = usage.prompt_tokens > step;
  if (tier == "flex") return sum_at(above ? flex_above : flex, usage, 1);
  if (tier == "priority") return sum_at(above ? priority_above : priority, usage, 1);
  const int times = tier == "ultrafast" ? ultrafast : 1;
  if (above) return sum_at(base_above, usage, times);
  std::vector<usd> sums{sum_at(base, usage, times)};
  if (changes_) sums.push_back(sum_at(from_tomorrow, usage, times));
  for (const double moment : {started, ended}) {
    const double minute = std::fmod(moment, 86'400) / 60;
    if (peak_ && minute >= peak_begin_ && minute < peak_end_)
      sums.push_back(sum_at(at_peak, usage, times));
  }
  if (greedy_) return *std::max_element(sums.begin(), sums.end());
  return sums[random_.below(sums.size())];
}

}  // namespace sluice::simulation
