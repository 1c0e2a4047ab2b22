#include "account/pricing_inquiry.hpp"

#include <gmock/gmock.h>

#include <string>

#include "support/asked_site.hpp"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string list =
    R"({"success":true,"data":[{"model_name":"m","quota_type":0,"model_ratio":1,)"
    R"("completion_ratio":4}],"group_ratio":{"default":1,"vip":0.5}})";

struct pricing_inquiry_test : testing::Test {
  pricing_answer ask(const std::string& group = "default") {
    return site.run(ask_pricing(site.client, site.options, group));
  }
  static std::string input_of(const pricing_answer& answer) {
    const model_prices* price = answer.told ? answer.told->prices.listed("m") : nullptr;
    return price == nullptr ? "-" : price->standard.base[token_kind::input]->to_string();
  }
  test::asked_site site;
};

TEST_F(pricing_inquiry_test, a_ratio_of_one_is_two_dollars_a_million) {
  site.has("/api/pricing", list);
  EXPECT_EQ(input_of(ask()), "0.000002");
  EXPECT_THAT(site.asked, ElementsAre("/api/pricing", "/api/status"));
  EXPECT_EQ(input_of(ask("vip")), "0.000001");
}

TEST_F(pricing_inquiry_test, a_relay_may_sell_another_quota_for_its_dollar) {
  site.has("/api/pricing", list);
  site.has("/api/status", R"({"success":true,"data":{"quota_per_unit":1000000}})");
  EXPECT_EQ(input_of(ask()), "0.000001");
}

TEST_F(pricing_inquiry_test, why_not) {
  EXPECT_THAT(ask().why_not, HasSubstr("/api/pricing: 404"));
  EXPECT_THAT(site.asked, ElementsAre("/api/pricing"));
  site.has("/api/pricing", "<html></html>");
  EXPECT_THAT(ask().why_not, HasSubstr("/api/pricing answers is a web page"));
  site.has("/api/pricing", list);
  const auto other = ask("gold");
  EXPECT_FALSE(other.told);
  EXPECT_THAT(other.why_not, HasSubstr("has no ratio for the group \"gold\""));
  site.has("/api/pricing", R"({"success":false,"message":")" + site.options.api_key + R"("})");
  EXPECT_THAT(ask().why_not, Not(HasSubstr(site.options.api_key)));
}

}  // namespace
}  // namespace sluice
