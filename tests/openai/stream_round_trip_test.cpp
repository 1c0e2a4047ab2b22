#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using json = nlohmann::ordered_json;

/// Makes random replies, and the streams that a relay would send in their place.
class relay {
 public:
  explicit relay(unsigned seed) : random_(seed) {}

  json reply(endpoint target, unsigned choices) {
    json whole = {
        {"id", "x-" + text(4)},
        {"object", target == endpoint::completions ? "text_completion" : "chat.completion"},
        {"created", 1 + static_cast<int>(below(1'000'000))},
        {"model", "m"}};
    whole["choices"] = json::array();
    for (unsigned i = 0; i < choices; ++i) {
      whole["choices"].push_back(target == endpoint::completions ? completion(i) : answer(i));
    }
    whole["usage"] = {{"prompt_tokens", below(100)}, {"completion_tokens", below(100)}};
    if (chance(2)) whole["system_fingerprint"] = "fp_" + text(3);
    return whole;
  }

  /// The events of the reply: the choices in random order, each choice's pieces in their own.
  std::vector<std::string> stream(const json& whole, endpoint target) {
    std::vector<std::vector<json>> queues;
    for (const json& choice : whole["choices"]) {
      queues.push_back(target == endpoint::completions ? pieces_of_text(choice)
                                                       : pieces_of(choice));
    }
    json frame = whole;
    frame["object"] = target == endpoint::completions ? "text_completion" : "chat.completion.chunk";
    frame["usage"] = nullptr;
    std::vector<std::string> events;
    std::vector<std::size_t> next(queues.size(), 0);
    for (;;) {
      std::vector<std::size_t> open;
      for (std::size_t i = 0; i < queues.size(); ++i) {
        if (next[i] < queues[i].size()) open.push_back(i);
      }
      if (open.empty()) break;
      const std::size_t turn = open[below(open.size())];
      frame["choices"] = json::array({queues[turn][next[turn]++]});
      events.push_back(written(frame));
    }
    frame["choices"] = json::array();
    frame["usage"] = whole["usage"];
    events.push_back(written(frame));
    events.emplace_back("[DONE]");
    return events;
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }
  bool chance(unsigned of) { return random_() % of == 0; }

 private:
  std::string written(const json& value) { return value.dump(-1, ' ', chance(2)); }

  std::string text(std::size_t most) {
    static const std::vector<std::string> letters = {
        "a", " ", "\n", "\"", "\\", "é", "鲁", "😀", "\xE2\x80\xA8", "{", "\t", "data: "};
    std::string made;
    for (std::size_t i = below(most + 1); i > 0; --i) made += letters[below(letters.size())];
    return made;
  }

  json logprobs() {
    json list = json::array();
    for (std::size_t i = below(4); i > 0; --i)
      list.push_back({{"token", text(2)}, {"logprob", -0.25}});
    return {{"content", list}, {"refusal", nullptr}};
  }

  json answer(unsigned index) {
    json message = {{"role", "assistant"}, {"content", text(30)}};
    json calls = json::array();
    for (std::size_t i = below(4); i > 0; --i) {
      calls.push_back({{"id", "call_" + std::to_string(i)},
                       {"type", "function"},
                       {"function", {{"name", "f" + text(2)}, {"arguments", text(20)}}}});
    }
    if (message["content"] == "" && (!calls.empty())) message["content"] = nullptr;
    if (const std::string thought = text(10); !thought.empty() && chance(2)) {
      message["reasoning_content"] = thought;
    }
    message["refusal"] = nullptr;
    if (!calls.empty()) message["tool_calls"] = calls;
    return {{"index", index},
            {"message", message},
            {"logprobs", chance(2) ? logprobs() : json()},
            {"finish_reason", calls.empty() ? "stop" : "tool_calls"}};
  }

  json completion(unsigned index) {
    return {
        {"text", text(30)}, {"index", index}, {"logprobs", nullptr}, {"finish_reason", "length"}};
  }

  /// A string cut at random places between characters.
  std::vector<std::string> cut(const std::string& whole) {
    std::vector<std::string> parts(1);
    for (const char c : whole) {
      const bool begins = (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
      if (begins && chance(4)) parts.emplace_back();
      parts.back() += c;
    }
    return parts;
  }

  static json piece(const json& choice, const json& delta) {
    return {{"index", choice["index"]},
            {"delta", delta},
            {"logprobs", nullptr},
            {"finish_reason", nullptr}};
  }

  std::vector<json> pieces_of(const json& choice) {
    const json& message = choice["message"];
    std::vector<json> pieces;
    const json opening = message["content"].is_null() ? json() : json("");
    pieces.push_back(
        piece(choice, {{"role", "assistant"}, {"content", opening}, {"refusal", nullptr}}));
    if (message.contains("reasoning_content")) {
      for (const std::string& part : cut(message["reasoning_content"])) {
        pieces.push_back(piece(choice, {{"reasoning_content", part}}));
      }
    }
    if (message["content"].is_string()) {
      for (const std::string& part : cut(message["content"])) {
        pieces.push_back(piece(choice, {{"content", part}}));
      }
    }
    if (message.contains("tool_calls")) {
      const bool indexed = !chance(3);
      for (std::size_t i = 0; i < message["tool_calls"].size(); ++i) {
        json call = message["tool_calls"][i];
        const auto parts = cut(call["function"]["arguments"]);
        call["function"]["arguments"] = parts.front();
        for (std::size_t part = 0; part < parts.size(); ++part) {
          if (part > 0) call = {{"function", {{"arguments", parts[part]}}}};
          if (indexed) call["index"] = i;
          pieces.push_back(piece(choice, {{"tool_calls", json::array({call})}}));
        }
      }
    }
    share_logprobs(choice["logprobs"], pieces);
    pieces.push_back(piece(choice, json::object()));
    pieces.back()["finish_reason"] = choice["finish_reason"];
    return pieces;
  }

  void share_logprobs(const json& logprobs, std::vector<json>& pieces) {
    if (logprobs.is_null()) return;
    std::size_t at = 0;
    pieces[0]["logprobs"] = {{"content", json::array()}, {"refusal", nullptr}};
    for (const json& entry : logprobs["content"]) {
      at += below(pieces.size() - at);
      json& target = pieces[at]["logprobs"];
      if (target.is_null()) target = {{"content", json::array()}, {"refusal", nullptr}};
      target["content"].push_back(entry);
    }
  }

  std::vector<json> pieces_of_text(const json& choice) {
    std::vector<json> pieces;
    for (const std::string& part : cut(choice["text"])) {
      pieces.push_back({{"text", part}, {"index", choice["index"]}, {"finish_reason", nullptr}});
    }
    pieces.back()["finish_reason"] = choice["finish_reason"];
    return pieces;
  }

  std::mt19937 random_;
};

class RoundTrip : public testing::TestWithParam<endpoint> {};

TEST_P(RoundTrip, AStreamBecomesTheUnstreamedObject) {
  const endpoint target = GetParam();
  for (unsigned seed = 0; seed < 300; ++seed) {
    relay made(seed);
    const auto choices = static_cast<unsigned>(1 + made.below(4));
    const json whole = made.reply(target, choices);
    const test::response from{
        .body = test::events(made.stream(whole, target)), .target = target, .choices = choices};
    std::vector<std::size_t> cuts;
    for (std::size_t at = 1 + made.below(200); at < from.body.size(); at += 1 + made.below(200)) {
      cuts.push_back(at);
    }
    const auto seen = test::read_in_pieces(from, cuts);
    ASSERT_TRUE(seen.outcome.has_value()) << "seed " << seed << ' ' << seen.outcome.error().message;
    // The dumps are compared, and not the values, so that the order of keys counts.
    ASSERT_EQ(json::parse(seen.outcome->body).dump(), whole.dump()) << "seed " << seed;
    ASSERT_EQ(seen.last_need, reply_reader::need::nothing);

    const auto unstreamed = test::read_in_pieces(
        {.body = whole.dump(2), .target = target, .content_type = "application/json"},
        cuts.empty() ? cuts : std::vector{cuts.front() % 50});
    ASSERT_TRUE(unstreamed.outcome.has_value());
    ASSERT_EQ(unstreamed.outcome->body, whole.dump());
    ASSERT_EQ(unstreamed.outcome->usage, seen.outcome->usage);
    ASSERT_EQ(unstreamed.outcome->finish_reasons, seen.outcome->finish_reasons);
  }
}

INSTANTIATE_TEST_SUITE_P(Endpoints, RoundTrip,
                         testing::Values(endpoint::chat_completions, endpoint::completions));

}  // namespace
}  // namespace sluice::openai
