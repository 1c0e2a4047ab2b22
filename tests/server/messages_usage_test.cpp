#include "server/messages_usage.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sluice::server {
namespace {

constexpr std::string_view whole =
    R"({"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"hi"}],)"
    R"("usage":{"input_tokens":10,"cache_read_input_tokens":3,"cache_creation_input_tokens":7,)"
    R"("cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":2},)"
    R"("output_tokens":4}})";

constexpr std::string_view stream =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":10,)"
    R"("cache_read_input_tokens":3,"output_tokens":1}}})"
    "\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n"
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"usage"}})"
    "\n\nevent: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}})"
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

TEST(messages_usage, reads_a_whole_reply) {
  messages_usage usage;
  usage.body(whole.substr(0, 50));
  usage.body(whole.substr(50));
  const auto found = usage.finish();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->prompt_tokens, 20);
  EXPECT_EQ(found->cached_tokens, 3);
  EXPECT_EQ(found->cache_write_tokens, 5);
  EXPECT_EQ(found->cache_write_1h_tokens, 2);
  EXPECT_EQ(found->completion_tokens, 4);
  EXPECT_TRUE(usage.complete());
}

TEST(messages_usage, reads_what_a_price_depends_on) {
  messages_usage of_stream;
  of_stream.body(R"(data: {"type":"message_start","message":{"usage":{"input_tokens":1,)"
                 R"("service_tier":"priority","inference_geo":"us"}}})"
                 "\n\n"
                 R"(data: {"type":"message_delta","usage":{"output_tokens":9,"speed":"fast"}})"
                 "\n\ndata: {\"type\":\"message_stop\"}\n\n");
  ASSERT_TRUE(of_stream.finish());
  EXPECT_EQ(of_stream.how().tier, "priority");
  EXPECT_EQ(of_stream.how().speed, "fast");
  EXPECT_EQ(of_stream.how().geo, "us");
}

TEST(messages_usage, reads_cache_writes_without_their_sum) {
  messages_usage usage;
  usage.body(R"({"type":"message","usage":{"input_tokens":1,"output_tokens":1,"cache_creation":)"
             R"({"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":1500}}})");
  const auto found = usage.finish();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->prompt_tokens, 2001);
  EXPECT_EQ(found->cache_write_tokens, 500);
  EXPECT_EQ(found->cache_write_1h_tokens, 1500);
}

TEST(messages_usage, reads_a_stream_that_comes_in_any_pieces) {
  for (const std::size_t size : {1, 7, 1000}) {
    messages_usage usage;
    for (std::size_t at = 0; at < stream.size(); at += size) usage.body(stream.substr(at, size));
    const auto found = usage.finish();
    ASSERT_TRUE(found) << size;
    EXPECT_EQ(found->prompt_tokens, 13) << size;
    EXPECT_EQ(found->cached_tokens, 3) << size;
    EXPECT_EQ(found->completion_tokens, 9) << size;
    EXPECT_TRUE(usage.complete());
  }
}

TEST(messages_usage, a_reply_without_usage_has_none) {
  for (const std::string_view text :
       {R"({"type":"message"})", R"({"type":"message","usage":null})", "no json", ""}) {
    messages_usage usage;
    usage.body(text);
    EXPECT_FALSE(usage.finish()) << text;
  }
}

TEST(messages_usage, an_object_that_is_too_long_counts_as_a_message_without_usage) {
  messages_usage usage;
  usage.body(R"({"type":"message","usage":{"input_tokens":1,"output_tokens":1},"content":")");
  usage.body(std::string(messages_usage::longest_body, 'x'));
  usage.body("\"}");
  EXPECT_FALSE(usage.finish());
  EXPECT_TRUE(usage.complete());
}

// The beginning of a message reports one token, whatever the length of the reply.
TEST(messages_usage, a_stream_that_breaks_off_has_none) {
  for (const std::string_view last : {"event: message_delta", "event: message_stop"}) {
    messages_usage usage;
    usage.body(stream.substr(0, stream.find(last)));
    EXPECT_FALSE(usage.finish()) << last;
    EXPECT_FALSE(usage.complete()) << last;
  }
}

TEST(messages_usage, the_last_event_may_lack_its_blank_line) {
  messages_usage usage;
  usage.body(stream.substr(0, stream.size() - 2));
  EXPECT_EQ(usage.finish().value().completion_tokens, 9);
  EXPECT_TRUE(usage.complete());
}

// A missing count is not zero.
TEST(messages_usage, a_usage_without_input_or_output_is_none) {
  for (const std::string_view counts :
       {R"("input_tokens":10)", R"("output_tokens":4)", R"("prompt_tokens":10)"}) {
    messages_usage usage;
    usage.body(fmt::format(R"({{"type":"message","usage":{{{}}}}})", counts));
    EXPECT_FALSE(usage.finish()) << counts;
    EXPECT_TRUE(usage.complete());
  }
  messages_usage usage;
  usage.body(
      "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
      "\"output_tokens\":1}}}\n\ndata: {\"type\":\"message_stop\"}\n\n");
  EXPECT_FALSE(usage.finish()) << "the final number of output tokens never came";
  EXPECT_TRUE(usage.complete());
}

// The end of a stream repeats the sum of the cache writes, but not their parts.
TEST(messages_usage, a_stream_keeps_its_one_hour_cache_writes) {
  messages_usage usage;
  usage.body(
      "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
      "\"cache_creation_input_tokens\":7,\"cache_creation\":{\"ephemeral_5m_input_tokens\":2,"
      "\"ephemeral_1h_input_tokens\":5},\"output_tokens\":1}}}\n\n"
      "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":10,"
      "\"cache_creation_input_tokens\":7,\"output_tokens\":9}}\n\n"
      "data: {\"type\":\"message_stop\"}\n\n");
  const auto found = usage.finish();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->cache_write_tokens, 2);
  EXPECT_EQ(found->cache_write_1h_tokens, 5);
  EXPECT_EQ(found->prompt_tokens, 17);
  EXPECT_EQ(found->completion_tokens, 9);
}

}  // namespace
}  // namespace sluice::server
