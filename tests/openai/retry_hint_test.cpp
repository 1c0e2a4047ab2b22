#include "openai/retry_hint.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace sluice::openai {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr double now = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT

struct hint_case {
  const char* name;
  std::map<std::string, std::string, std::less<>> headers;
  std::string message;
  std::optional<nanoseconds> wait;
  int status = 429;
};
std::ostream& operator<<(std::ostream& out, const hint_case& row) {
  return out << row.name;
}

class RetryHint : public testing::TestWithParam<hint_case> {};

TEST_P(RetryHint, IsWhatTheServerMeant) {
  const auto& [name, headers, message, wait, status] = GetParam();
  response_head head;
  head.status = status;
  head.hints = headers;
  EXPECT_EQ(retry_hint(head, message, now), wait);
}

INSTANTIATE_TEST_SUITE_P(
    Headers, RetryHint,
    testing::Values(
        hint_case{"none", {}, "", std::nullopt},
        hint_case{"seconds", {{"retry-after", "20"}}, "", 20s},
        hint_case{"seconds with a fraction and space", {{"retry-after", " 1.5 "}}, "", 1500ms},
        hint_case{"zero seconds are no hint", {{"retry-after", "0"}}, "", std::nullopt},
        hint_case{"nor are zero milliseconds: the next hint counts",
                  {{"retry-after-ms", "0"}, {"retry-after", "20"}},
                  "",
                  20s},
        hint_case{"nor is less than the clock can tell",
                  {{"retry-after-ms", "1e-9"}, {"retry-after", "20"}},
                  "",
                  20s},
        hint_case{"zero seconds before words", {{"retry-after", "0.0"}}, "try again in 3s", 3s},
        hint_case{"a date to come", {{"retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"}}, "", 60s},
        hint_case{"a date that is past",
                  {{"retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"}},
                  "",
                  std::nullopt},
        hint_case{
            "an old form of date", {{"retry-after", "Sunday, 06-Nov-94 08:49:47 GMT"}}, "", 10s},
        hint_case{"C's form of date", {{"retry-after", "Sun Nov  6 08:49:47 1994"}}, "", 10s},
        hint_case{"milliseconds come first",
                  {{"retry-after", "20"}, {"retry-after-ms", "125.5"}},
                  "",
                  125500us},
        hint_case{"garbage in one leaves the other",
                  {{"retry-after", "20"}, {"retry-after-ms", "soon"}},
                  "",
                  20s},
        hint_case{"a date in milliseconds is garbage, too",
                  {{"retry-after", "20"}, {"retry-after-ms", "Sun, 06 Nov 1994 08:50:37 GMT"}},
                  "",
                  20s},
        hint_case{"so are units, and numbers below zero",
                  {{"retry-after", "20s"}, {"retry-after-ms", "-125"}},
                  "try again in 3s",
                  3s},
        hint_case{"garbage", {{"retry-after", "soon"}}, "", std::nullopt},
        hint_case{"an empty value", {{"retry-after", ""}}, "", std::nullopt},
        hint_case{"a negative number", {{"retry-after", "-1"}}, "", std::nullopt},
        hint_case{"no number at all",
                  {{"retry-after", "nan"}, {"retry-after-ms", "inf"}},
                  "",
                  std::nullopt},
        hint_case{"an absurd number is cut",
                  {{"retry-after", "1e30"}},
                  "",
                  std::chrono::seconds(1'000'000'000)}));

INSTANTIATE_TEST_SUITE_P(
    Messages, RetryHint,
    testing::Values(
        hint_case{"seconds", {}, "Limit 3, Used 3. Please try again in 20s. Visit x", 20s},
        hint_case{"milliseconds", {}, "Please try again in 125ms.", 125ms},
        hint_case{"a few milliseconds", {}, "Please try again in 6ms. Visit x", 6ms},
        hint_case{"a fraction", {}, "Please try again in 18.642s.", 18642ms},
        hint_case{"minutes and seconds", {}, "Please try again in 6m0s.", 360s},
        hint_case{"hours, minutes and seconds", {}, "Please Try Again in 1h2m3s", 3723s},
        hint_case{"words", {}, "Please retry after 26 seconds.", 26s},
        hint_case{"days", {}, "Please try again in 2 days.", 48h},
        hint_case{"hours and minutes in words", {}, "try again in 1 hour 30 minutes.", 90min},
        hint_case{"short words", {}, "try again in 2 hrs or so", 2h},
        hint_case{"no time", {}, "try again in 0s", std::nullopt},
        hint_case{"no unit", {}, "try again in 20", std::nullopt},
        hint_case{"no number", {}, "try again in a while", std::nullopt},
        hint_case{"a header comes first", {{"retry-after", "1"}}, "try again in 20s", 1s},
        hint_case{"on a server error too", {}, "try again in 2s", 2s, 503}));

INSTANTIATE_TEST_SUITE_P(
    RateLimits, RetryHint,
    testing::Values(
        hint_case{"the exhausted counter's reset",
                  {{"x-ratelimit-remaining-requests", "0"},
                   {"x-ratelimit-reset-requests", "12s"},
                   {"x-ratelimit-remaining-tokens", "5"},
                   {"x-ratelimit-reset-tokens", "6m0s"}},
                  "",
                  12s},
        hint_case{"the later of two exhausted counters",
                  {{"x-ratelimit-remaining-requests", "0"},
                   {"x-ratelimit-reset-requests", "12ms"},
                   {"x-ratelimit-remaining-tokens", "0"},
                   {"x-ratelimit-reset-tokens", "1m0s"}},
                  "",
                  60s},
        hint_case{"an exhausted counter before one that does not say",
                  {{"x-ratelimit-remaining-requests", "0"},
                   {"x-ratelimit-reset-requests", "12s"},
                   {"x-ratelimit-reset-tokens", "6m0s"}},
                  "",
                  12s},
        hint_case{"Go's milliseconds", {{"x-ratelimit-reset-requests", "12ms"}}, "", 12ms},
        hint_case{"Go's hours", {{"x-ratelimit-reset-tokens", "1h2m3s"}}, "", 3723s},
        hint_case{"Go's fractions", {{"x-ratelimit-reset-tokens", "18.642s"}}, "", 18642ms},
        hint_case{"Azure's nothing beside its seconds",
                  {{"x-ratelimit-reset-requests", "-1"}, {"x-ratelimit-reset-tokens", "9"}},
                  "",
                  9s},
        hint_case{"a reset alone", {{"x-ratelimit-reset-requests", "20s"}}, "", 20s},
        hint_case{"Azure's whole seconds",
                  {{"x-ratelimit-reset-tokens", "9"}, {"x-ratelimit-remaining-tokens", "0"}},
                  "",
                  9s},
        hint_case{"Azure's nothing",
                  {{"x-ratelimit-reset-requests", "-1"}, {"x-ratelimit-reset-tokens", "0"}},
                  "",
                  std::nullopt},
        hint_case{"a counter with something left",
                  {{"x-ratelimit-remaining-requests", "7"}, {"x-ratelimit-reset-requests", "20s"}},
                  "",
                  std::nullopt},
        hint_case{
            "words come first", {{"x-ratelimit-reset-requests", "20s"}}, "try again in 3s", 3s},
        hint_case{
            "only on a 429", {{"x-ratelimit-reset-requests", "20s"}}, "", std::nullopt, 503}));

TEST(LeadingDuration, ReadsGosUnits) {
  EXPECT_EQ(leading_duration("9ms"), 9ms);
  EXPECT_EQ(leading_duration("1.5h"), 90min);
  EXPECT_EQ(leading_duration("250µs"), 250us);
  EXPECT_EQ(leading_duration("7ns"), 7ns);
  EXPECT_EQ(leading_duration("1m30s and then"), 90s);
  EXPECT_EQ(leading_duration("1 minute"), 60s);
  EXPECT_EQ(leading_duration("1 day 2 hours 3 m"), 26h + 3min);
  EXPECT_EQ(leading_duration("6m 5 requests"), 6min);
  EXPECT_EQ(leading_duration(""), std::nullopt);
  EXPECT_EQ(leading_duration("-3s"), std::nullopt);
  EXPECT_EQ(leading_duration("3 apples"), std::nullopt);
}

TEST(HttpDate, ReadsTheThreeForms) {
  EXPECT_EQ(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), now);
  EXPECT_EQ(http_date("Sunday, 06-Nov-94 08:49:37 GMT"), now);
  EXPECT_EQ(http_date("Sun Nov  6 08:49:37 1994"), now);
  EXPECT_EQ(http_date("tomorrow"), std::nullopt);
}

}  // namespace
}  // namespace sluice::openai
