#include "server/single_call.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::server {
namespace {

constexpr std::string_view chat = "/v1/chat/completions";

TEST(single_call, keeps_the_body_byte_for_byte) {
  const std::string body =
      "{ \"model\":\"gpt-4o\",\n "
      "\"stream\":true,\"n\":3,\"service_tier\":\"flex\",\"custom_id\":1}\n";
  const auto call = read_call(chat, body);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->asked.body, body);
  EXPECT_EQ(call->asked.model, "gpt-4o");
  EXPECT_TRUE(call->asked.streamed);
  EXPECT_EQ(call->asked.choices, 3U);
  EXPECT_TRUE(call->flex);
  EXPECT_FALSE(call->messages);
  EXPECT_TRUE(read_call("/v1/messages", body)->messages);
}

TEST(single_call, refuses_what_no_relay_can_answer) {
  const std::vector<std::pair<std::string, std::string>> bodies = {
      {"", "parse the JSON body"},
      {R"({"model":)", "parse the JSON body"},
      {"[1]", "not a JSON object"},
      {"{}", "you must provide a model parameter"},
      {R"({"model":null})", "you must provide a model parameter"},
      {R"({"model":7})", "you must provide a model parameter"}};
  for (const auto& [body, words] : bodies) {
    const auto call = read_call(chat, body);
    ASSERT_FALSE(call) << body;
    EXPECT_EQ(call.error().status, 400);
    EXPECT_NE(call.error().message.find(words), std::string::npos) << call.error().message;
  }
}

TEST(single_call, refuses_a_model_with_a_huge_name_and_does_not_quote_it) {
  const auto asked = [](std::size_t size) {
    return read_call(chat, R"({"model":")" + std::string(size, 'm') + R"(","messages":[]})");
  };
  EXPECT_TRUE(asked(512));
  for (const std::size_t size : {std::size_t{513}, std::size_t{1} << 20}) {
    const auto call = asked(size);
    ASSERT_FALSE(call);
    EXPECT_EQ(call.error().status, 400);
    EXPECT_EQ(call.error().param, "model");
    EXPECT_LT(call.error().message.size(), 200U);
    EXPECT_EQ(call.error().message.find("mmm"), std::string::npos);
  }
}

TEST(single_call, refuses_a_model_with_a_nul_character) {
  const auto call = read_call(chat, R"({"model":"gpt\u0000","messages":[]})");
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().param, "model");
}

header_fields fields(std::initializer_list<std::pair<std::string_view, std::string_view>> list) {
  header_fields made;
  for (const auto& [name, value] : list) made.add(name, value);
  return made;
}
std::string text(const header_fields& all) {
  std::string lines;
  for (const auto& [name, value] : all) lines.append(name).append("=").append(value).append(";");
  return lines;
}

TEST(single_call, the_relay_gets_the_fields_of_the_client_but_not_its_key) {
  const auto came = fields({{"Host", "here"},
                            {"authorization", "Bearer sk-of-the-client"},
                            {"x-api-key", "sk-of-the-client"},
                            {"Connection", "keep-alive, X-Mine"},
                            {"X-Mine", "1"},
                            {"Cookie", "a=b"},
                            {"Accept-Encoding", "gzip"},
                            {"Content-Length", "7"},
                            {"Transfer-Encoding", "chunked"},
                            {"Idempotency-Key", "k"},
                            {"User-Agent", "OpenAI/Python"},
                            {"Content-Type", "application/json"},
                            {"X-Stainless-Lang", "python"}});
  relay_options relay;
  relay.api_key = "sk-of-the-relay";
  single_call call;
  EXPECT_EQ(text(fields_for_relay(came, call, relay)),
            "User-Agent=OpenAI/Python;Content-Type=application/json;X-Stainless-Lang=python;");
  EXPECT_EQ(text(fields_for_relay(fields({{"Content-Type", "application/x-www-form-urlencoded"}}),
                                  call, relay)),
            "")
      << "curl -d says so; the client's own default is right";
  EXPECT_EQ(text(fields_for_relay(fields({{"Content-Type", "application/json; charset=utf-8"}}),
                                  call, relay)),
            "Content-Type=application/json; charset=utf-8;");
  call.messages = true;
  EXPECT_EQ(text(fields_for_relay(fields({{"anthropic-beta", "b"}}), call, relay)),
            "anthropic-beta=b;x-api-key=sk-of-the-relay;anthropic-version=2023-06-01;");
  EXPECT_EQ(text(fields_for_relay(fields({{"Anthropic-Version", "2024-01-01"}}), call, relay)),
            "Anthropic-Version=2024-01-01;x-api-key=sk-of-the-relay;");
}

TEST(single_call, the_client_gets_the_fields_of_the_relay_but_not_its_key) {
  relay_options relay;
  relay.api_key = "sk-of-the-relay-0123456789";
  const secrets hidden(relay);
  const auto came = fields({{"Content-Type", "text/event-stream"},
                            {"Content-Length", "7"},
                            {"Content-Encoding", "gzip"},
                            {"Transfer-Encoding", "chunked"},
                            {"Connection", "close"},
                            {"Date", "now"},
                            {"Server", "nginx"},
                            {"Set-Cookie", "c=d"},
                            {"Retry-After", "3"},
                            {"x-ratelimit-remaining-requests", "9"},
                            {"X-Echo", "key sk-of-the-relay-0123456789"},
                            {"x-request-id", "req_1"}});
  EXPECT_EQ(text(fields_for_client(came, hidden)),
            "Content-Type=text/event-stream;Retry-After=3;x-ratelimit-remaining-requests=9;"
            "X-Echo=key [key];x-request-id=req_1;");
}

}  // namespace
}  // namespace sluice::server
