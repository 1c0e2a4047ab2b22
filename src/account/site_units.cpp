#include "account/site_units.hpp"

#include <algorithm>
#include <limits>

#include "account/lenient_values.hpp"

namespace sluice::account {
namespace {

constexpr usd::units dollar = 1'000'000'000'000'000'000;

// The smallest exchange rate that is accepted, so that amounts divided by it stay within their
// type.
constexpr usd::units least_millionths = 10'000;

// A number in millionths; `otherwise` if it cannot be an exchange rate.
std::int64_t millionths(const json_object& site, std::string_view name, std::int64_t otherwise) {
  const auto number = amount_of(site, name);
  if (!number) return otherwise;
  const usd::units value = number->count() / (dollar / 1'000'000);
  return value >= least_millionths && value <= std::numeric_limits<std::int64_t>::max()
             ? static_cast<std::int64_t>(value)
             : otherwise;
}

}  // namespace

site_units site_units::read(std::string_view body) {
  site_units units;
  const json_object site = json_object::parse(body).object("data");
  units.quota_per_dollar_ = millionths(site, "quota_per_unit", units.quota_per_dollar_);
  const auto shown = site.text("quota_display_type");
  if (shown == "TOKENS" || (!shown && flag_of(site, "display_in_currency") == false)) {
    units.shown_per_dollar_ = units.quota_per_dollar_;
  } else if (shown == "CNY") {
    units.shown_per_dollar_ = millionths(site, "usd_exchange_rate", units.shown_per_dollar_);
  }
  return units;
}

std::uint64_t site_units::quota_per_dollar() const noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(quota_per_dollar_ / millionth, 1));
}

// Divides the whole part and the rest separately, so that nothing overflows.
usd site_units::divided(usd amount, std::int64_t millionths) {
  const usd::units whole = amount.count() / millionths;
  const usd::units rest = amount.count() % millionths;
  return usd::from_units(whole * millionth + rest * millionth / millionths);
}

usd site_units::rounded(usd amount) const {
  constexpr usd::units micro = dollar / 1'000'000;
  const usd::units exact = dollar * millionth;
  // If a unit has no finite decimal form, a millionth of a dollar is used.
  const usd::units unit = exact % quota_per_dollar_ == 0 ? exact / quota_per_dollar_ : micro;
  const usd::units half = amount.count() < 0 ? -unit / 2 : unit / 2;
  return usd::from_units((amount.count() + half) / unit * unit);
}

}  // namespace sluice::account
