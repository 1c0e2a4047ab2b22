#include "views/quota_report.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace sluice::cli {
namespace {

using testing::HasSubstr;

account::quota half_spent() {
  account::quota told;
  told.granted = usd::parse("20");
  told.used = usd::parse("7.500002");
  told.remaining = usd::parse("12.499998");
  told.expires_at = 1'700'000'000;
  told.status = account::key_status::expired;
  return told;
}

TEST(quota_report, the_document) {
  EXPECT_EQ(quota_document(half_spent()).dump(),
            R"({"source":"billing","granted_usd":"20","used_usd":"7.500002",)"
            R"("remaining_usd":"12.499998","unlimited":false,"expires_at":1700000000,)"
            R"("status":"expired"})");
  account::quota endless;
  endless.source = account::quota_source::token_usage;
  endless.used = usd();
  endless.unlimited = true;
  EXPECT_EQ(quota_document(endless).dump(),
            R"({"source":"token_usage","granted_usd":null,"used_usd":"0","remaining_usd":null,)"
            R"("unlimited":true,"expires_at":null,"status":"active"})");
}

TEST(quota_report, the_log) {
  account::usage_log_row row;
  row.time = 1'700'000'000;
  row.model = "gpt-4";
  row.prompt_tokens = 200;
  row.cost = usd::parse("0.008");
  row.seconds = 1.5;
  row.streamed = true;
  row.served_model = "gpt-3.5-turbo";
  EXPECT_EQ(log_document({row}).dump(),
            R"([{"time":1700000000,"model":"gpt-4","prompt_tokens":200,"completion_tokens":null,)"
            R"("cost_usd":"0.008","seconds":1.5,"streamed":true,"served_model":"gpt-3.5-turbo"}])");
  const auto lines = log_lines({row});
  for (const char* part : {"2023-11-14 22:13:20 UTC", "gpt-4 ", "0.008", "gpt-3.5-turbo"}) {
    EXPECT_THAT(lines, HasSubstr(part));
  }
  EXPECT_THAT(log_lines({}), HasSubstr("no call"));
}

TEST(quota_report, lines_show_what_is_told_and_nothing_that_a_terminal_obeys) {
  const auto lines = quota_lines(half_spent(), "https://relay.example");
  for (const char* part :
       {"12.499998 USD", "2023-11-14 22:13:20 UTC", "expired", "\nsource     billing ("}) {
    EXPECT_THAT(lines, HasSubstr(part));
  }
  account::quota little;
  EXPECT_THAT(quota_lines(little, "r"), HasSubstr("not shown"));
  little.unlimited = true;
  EXPECT_THAT(quota_lines(little, "r"), HasSubstr("no limit"));
  account::usage_log_row row;
  row.model = "\x1b[2J";
  EXPECT_EQ(log_lines({row}).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace sluice::cli
