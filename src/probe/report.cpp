#include "probe/report.hpp"

#include <algorithm>
#include <utility>

namespace sluice::probe {
namespace {

template <class Of>
bool some(const std::vector<check>& checks, check_result result, Of of) {
  return std::any_of(checks.begin(), checks.end(),
                     [&](const check& one) { return one.result == result && of(one); });
}

auto strong(subject about) {
  return [about](const check& one) {
    return one.kind->counts == weight::strong && one.about == about;
  };
}

auto counting(weight counts) {
  return [counts](const check& one) { return one.kind->counts == counts; };
}

}  // namespace

std::string_view to_string(check_result result) noexcept {
  switch (result) {
    case check_result::pass:
      return "pass";
    case check_result::fail:
      return "fail";
    case check_result::skip:
      return "skip";
  }
  return "";
}

std::string_view to_string(verdict verdict) noexcept {
  switch (verdict) {
    case verdict::consistent:
      return "consistent";
    case verdict::suspicious:
      return "suspicious";
    case verdict::inconsistent:
      return "inconsistent";
    case verdict::inconclusive:
      return "inconclusive";
  }
  return "";
}

std::string_view to_string(identity_finding finding) noexcept {
  switch (finding) {
    case identity_finding::fits:
      return "fits";
    case identity_finding::wrong:
      return "wrong";
    case identity_finding::not_testable:
      return "not testable";
    case identity_finding::not_tested:
      return "not tested";
  }
  return "";
}

std::string_view to_string(bill_finding finding) noexcept {
  switch (finding) {
    case bill_finding::right:
      return "right";
    case bill_finding::counts_right:
      return "counts right";
    case bill_finding::doubtful:
      return "doubtful";
    case bill_finding::wrong:
      return "wrong";
    case bill_finding::not_tested:
      return "not tested";
  }
  return "";
}

check skip(const check_kind& kind, std::string why) {
  return {&kind, check_result::skip, std::move(why), kind.about};
}

check judged(const check_kind& kind, bool good, std::string evidence) {
  return {&kind, good ? check_result::pass : check_result::fail, std::move(evidence), kind.about};
}

identity_finding identity_of(const std::vector<check>& checks, bool testable) {
  const auto shows = strong(subject::identity);
  if (some(checks, check_result::fail, shows)) return identity_finding::wrong;
  if (!testable) return identity_finding::not_testable;
  const bool fits =
      some(checks, check_result::pass, [&](const check& one) { return shows(one) && !one.weak; });
  return fits ? identity_finding::fits : identity_finding::not_tested;
}

bill_finding bill_of(const std::vector<check>& checks) {
  const auto of_counts = strong(subject::counts);
  const auto of_price = strong(subject::price);
  if (some(checks, check_result::fail, of_counts) || some(checks, check_result::fail, of_price))
    return bill_finding::wrong;
  if (some(checks, check_result::fail, [](const check& one) {
        return one.kind->counts == weight::medium && one.about == subject::counts;
      }))
    return bill_finding::doubtful;
  if (some(checks, check_result::pass, of_price)) return bill_finding::right;
  return some(checks, check_result::pass, of_counts) ? bill_finding::counts_right
                                                     : bill_finding::not_tested;
}

verdict verdict_of(const std::vector<check>& checks, identity_finding identity, bill_finding bill) {
  if (some(checks, check_result::fail, counting(weight::strong))) return verdict::inconsistent;
  if (some(checks, check_result::fail, counting(weight::medium))) return verdict::suspicious;
  const bool shown = identity == identity_finding::fits || bill == bill_finding::right ||
                     bill == bill_finding::counts_right;
  return shown ? verdict::consistent : verdict::inconclusive;
}

}  // namespace sluice::probe
