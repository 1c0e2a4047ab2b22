#include "probe/account_checks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace sluice::probe {
namespace {

constexpr check_kind billing_kind{"billing", weight::strong,
                                  "the balance fell by more than the price of the reported tokens",
                                  "other use of the same key at the same time lowers it, too"};
constexpr check_kind log_kind{"usage_log", weight::strong,
                              "the relay's own log names another model as the one that served",
                              "a relay may leave this out of its log"};

constexpr std::int64_t tolerance_percent = 2;

check billing(const evidence& found) {
  const account_facts& account = found.account;
  if (!account.drop) return skip(billing_kind, account.why_unknown);
  const usd most =
      usd::from_units(account.expected_at_most.count() * (100 + tolerance_percent) / 100);
  std::string text =
      fmt::format("the balance fell by ${}; the reported tokens cost ${} {}",
                  account.drop->to_string(), account.expected.to_string(), account.tariff);
  const bool good = *account.drop <= most;
  return judged(billing_kind, good, std::move(text));
}

check usage_log(const evidence& found) {
  const account_facts& account = found.account;
  if (account.rows == 0) {
    return skip(log_kind, "the relay shows no log of this key's calls");
  }
  if (account.served.empty()) {
    return judged(log_kind, true,
                  fmt::format("the log has {} call(s), none with another model", account.rows));
  }
  return judged(log_kind, false,
                fmt::format("the log says that {} served calls for {}",
                            fmt::join(account.served, ", "), found.sold.model));
}

}  // namespace

std::vector<check> account_checks(const evidence& found) {
  return {billing(found), usage_log(found)};
}

}  // namespace sluice::probe
