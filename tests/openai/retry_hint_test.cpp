#include "openai/retry_hint.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

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
  reply_head head;
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
        hint_case{"a date where milliseconds belong is a date",
                  {{"retry-after", "20"}, {"retry-after-ms", "Sun, 06 Nov 1994 08:50:37 GMT"}},
                  "",
                  60s},
        hint_case{"so are words, and numbers below zero",
                  {{"retry-after", "20 apples"}, {"retry-after-ms", "-125"}},
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

// Hints with a number of seconds or milliseconds since the epoch, or with a date in any common
// format.
INSTANTIATE_TEST_SUITE_P(
    Moments, RetryHint,
    testing::Values(
        hint_case{"seconds since the epoch", {{"retry-after", "784111807"}}, "", 30s},
        hint_case{"with a fraction", {{"retry-after", "784111778.5"}}, "", 1500ms},
        hint_case{"as an exponent", {{"retry-after", "7.84111807e8"}}, "", 30s},
        hint_case{"milliseconds since the epoch", {{"retry-after", "784111807250"}}, "", 30250ms},
        hint_case{
            "microseconds since the epoch", {{"retry-after", "784111807250000"}}, "", 30250ms},
        hint_case{
            "in the header of milliseconds", {{"retry-after-ms", "784111807250"}}, "", 30250ms},
        hint_case{"seconds there", {{"retry-after-ms", "784111807"}}, "", 30s},
        hint_case{
            "a moment that is past says nothing", {{"retry-after", "784111700"}}, "", std::nullopt},
        hint_case{"nor does one that is past in milliseconds: the next hint counts",
                  {{"retry-after-ms", "784111700000"}, {"retry-after", "20"}},
                  "",
                  20s},
        hint_case{"nor does this moment itself", {{"retry-after", "784111777"}}, "", std::nullopt},
        hint_case{
            "nine years ahead is a moment still", {{"retry-after", "1067990400"}}, "", 283878623s},
        hint_case{"nine years past, too", {{"retry-after", "500000000"}}, "", std::nullopt},
        hint_case{
            "a wait of a day and more is told as it is", {{"retry-after", "200000"}}, "", 200000s},
        hint_case{"a year is no moment", {{"retry-after", "31536000"}}, "", 31536000s},
        hint_case{"another zone", {{"retry-after", "Sun, 06 Nov 1994 08:50:37 +0000"}}, "", 60s},
        hint_case{"UTC", {{"retry-after", "Sun, 06 Nov 1994 08:50:37 UTC"}}, "", 60s},
        hint_case{
            "eight hours east", {{"retry-after", "Sun, 06 Nov 1994 16:50:37 +0800"}}, "", 60s},
        hint_case{"no zone", {{"retry-after", "Sun, 06 Nov 1994 08:50:37"}}, "", 60s},
        hint_case{"no day of the week", {{"retry-after", "06 Nov 1994 08:50:37 GMT"}}, "", 60s},
        hint_case{"RFC 3339", {{"retry-after", "1994-11-06T08:50:37Z"}}, "", 60s},
        hint_case{
            "with a fraction of it", {{"retry-after", "1994-11-06T08:50:37.250Z"}}, "", 60250ms},
        hint_case{"with an offset", {{"retry-after", "1994-11-06T03:20:37-05:30"}}, "", 60s},
        hint_case{"a space in the middle", {{"retry-after", "1994-11-06 08:50:37"}}, "", 60s},
        hint_case{"a date that is past in that form",
                  {{"retry-after", "1994-11-06T08:00:00Z"}},
                  "",
                  std::nullopt},
        hint_case{"a date behind which words stand",
                  {{"retry-after", "1994-11-06T08:50:37Z or so"}},
                  "",
                  std::nullopt},
        hint_case{"an unknown zone",
                  {{"retry-after", "Sun, 06 Nov 1994 08:50:37 XST"}},
                  "",
                  std::nullopt}));

INSTANTIATE_TEST_SUITE_P(
    Lengths, RetryHint,
    testing::Values(
        hint_case{"Go's seconds", {{"retry-after", "4s"}}, "", 4s},
        hint_case{"minutes and seconds", {{"retry-after", "1m30s"}}, "", 90s},
        hint_case{"in capitals", {{"retry-after", "1M30S"}}, "", 90s},
        hint_case{"in words", {{"retry-after", "5 seconds"}}, "", 5s},
        hint_case{"units beat the header's own", {{"retry-after-ms", "4s"}}, "", 4s},
        hint_case{"ISO 8601", {{"retry-after", "PT1M"}}, "", 60s},
        hint_case{"ISO 8601 of several units", {{"retry-after", "P1DT2H3M4.5S"}}, "", 93784500ms},
        hint_case{"ISO 8601 of nothing", {{"retry-after", "PT"}}, "", std::nullopt},
        hint_case{"months are no length", {{"retry-after", "P1M"}}, "", std::nullopt}));

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
        hint_case{"on a server error too", {}, "try again in 2s", 2s, 503},
        // https://github.com/googleapis/python-genai/issues/1875
        hint_case{"Gemini's", {}, "Please retry in 53.016342224s.", nanoseconds(53'016'342'224)},
        hint_case{"Moonshot's", {}, "please try again after 1 seconds", 1s},
        hint_case{"GitHub's",
                  {},
                  "Rate limit of 10 per 60s exceeded. Please wait 42 seconds before",
                  42s},
        hint_case{"a date", {}, "try again at 1994-11-06T08:50:37Z", 60s},
        hint_case{
            "a date at the end of a sentence", {}, "Try again after 1994-11-06 08:50:37 UTC.", 60s},
        hint_case{"a later phrase where the first has no number",
                  {},
                  "retry in a while: retry in 2s",
                  2s}));

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
        hint_case{"only on a 429", {{"x-ratelimit-reset-requests", "20s"}}, "", std::nullopt, 503},
        // https://openrouter.ai/docs/api_reference/limits
        hint_case{"OpenRouter's moment in milliseconds",
                  {{"x-ratelimit-limit", "20"},
                   {"x-ratelimit-remaining", "0"},
                   {"x-ratelimit-reset", "784111807000"}},
                  "",
                  30s},
        hint_case{"a moment in seconds", {{"x-ratelimit-reset", "784111807"}}, "", 30s},
        hint_case{"a moment that is past", {{"x-ratelimit-reset", "784111700"}}, "", std::nullopt},
        hint_case{
            "a moment of a counter by name",
            {{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "784111807"}},
            "",
            30s},
        hint_case{
            "the draft's", {{"ratelimit-remaining", "0"}, {"ratelimit-reset", "30"}}, "", 30s},
        hint_case{"the draft's with something left",
                  {{"ratelimit-remaining", "3"}, {"ratelimit-reset", "30"}},
                  "",
                  std::nullopt},
        hint_case{"written apart", {{"x-rate-limit-reset", "30"}}, "", 30s},
        // https://docs.anthropic.com/en/api/rate-limits
        hint_case{"Anthropic's dates",
                  {{"anthropic-ratelimit-requests-remaining", "0"},
                   {"anthropic-ratelimit-requests-reset", "1994-11-06T08:50:37Z"},
                   {"anthropic-ratelimit-tokens-remaining", "4000"},
                   {"anthropic-ratelimit-tokens-reset", "1994-11-06T08:59:37Z"}},
                  "",
                  60s},
        // https://inference-docs.cerebras.ai/support/rate-limits
        hint_case{"Cerebras's of a day and a minute",
                  {{"x-ratelimit-remaining-requests-day", "14000"},
                   {"x-ratelimit-reset-requests-day", "33011.382867"},
                   {"x-ratelimit-remaining-tokens-minute", "0"},
                   {"x-ratelimit-reset-tokens-minute", "11.5"}},
                  "",
                  11500ms}));

// Hints from the body, under the names of the corresponding headers.
TEST(RetryHint, OfTheBody) {
  const struct {
    const char* name;
    std::map<std::string, std::string, std::less<>> headers;
    std::map<std::string, std::string, std::less<>> body;
    std::string message;
    std::optional<nanoseconds> wait;
  } rows[] = {
      {"a field", {}, {{"retry-after", "53s"}}, "", 53s},
      {"a header comes first", {{"retry-after", "2"}}, {{"retry-after", "53s"}}, "", 2s},
      {"garbage in a header leaves it", {{"retry-after", "?"}}, {{"retry-after", "53s"}}, "", 53s},
      {"the longer of a field and the words, which it rounds",
       {},
       {{"retry-after", "58s"}},
       "Please retry in 58.9s.",
       58900ms},
      {"the field where it is the longer one", {}, {{"retry-after", "9"}}, "try again in 5s", 9s},
      {"milliseconds", {}, {{"retry-after-ms", "1500"}}, "", 1500ms},
      {"a counter's end",
       {},
       {{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "784111807000"}},
       "",
       30s},
      {"a counter's end in a header comes first",
       {{"x-ratelimit-reset", "5"}},
       {{"x-ratelimit-reset", "784111807000"}},
       "",
       5s},
  };
  for (const auto& row : rows) {
    reply_head head;
    head.status = 429;
    head.hints = row.headers;
    EXPECT_EQ(retry_hint(head, row.message, now, row.body), row.wait) << row.name;
  }
}

TEST(RetryHint, MeasuresPointsInTimeWithTheClockOfTheServer) {
  const char* const date = "Sun, 06 Nov 1994 08:49:37 GMT";
  const std::pair<const char*, const char*> rows[] = {
      {"Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT"},
      {"x-ratelimit-reset", "1994-11-06T08:49:42Z"},
      {"x-ratelimit-reset", "784111782"},
      {"Retry-After", "5"}};
  for (const double wrong_by : {-1200.0, 0.0, 1200.0}) {
    for (const auto& [name, value] : rows) {
      header_fields fields;
      fields.add(name, value);
      fields.add("date", date);
      EXPECT_EQ(retry_hint(read_head(429, fields), "", now + wrong_by), 5s) << value << wrong_by;
    }
    header_fields only_date;
    only_date.add("Date", date);
    const reply_head head = read_head(503, only_date);
    EXPECT_EQ(retry_hint(head, "back again at 1994-11-06 08:49:42.", now + wrong_by), 5s);
  }
  header_fields unclear;
  unclear.add("Date", "today");
  unclear.add("Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT");
  EXPECT_EQ(retry_hint(read_head(429, unclear), "", now), 5s) << "then this machine's clock counts";
}

TEST(RetryHint, WithAClockThatWasNeverSetANumberIsALength) {
  reply_head head;
  head.hints["retry-after-ms"] = "1500";
  EXPECT_EQ(retry_hint(head, "", 0), 1500ms);
}

TEST(RetryHint, KnowsTheFieldsThatHoldOne) {
  for (const char* name :
       {"retry-after", "Retry-After-MS", "x-ms-retry-after-ms", "x-should-retry",
        "X-RateLimit-Reset", "x-ratelimit-remaining-tokens-minute", "RateLimit-Reset",
        "x-rate-limit-reset", "anthropic-ratelimit-requests-reset"}) {
    EXPECT_TRUE(is_retry_hint(name)) << name;
  }
  for (const char* name : {"date", "x-request-id", "age", "retry", "ratelimit", "expires"}) {
    EXPECT_FALSE(is_retry_hint(name)) << name;
  }
}

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

TEST(HttpDate, ReadsTheThreeFormsAndThoseOfRfc3339) {
  EXPECT_EQ(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), now);
  EXPECT_EQ(http_date("Sunday, 06-Nov-94 08:49:37 GMT"), now);
  EXPECT_EQ(http_date("Sun Nov  6 08:49:37 1994"), now);
  EXPECT_EQ(http_date("1994-11-06T08:49:37Z"), now);
  EXPECT_EQ(http_date("1994-11-06T09:49:37+01:00"), now);
  EXPECT_EQ(http_date("tomorrow"), std::nullopt);
  EXPECT_EQ(http_date("1994-11-06"), std::nullopt);
  EXPECT_EQ(http_date("Sun, 06 Nov 1994 08:49"), std::nullopt);
}

}  // namespace
}  // namespace sluice::openai
