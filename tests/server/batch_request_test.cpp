#include "server/batch_request.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace sluice::server {
namespace {

std::string body(const std::string& more) {
  return R"({"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h")" +
         more + "}";
}

batch_request good(const std::string& text) {
  auto read = read_batch_request(text);
  if (const auto* refusal = std::get_if<api_error>(&read)) {
    ADD_FAILURE() << text << "\n" << refusal->message;
    return {};
  }
  return std::get<batch_request>(std::move(read));
}

api_error refused(const std::string& text) {
  auto read = read_batch_request(text);
  if (auto* refusal = std::get_if<api_error>(&read)) return *refusal;
  ADD_FAILURE() << "accepted: " << text;
  return {};
}

TEST(BatchRequest, ReadsWhatOpenAiDocuments) {
  const auto read = good(body(
      R"(,"metadata":{"project":"night"},"output_expires_after":{"anchor":"created_at","seconds":3600})"));
  EXPECT_EQ(read.input_file_id, "file-1");
  EXPECT_EQ(read.target, endpoint::chat_completions);
  EXPECT_EQ(read.completion_window, "24h");
  EXPECT_EQ(read.window_s, 86400);
  EXPECT_TRUE(read.has_metadata);
  EXPECT_EQ(read.metadata.at("project"), "night");
  EXPECT_EQ(read.output_expires_after_s, 3600);
  EXPECT_EQ(read.priority, 0);
}

TEST(BatchRequest, NullsCountAsMissing) {
  const auto read = good(body(R"(,"metadata":null,"output_expires_after":null,"priority":null)"));
  EXPECT_FALSE(read.has_metadata);
  EXPECT_EQ(read.output_expires_after_s, std::nullopt);
}

TEST(BatchRequest, EachMissingParameterIsNamedInOpenAisWords) {
  for (const char* name : {"input_file_id", "endpoint", "completion_window"}) {
    std::string text = body("");
    const std::string quoted = fmt::format("\"{}\"", name);
    text.replace(text.find(quoted), quoted.size(), "\"other\"");
    const auto why = refused(text);
    EXPECT_EQ(why.status, 400);
    EXPECT_EQ(why.message, fmt::format("Missing required parameter: '{}'.", name));
    EXPECT_EQ(why.param, name);
    EXPECT_EQ(why.code, "missing_required_parameter");
  }
}

TEST(BatchRequest, AWindowIsAWholeNumberOfHoursOrDaysUpToThirtyDays) {
  const auto window = [](const std::string& text) {
    std::string whole = body("");
    whole.replace(whole.find("24h"), 3, text);
    return whole;
  };
  EXPECT_EQ(good(window("1h")).window_s, 3600);
  EXPECT_EQ(good(window("7d")).window_s, 7 * 86400);
  EXPECT_EQ(good(window("30d")).window_s, 30 * 86400);
  EXPECT_EQ(good(window("720h")).window_s, 30 * 86400);
  for (const char* wrong : {"0h", "-1h", "31d", "721h", "24", "h", "24 h", "1.5h", "24hours",
                            "99999999999999999999h", ""}) {
    EXPECT_EQ(refused(window(wrong)).param, "completion_window") << wrong;
  }
}

TEST(BatchRequest, OtherTypesAreRefusedByName) {
  EXPECT_EQ(refused(R"({"input_file_id":7})").param, "input_file_id");
  EXPECT_EQ(refused(R"({"input_file_id":"f","endpoint":[]})").param, "endpoint");
  EXPECT_EQ(refused(body(R"(,"metadata":[])")).param, "metadata");
  EXPECT_EQ(refused(body(R"(,"metadata":{"a":1})")).param, "metadata");
  EXPECT_EQ(refused(body(R"(,"output_expires_after":5)")).param, "output_expires_after");
  EXPECT_EQ(refused(body(R"(,"output_expires_after":{"anchor":"now","seconds":3600})")).param,
            "output_expires_after");
  EXPECT_EQ(
      refused(body(R"(,"output_expires_after":{"anchor":"created_at","seconds":3599})")).param,
      "output_expires_after");
  EXPECT_EQ(refused(body(R"(,"priority":101)")).param, "priority");
  EXPECT_EQ(refused(body(R"(,"priority":1.5)")).param, "priority");
}

TEST(BatchRequest, AnUnknownEndpointIsRefusedWithTheOnesThatWork) {
  std::string text = body("");
  text.replace(text.find("/v1/chat/completions"), 20, "/v1/moderations");
  const auto why = refused(text);
  EXPECT_EQ(why.param, "endpoint");
  EXPECT_NE(why.message.find("'/v1/embeddings'"), std::string::npos);
}

TEST(BatchRequest, MetadataHasOpenAisLimits) {
  std::string pairs;
  for (int i = 0; i < 17; ++i)
    pairs += (i > 0 ? "," : "") + ("\"k" + std::to_string(i) + "\":\"v\"");
  EXPECT_EQ(refused(body(",\"metadata\":{" + pairs + "}")).param, "metadata");
  EXPECT_EQ(good(body(R"(,"metadata":{")" + std::string(64, 'k') + R"(":")" +
                      std::string(512, 'v') + R"("})"))
                .metadata.size(),
            1U);
  EXPECT_EQ(refused(body(R"(,"metadata":{")" + std::string(65, 'k') + R"(":""})")).param,
            "metadata");
  EXPECT_EQ(refused(body(R"(,"metadata":{"k":")" + std::string(513, 'v') + R"("})")).param,
            "metadata");
}

TEST(BatchRequest, MetadataIsCountedInCharacters) {
  const auto text = [](std::size_t count) {
    std::string made;
    for (std::size_t i = 0; i < count; ++i) made += "名";
    return made;
  };
  EXPECT_TRUE(
      good(body(R"(,"metadata":{")" + text(64) + R"(":")" + text(512) + R"("})")).has_metadata);
  EXPECT_EQ(refused(body(R"(,"metadata":{"k":")" + text(513) + R"("})")).param, "metadata");
}

// The window is stored in the record of the batch as it was given.
TEST(BatchRequest, AWindowWithManyZerosIsRefused) {
  std::string text = body("");
  text.replace(text.find("24h"), 3, std::string(1 << 20, '0') + "24h");
  EXPECT_EQ(refused(text).param, "completion_window");
  EXPECT_LE(good(body("")).completion_window.size(), 16U);
}

TEST(BatchRequest, NoRefusalRepeatsAHugeText) {
  const std::string huge(1 << 20, 'x');
  for (const char* value : {"file-1", "/v1/chat/completions", "24h"}) {
    std::string text = body("");
    text.replace(text.find(value), std::string(value).size(), huge);
    auto read = read_batch_request(text);
    if (const auto* refusal = std::get_if<api_error>(&read)) {
      EXPECT_LT(refusal->message.size(), 500U) << value;
    } else {
      // No file has this id.
      const auto& id = std::get<batch_request>(read).input_file_id;
      EXPECT_LT(not_found("File", id).message.size(), 500U) << value;
    }
  }
  EXPECT_LT(refused(body(R"(,"metadata":{")" + huge + R"(":1})")).message.size(), 500U);
}

TEST(BatchRequest, WhatIsNoObjectIsRefused) {
  for (const char* text : {"", "[]", "null", "{", "\"text\"", "{\"input_file_id\":\"f\"} x"}) {
    EXPECT_EQ(refused(text).status, 400) << text;
  }
}

}  // namespace
}  // namespace sluice::server
