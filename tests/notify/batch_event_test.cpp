#include "notify/batch_event.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "notify/signature.hpp"

namespace sluice::notify {
namespace {

constexpr const char* secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

TEST(batch_event, has_the_form_of_openai_s_events) {
  const auto sent = compose("https://a.example/x", secret, {"batch_1", "expired", 1700}, 1800.9);
  EXPECT_EQ(sent.url, "https://a.example/x");
  EXPECT_EQ(sent.body,
            R"({"id":"evt_batch_1","object":"event","created_at":1700,"type":"batch.expired",)"
            R"("data":{"id":"batch_1"}})");
  ASSERT_EQ(sent.headers.size(), 3U);
  EXPECT_EQ(sent.headers[0], (std::pair<std::string, std::string>{"webhook-id", "evt_batch_1"}));
  EXPECT_EQ(sent.headers[1], (std::pair<std::string, std::string>{"webhook-timestamp", "1800"}));
  EXPECT_EQ(sent.headers[2].second,
            standard_signature(*standard_key(secret), "evt_batch_1", 1800, sent.body));
}

TEST(batch_event, pauses_grow_and_end) {
  std::chrono::seconds last{0};
  for (unsigned tries = 1; tries <= 9; ++tries) {
    const auto pause = event_pause_after(tries);
    ASSERT_TRUE(pause);
    EXPECT_GT(*pause, last);
    last = *pause;
  }
  EXPECT_EQ(event_pause_after(0), std::nullopt);
  EXPECT_EQ(event_pause_after(10), std::nullopt);
}

}  // namespace
}  // namespace sluice::notify
