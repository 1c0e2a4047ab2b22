#include "probe/limits.hpp"

#include <fmt/format.h>

#include <utility>

#include "probe/token_checks.hpp"

namespace sluice::probe {
namespace {

std::string limit_of_identity(const claim& sold, identity_finding finding) {
  switch (finding) {
    case identity_finding::fits:
      return fmt::format(
          "Models with the same vocabulary pass the same checks: another, cheaper one of them may "
          "answer in place of {}.",
          sold.model);
    case identity_finding::not_testable:
      return sold.tokens ? "This program was built without vocabularies, so it cannot tell which "
                           "model answers, nor count tokens again."
                         : fmt::format(
                               "The vocabulary of {} is not public: no check can tell which "
                               "model answers, nor count tokens again.",
                               sold.model);
    case identity_finding::not_tested:
      return "Too few answers had usage or text to tell which model answers.";
    case identity_finding::wrong:
      break;
  }
  return {};
}

std::string limit_of_bill(bill_finding finding, bool testable, const std::string& why_not) {
  switch (finding) {
    case bill_finding::right:
      return testable ? "The bill is right for these calls; others may be billed in another way."
                      : "The bill is right for the tokens that the relay reports; whether they are "
                        "the real ones is not shown.";
    case bill_finding::counts_right:
      return "What the tokens cost was not compared: " + why_not + ".";
    case bill_finding::not_tested:
      return "The bill was not compared: " + why_not + ".";
    case bill_finding::doubtful:
    case bill_finding::wrong:
      break;
  }
  return {};
}

}  // namespace

std::vector<std::string> limits_of(const evidence& found, const report& made) {
  std::vector<std::string> limits;
  const auto add = [&limits](std::string sentence) {
    if (!sentence.empty()) limits.push_back(std::move(sentence));
  };
  std::string why_no_price;
  for (const check& one : made.checks) {
    if (one.about == subject::price && one.result == check_result::skip)
      why_no_price = one.evidence;
    const bool accuses = one.kind->counts == weight::strong || one.kind->counts == weight::medium;
    if (accuses && one.result == check_result::fail)
      add(fmt::format("About {}: {}.", one.kind->name, one.kind->cannot));
  }
  add(limit_of_identity(found.sold, made.identity));
  for (const check& one : made.checks) add(one.leaves_open);
  add(limit_of_bill(made.bill, identity_is_testable(found.sold), why_no_price));
  if (found.sold.reasons)
    add("Hidden reasoning cannot be counted, nor a hidden text before each prompt.");
  add("A relay may recognize these requests and treat yours differently.");
  return limits;
}

}  // namespace sluice::probe
