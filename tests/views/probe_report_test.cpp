#include "views/probe_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

probe::report report_of(probe::identity_finding identity) {
  static constexpr probe::check_kind billing{"billing", probe::weight::strong,
                                             probe::subject::price, "it shows", "its limits"};
  probe::report made;
  made.checks = {probe::judged(billing, true, "the balance fell by $1")};
  made.told = probe::verdict::consistent;
  made.identity = identity;
  made.bill = probe::bill_finding::right;
  made.limits = {"The first limit.", std::string(30, 'x') + " " + std::string(80, 'y')};
  return made;
}

const probe_facts facts{.model = "m", .relay = "relay.example", .requests = 3, .cost = {}};

TEST(probe_lines, name_both_parts_of_the_verdict) {
  EXPECT_THAT(probe_lines(report_of(probe::identity_finding::fits), facts),
              HasSubstr("\nconsistent: nothing that was checked speaks against the relay\n"
                        "identity: fits; bill: right\n"));
  EXPECT_THAT(probe_lines(report_of(probe::identity_finding::not_testable), facts),
              HasSubstr("\nconsistent: the bill is right, but no check can tell which model "
                        "answers\nidentity: not testable; bill: right\n"));
}

TEST(probe_lines, show_the_limits_under_the_verdict) {
  EXPECT_THAT(
      probe_lines(report_of(probe::identity_finding::fits), facts),
      HasSubstr("right\nWhat this does not show:\n  - The first limit.\n  - " +
                std::string(30, 'x') + "\n    " + std::string(80, 'y') + "\n3 requests, 0 USD\n"));
}

TEST(probe_document, has_both_parts_and_the_limits) {
  const auto document = probe_document(report_of(probe::identity_finding::not_testable), facts);
  EXPECT_EQ(document["verdict"], "consistent");
  EXPECT_EQ(document["identity"], "not testable");
  EXPECT_EQ(document["bill"], "right");
  EXPECT_EQ(document["limits"][0], "The first limit.");
}

TEST(probe_progress, says_what_is_done_and_what_it_waits_for) {
  probe_status now{.doing = "",
                   .ended = 12,
                   .all = 64,
                   .in_flight = 4,
                   .cost = *usd::parse("0.00125"),
                   .wait = {}};
  EXPECT_EQ(probe_progress(now), "12 of 64 requests answered, 4 in flight, $0.00125");
  now.wait = start_wait{.cause = wait_cause::limit, .left_s = 37};
  EXPECT_THAT(probe_progress(now), HasSubstr("; waiting for the limit, next start in 37 s"));
  now.doing = "asking for the balance";
  EXPECT_THAT(probe_progress(now), HasSubstr("; asking for the balance"));
  EXPECT_THAT(probe_progress(now), Not(HasSubstr("limit")));
}

}  // namespace
}  // namespace sluice::cli
