#include "simulator/stream_shape.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::simulator {
namespace {

using nlohmann::json;

/// A stream with three chunks of one choice, its usage, and [DONE].
event_stream plain() {
  event_stream stream;
  for (const auto* event :
       {R"(data: {"choices":[{"delta":{"content":"a\n"},"finish_reason":null}],"usage":null})",
        R"(data: {"choices":[{"delta":{"content":"b"},"finish_reason":null}],"usage":null})"}) {
    stream.text.append(event).append("\n\n");
    stream.steps.push_back(stream.text.size());
  }
  stream.text +=
      "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n"
      "data: [DONE]\n\n";
  stream.steps.back() = stream.text.size();
  return stream;
}

std::string as(fault_kind shape, std::uint64_t seed = 1) {
  random random(seed);
  const auto made = reshaped(plain(), shape, random);
  EXPECT_EQ(made.steps.size(), plain().steps.size()) << name_of(shape);
  EXPECT_TRUE(std::is_sorted(made.steps.begin(), made.steps.end()));
  EXPECT_EQ(made.steps.back(), made.text.size()) << name_of(shape);
  return made.text;
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

/// The data of every event that is JSON.
std::vector<json> chunks_of(const std::string& text) {
  std::vector<json> chunks;
  for (std::size_t at = 0; (at = text.find("data: {", at)) != std::string::npos;) {
    at += 6;
    chunks.push_back(json::parse(text.substr(at, text.find('\n', at) - at)));
  }
  return chunks;
}

TEST(StreamShape, OtherFaultsChangeNothing) {
  EXPECT_EQ(as(fault_kind::none), plain().text);
  EXPECT_EQ(as(fault_kind::ragged), plain().text);
}

TEST(StreamShape, LinesEndWithCrlfOrCr) {
  const auto crlf = as(fault_kind::crlf);
  EXPECT_EQ(std::count(crlf.begin(), crlf.end(), '\n'), std::count(crlf.begin(), crlf.end(), '\r'));
  EXPECT_EQ(replaced(crlf, "\r\n", "\n"), plain().text);
  const auto cr = as(fault_kind::cr);
  EXPECT_EQ(cr.find('\n'), std::string::npos);
  EXPECT_EQ(replaced(cr, "\r", "\n"), plain().text);
}

TEST(StreamShape, KeepAlivesAreBetweenTheEvents) {
  std::string all;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto text = as(fault_kind::keep_alives, seed);
    EXPECT_EQ(chunks_of(text), chunks_of(plain().text));
    EXPECT_TRUE(text.ends_with("data: [DONE]\n\n"));
    all += text;
  }
  for (const auto* noise : {": PING\n\n", "data: : keepalive\n\n", "id: 7\n\n", "retry: 3000\n\n",
                            "event: ping\n\n", "data:\n\n"})
    EXPECT_NE(all.find(noise), std::string::npos) << noise;
}

TEST(StreamShape, NoDoneRemovesOnlyDone) {
  EXPECT_EQ(as(fault_kind::no_done) + "data: [DONE]\n\n", plain().text);
}

TEST(StreamShape, NoFinishRemovesOnlyTheReasons) {
  EXPECT_EQ(as(fault_kind::no_finish), replaced(plain().text, "\"stop\"", "null"));
}

TEST(StreamShape, BrokenOffEndsWithAReasonForIt) {
  std::set<std::string> met;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto chunks = chunks_of(as(fault_kind::broken_off, seed));
    met.insert(chunks[2]["choices"][0]["finish_reason"]);
    EXPECT_TRUE(chunks[1]["choices"][0]["finish_reason"].is_null());
  }
  EXPECT_EQ(met, (std::set<std::string>{"insufficient_system_resource", "network_error",
                                        "network-error", "abort", "ERROR"}));
}

TEST(StreamShape, NullFinishIsAStringExceptAtTheEnd) {
  const auto chunks = chunks_of(as(fault_kind::null_finish));
  EXPECT_EQ(chunks[0]["choices"][0]["finish_reason"], "null");
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
}

TEST(StreamShape, SomeContentPartsAreLists) {
  const std::string text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\\\"b\"}}]}\n\n";
  std::set<std::string> met;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    random random(seed);
    const auto made = reshaped({text, {text.size()}}, fault_kind::content_parts, random);
    EXPECT_EQ(made.steps.back(), made.text.size());
    met.insert(made.text);
  }
  EXPECT_EQ(
      met, (std::set<std::string>{text,
                                  "data: {\"choices\":[{\"delta\":{\"content\":[{\"type\":\"text\","
                                  "\"text\":\"a\\\"b\"}]}}]}\n\n"}));
}

TEST(StreamShape, NoFinishOfAResponseRemovesOnlyItsLastEvent) {
  const std::string begun = "event: response.created\ndata: {}\n\n";
  for (const std::string last : {"response.completed", "response.incomplete"}) {
    random random(1);
    const std::string text = begun + "event: " + last + "\ndata: {}\n\n";
    const auto made = reshaped({text, {text.size()}}, fault_kind::no_finish, random);
    EXPECT_EQ(made.text, begun);
    EXPECT_EQ(made.steps.back(), begun.size());
  }
}

TEST(StreamShape, UsageMovesToTheLastChoiceOrToAllOfThem) {
  const json right{{"prompt_tokens", 7}, {"completion_tokens", 2}};
  for (const auto shape : {fault_kind::usage_on_last, fault_kind::usage_on_every}) {
    const auto chunks = chunks_of(as(shape));
    ASSERT_EQ(chunks.size(), 3U) << "no chunk has only usage";
    EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(chunks[2]["usage"], right);
    for (const auto& before : {chunks[0], chunks[1]}) {
      EXPECT_EQ(before["usage"].is_null(), shape == fault_kind::usage_on_last);
      EXPECT_NE(before["usage"], right);
    }
  }
}

TEST(StreamShape, AStreamWithoutUsageHasNoneToMove) {
  const std::string text = "data: {\"choices\":[]}\n\ndata: [DONE]\n\n";
  random random(1);
  EXPECT_EQ(reshaped({text, {text.size()}}, fault_kind::usage_on_every, random).text, text);
}

TEST(StreamError, HasManyFormsWithTheSameMessage) {
  for (const auto& [to, forms] : {std::pair(endpoint::chat, 9U), {endpoint::responses, 4U}}) {
    std::set<std::string> met;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      random random(seed);
      met.insert(stream_error(to, random));
    }
    EXPECT_EQ(met.size(), forms);
    for (const auto& form : met) {
      EXPECT_NE(form.find(upstream_down), std::string::npos) << form;
      for (const auto& chunk : chunks_of(form)) EXPECT_TRUE(chunk.is_object());
    }
  }
}

}  // namespace
}  // namespace sluice::simulator
