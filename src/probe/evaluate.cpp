#include "probe/evaluate.hpp"

#include <utility>

#include "probe/account_checks.hpp"
#include "probe/advisory_checks.hpp"
#include "probe/behaviour_checks.hpp"
#include "probe/cache_check.hpp"
#include "probe/limits.hpp"
#include "probe/token_checks.hpp"

namespace sluice::probe {

report evaluate(const evidence& found) {
  report made;
  for (auto checks : {token_checks(found), account_checks(found), behaviour_checks(found),
                      advisory_checks(found)}) {
    for (check& one : checks) made.checks.push_back(std::move(one));
  }
  made.checks.push_back(cache_check(found));
  made.identity = identity_of(made.checks, identity_is_testable(found.sold));
  made.bill = bill_of(made.checks);
  made.told = verdict_of(made.checks, made.identity, made.bill);
  made.limits = limits_of(found, made);
  return made;
}

}  // namespace sluice::probe
