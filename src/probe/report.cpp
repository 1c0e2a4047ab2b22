#include "probe/report.hpp"

#include <algorithm>
#include <utility>

namespace sluice::probe {

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

check skip(const check_kind& kind, std::string why) {
  return {&kind, check_result::skip, std::move(why)};
}

check judged(const check_kind& kind, bool good, std::string evidence) {
  return {&kind, good ? check_result::pass : check_result::fail, std::move(evidence)};
}

verdict verdict_of(const std::vector<check>& checks) {
  const auto some = [&](weight counts, check_result result) {
    return std::any_of(checks.begin(), checks.end(), [&](const check& one) {
      return one.kind->counts == counts && one.result == result;
    });
  };
  if (some(weight::strong, check_result::fail)) return verdict::inconsistent;
  if (some(weight::medium, check_result::fail)) return verdict::suspicious;
  return some(weight::strong, check_result::pass) ? verdict::consistent : verdict::inconclusive;
}

}  // namespace sluice::probe
