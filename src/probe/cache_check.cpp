#include "probe/cache_check.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace sluice::probe {
namespace {

constexpr check_kind cache_kind{
    "cache", weight::advisory, subject::other,
    "prompts with the same long opening are not reported as read from a cache, or cost the full "
    "price all the same",
    "a cache is never certain: the maker may need a mark in the request or a longer prompt, and "
    "calls may go to several machines or accounts"};

// What the balance shows about the discount.
enum class discount { seen, missing, unclear };

discount discount_of(usd drop, const charges& expected) {
  const auto percent = [](usd amount, int part) {
    return usd::from_units(amount.count() * part / 100);
  };
  // The two prices must differ enough that rounding cannot make one look like the other.
  usd apart = expected.without_discount;
  apart -= expected.cost;
  usd rounding = expected.at_most;
  rounding -= expected.cost;
  if (apart < percent(expected.without_discount, 5) || apart < rounding * 3)
    return discount::unclear;
  // If the drop is much smaller or larger, the relay bills late, or something else used the key.
  const bool plausible =
      drop > percent(expected.cost, 90) && drop < percent(expected.without_discount_at_most, 102);
  if (!plausible) return discount::unclear;
  return drop < expected.cost + percent(apart, 50) ? discount::seen : discount::missing;
}

}  // namespace

check cache_check(const evidence& found) {
  std::size_t answered = 0;
  std::size_t with_usage = 0;
  std::int64_t read = 0;
  std::int64_t repeated = 0;  // tokens of the prompts after the first
  for (const observation& one : found.seen) {
    if (one.request->why != purpose::cache || !one.answered) continue;
    ++answered;
    if (!one.usage) continue;
    ++with_usage;
    read += one.usage->cached_tokens;
    if (with_usage > 1) repeated += one.usage->prompt_tokens;
  }
  if (answered == 0) {
    return skip(cache_kind, found.why_no_cache.empty() ? "none of its prompts was answered"
                                                       : found.why_no_cache);
  }
  if (with_usage < 2) {
    return skip(cache_kind,
                fmt::format("only {} of its prompts was answered with usage", with_usage));
  }
  const auto& drop = found.account.cache_drop;
  const charges& expected = found.account.cache_expected;
  if (read == 0) {
    std::string text = fmt::format(
        "{} prompts with the same opening, and no token was reported as read from a cache",
        answered);
    if (drop && *drop < usd::from_units(expected.cost.count() * 9 / 10)) {
      text += fmt::format("; yet the balance fell by ${} only, where the full price is ${}",
                          drop->to_string(), expected.cost.to_string());
    }
    return judged(cache_kind, false, std::move(text));
  }
  std::string text =
      fmt::format("of {} repeated tokens, {} were reported as read from a cache", repeated, read);
  if (!drop) {
    return judged(cache_kind, true, text + "; no balance shows what they cost");
  }
  const std::string prices = fmt::format(
      "the balance fell by ${}; with the discount they cost ${}, "
      "without it ${}",
      drop->to_string(), expected.cost.to_string(), expected.without_discount.to_string());
  switch (discount_of(*drop, expected)) {
    case discount::seen:
      return judged(cache_kind, true, text + " and discounted: " + prices);
    case discount::missing:
      return judged(cache_kind, false, text + ", but not discounted: " + prices);
    case discount::unclear:
      break;
  }
  return judged(cache_kind, true, text + "; whether they are discounted is not clear: " + prices);
}

}  // namespace sluice::probe
