#include "probe/account_checks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

namespace sluice::probe {
namespace {

constexpr check_kind billing_kind{"billing", weight::strong, subject::price,
                                  "the balance fell by more than the price of the reported tokens",
                                  "other use of the same key at the same time lowers it, too"};
constexpr check_kind log_kind{"usage_log", weight::strong, subject::identity,
                              "the relay's own log names another model as the one that served",
                              "a relay may leave this out of its log"};

constexpr std::int64_t tolerance_percent = 2;

check billing(const evidence& found) {
  const account_facts& account = found.account;
  if (!account.drop) return skip(billing_kind, account.why_unknown);
  const auto within = [](usd drop, usd at_most) {
    return drop <= usd::from_units(at_most.count() * (100 + tolerance_percent) / 100);
  };
  usd drop = *account.drop;
  usd expected = account.expected.cost;
  usd at_most = account.expected.at_most;
  usd lost = account.expected.lost;
  bool good = within(drop, at_most);
  // The cache check is not part of the accusation: its tokens may be billed without a discount. A
  // relay may bill calls late, so the calls of the cache check are not judged alone.
  if (account.cache_drop) {
    drop += *account.cache_drop;
    expected += account.cache_expected.cost;
    at_most += account.cache_expected.without_discount_at_most;
    lost += account.cache_expected.lost;
    good = good && within(drop, at_most);
  }
  const std::string compared =
      fmt::format("the balance fell by ${}; the reported tokens cost ${} {}", drop.to_string(),
                  expected.to_string(), account.tariff);
  usd without_lost = at_most;
  without_lost -= lost;
  if (good && !within(drop, without_lost)) {
    return skip(billing_kind,
                fmt::format("{}; calls that were cut may be billed, too, with ${} at most",
                            compared, lost.to_string()));
  }
  return judged(billing_kind, good, compared);
}

check usage_log(const evidence& found) {
  const account_facts& account = found.account;
  if (account.rows == 0) {
    return skip(log_kind, "the relay shows no log of this key's calls");
  }
  std::vector<std::string> others;
  for (const std::string& served : account.served) {
    if (!is_same_model(served, found.sold.model)) others.push_back(served);
  }
  if (others.empty()) {
    check passed =
        judged(log_kind, true,
               fmt::format("the log has {} call(s), none with another model", account.rows));
    passed.weak = true;
    return passed;
  }
  return judged(log_kind, false,
                fmt::format("the log says that {} served calls for {}", fmt::join(others, ", "),
                            found.sold.model));
}

}  // namespace

std::vector<check> account_checks(const evidence& found) {
  return {billing(found), usage_log(found)};
}

}  // namespace sluice::probe
