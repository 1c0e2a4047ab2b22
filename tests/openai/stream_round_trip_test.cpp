#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using json = nlohmann::ordered_json;

/// Makes random replies, and the streams that different relays would send for them.
class relay {
 public:
  explicit relay(unsigned seed) : random_(seed) {}

  json reply(endpoint target, unsigned choices) {
    if (target == endpoint::responses) return response();
    json whole = {
        {"id", "x-" + text(4)},
        {"object", target == endpoint::completions ? "text_completion" : "chat.completion"},
        {"created", 1 + static_cast<int>(below(1'000'000))},
        {"model", "m"}};
    whole["choices"] = json::array();
    for (unsigned i = 0; i < choices; ++i) {
      whole["choices"].push_back(target == endpoint::completions ? completion(i) : answer(i));
    }
    if (!chance(8)) {
      whole["usage"] = {{"prompt_tokens", 1 + below(100)}, {"completion_tokens", below(100)}};
    }
    if (chance(2)) whole["system_fingerprint"] = "fp_" + text(3);
    return whole;
  }

  /// The bytes of the reply as a stream.
  std::string stream(const json& whole, endpoint target) {
    static const std::vector<std::string> line_ends = {"\n", "\r\n", "\r"};
    line_end_ = line_ends[below(3)];
    colon_ = chance(3) ? ":" : ": ";
    noisy_ = chance(2);
    bytes_.clear();
    if (target == endpoint::responses) {
      tell_response(whole);
    } else {
      tell_choices(whole, target);
    }
    return bytes_;
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }
  bool chance(unsigned of) { return random_() % of == 0; }

 private:
  // The content of a reply.

  std::string text(std::size_t most) {
    static const std::vector<std::string> letters = {"a", " ",  "\n",    "\"",           "\\",
                                                     "é", "鲁", "😀",     "\xE2\x80\xA8", "\xC2\x85",
                                                     "{", "\t", "data: "};
    std::string made;
    for (std::size_t i = below(most + 1); i > 0; --i) made += letters[below(letters.size())];
    return made;
  }

  json logprobs_of(const char* said, const char* other) {
    json list = json::array();
    for (std::size_t i = below(4); i > 0; --i)
      list.push_back({{"token", text(2)}, {"logprob", -0.25}});
    json both = {{"content", nullptr}, {"refusal", nullptr}};
    both[said] = list;
    both[other] = nullptr;
    return both;
  }

  json answer(unsigned index) {
    enum : std::uint8_t { speech, tools, function, refusal };
    const auto kind = below(4);
    json message = {{"role", "assistant"}, {"content", text(30)}};
    if (kind != speech && (kind != tools || chance(2))) message["content"] = nullptr;
    if (message["content"] == "" && kind != speech) message["content"] = nullptr;
    if (const std::string thought = text(10); !thought.empty() && chance(2)) {
      message[chance(2) ? "reasoning_content" : "reasoning"] = thought;
    }
    message["refusal"] = nullptr;
    if (kind == refusal) message["refusal"] = "I " + text(10);
    if (kind == tools) {
      message["tool_calls"] = json::array();
      for (std::size_t i = 1 + below(3); i > 0; --i) {
        message["tool_calls"].push_back(
            {{"id", "call_" + std::to_string(i)},
             {"type", "function"},
             {"function", {{"name", "f" + text(2)}, {"arguments", text(20)}}}});
      }
    }
    if (kind == function) message["function_call"] = {{"name", "f"}, {"arguments", text(20)}};
    const json logprobs =
        kind == refusal ? logprobs_of("refusal", "content") : logprobs_of("content", "refusal");
    return {{"index", index},
            {"message", message},
            {"logprobs", chance(2) ? logprobs : json()},
            {"finish_reason", kind == tools      ? "tool_calls"
                              : kind == function ? "function_call"
                              : chance(4)        ? "length"
                                                 : "stop"}};
  }

  json completion(unsigned index) {
    json logprobs = {{"tokens", json::array()},
                     {"token_logprobs", json::array()},
                     {"top_logprobs", nullptr},
                     {"text_offset", json::array()}};
    for (std::size_t i = below(4); i > 0; --i) {
      logprobs["tokens"].push_back(text(2));
      logprobs["token_logprobs"].push_back(-0.5);
      logprobs["text_offset"].push_back(i);
    }
    return {{"text", text(30)},
            {"index", index},
            {"logprobs", chance(2) ? logprobs : json()},
            {"finish_reason", chance(2) ? "length" : "stop"}};
  }

  json response() {
    json whole = {{"id", "resp_" + text(4)}, {"object", "response"}, {"status", "completed"}};
    whole["error"] = nullptr;
    whole["output"] = json::array();
    for (std::size_t i = 1 + below(3); i > 0; --i) whole["output"].push_back(item(i));
    if (chance(4)) {
      whole["status"] = "incomplete";
      whole["incomplete_details"] = {{"reason", "max_output_tokens"}};
    }
    whole["usage"] = {{"input_tokens", 1 + below(100)}, {"output_tokens", below(100)}};
    return whole;
  }

  json item(std::size_t number) {
    const std::string id = "item_" + std::to_string(number);
    switch (below(4)) {
      case 0:
        return {{"type", "reasoning"}, {"id", id}, {"summary", {{{"text", text(10)}}}}};
      case 1:
        return {{"type", "function_call"}, {"id", id}, {"name", "f"}, {"arguments", text(20)}};
      case 2:
        return {{"type", "message"},
                {"id", id},
                {"content", {{{"type", "refusal"}, {"refusal", text(10)}}}}};
      default:
        return {{"type", "message"},
                {"id", id},
                {"content",
                 {{{"type", "output_text"}, {"text", text(30)}, {"logprobs", json::array()}}}}};
    }
  }

  // The format of a stream.

  std::string line(std::string_view field, std::string_view value) {
    return std::string(field) + colon_ + std::string(value) + line_end_;
  }

  void tell_text(std::string_view data, std::string_view type = {}) {
    if (noisy_) make_noise();
    if (!type.empty()) bytes_ += line("event", type);
    for (std::size_t begin = 0; begin <= data.size();) {
      const std::size_t end = std::min(data.find('\n', begin), data.size());
      bytes_ += line("data", data.substr(begin, end - begin));
      begin = end + 1;
    }
    bytes_ += line_end_;
  }

  /// Writes the value in one line or in several lines.
  void tell(const json& value, std::string_view type = {}) {
    tell_text(value.dump(chance(8) ? 1 : -1, ' ', chance(2)), type);
  }

  void make_noise() {
    const std::string noise[] = {": PING" + line_end_,
                                 line("data", ": keepalive"),
                                 line("id", "7"),
                                 line("retry", "3000"),
                                 line("data", ""),
                                 line("event", "ping"),
                                 ""};
    if (chance(3)) bytes_ += noise[below(std::size(noise))] + line_end_;
  }

  /// Writes the choices in random order. The pieces of each choice stay in order.
  void tell_choices(const json& whole, endpoint target) {
    std::vector<std::vector<json>> queues;
    std::size_t left = 0;
    for (const json& choice : whole["choices"]) {
      queues.push_back(target == endpoint::completions ? pieces_of_text(choice)
                                                       : pieces_of(choice));
      left += queues.back().size();
    }
    json frame = whole;
    frame["object"] = target == endpoint::completions ? "text_completion" : "chat.completion.chunk";
    const json usage = whole.value("usage", json());
    enum : std::uint8_t { alone, on_last, on_every };
    const auto placed = usage.is_null() ? std::size_t{on_last} : below(3);
    std::vector<std::size_t> next(queues.size(), 0);
    for (; left > 0; --left) {
      std::vector<std::size_t> open;
      for (std::size_t i = 0; i < queues.size(); ++i) {
        if (next[i] < queues[i].size()) open.push_back(i);
      }
      const std::size_t turn = open[below(open.size())];
      frame["choices"] = json::array({queues[turn][next[turn]++]});
      if (whole.contains("usage")) {
        frame["usage"] = nullptr;
        if (placed == on_every) frame["usage"] = {{"prompt_tokens", 1}, {"completion_tokens", 1}};
        if (placed != alone && left == 1) frame["usage"] = usage;
      }
      tell(frame);
    }
    if (placed == alone) {
      frame["choices"] = json::array();
      frame["usage"] = usage;
      tell(frame);
    }
    if (!chance(4)) tell_text("[DONE]");
  }

  /// Cuts a string at random places between characters.
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
    const bool speaks = message["content"].is_string() || message["refusal"].is_string();
    pieces.push_back(piece(
        choice,
        {{"role", "assistant"}, {"content", speaks ? json("") : json()}, {"refusal", nullptr}}));
    for (const char* told : {"reasoning_content", "reasoning", "content", "refusal"}) {
      if (!message.contains(told) || message[told].is_null()) continue;
      for (const std::string& part : cut(message[told])) {
        pieces.push_back(piece(choice, {{told, part}}));
      }
    }
    if (message.contains("tool_calls")) add_calls(choice, pieces);
    if (message.contains("function_call")) {
      json call = message["function_call"];
      for (const std::string& part : cut(call["arguments"])) {
        call["arguments"] = part;
        pieces.push_back(piece(choice, {{"function_call", call}}));
        call.erase("name");
      }
    }
    share_logprobs(choice["logprobs"], pieces);
    pieces.push_back(piece(choice, json::object()));
    pieces.back()["finish_reason"] = choice["finish_reason"];
    return pieces;
  }

  /// Adds the tool calls. Pieces of calls with an index are mixed; calls without an index come one
  /// after another.
  void add_calls(const json& choice, std::vector<json>& pieces) {
    const json& calls = choice["message"]["tool_calls"];
    const bool indexed = !chance(3);
    const bool names_nothing_again = chance(2);
    std::vector<std::vector<json>> queues;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      json call = calls[i];
      auto& queue = queues.emplace_back();
      for (const std::string& part : cut(call["function"]["arguments"])) {
        call["function"]["arguments"] = part;
        if (indexed) call["index"] = i;
        queue.push_back(call);
        call = {{"function", json::object()}};
        if (names_nothing_again) call = {{"id", ""}, {"function", {{"name", ""}}}};
      }
    }
    std::vector<std::size_t> next(queues.size(), 0);
    for (std::size_t turn = 0; turn < queues.size();) {
      if (next[turn] == queues[turn].size()) {
        ++turn;
        continue;
      }
      const std::size_t now = indexed ? turn + below(queues.size() - turn) : turn;
      if (next[now] == queues[now].size()) continue;
      pieces.push_back(piece(choice, {{"tool_calls", json::array({queues[now][next[now]++]})}}));
    }
  }

  /// Spreads the entries of every list over the pieces. The entries stay in order.
  void share_logprobs(const json& logprobs, std::vector<json>& pieces) {
    if (logprobs.is_null()) return;
    json none = logprobs;
    std::size_t entries = 0;
    for (json& list : none) {
      if (!list.is_array()) continue;
      entries = list.size();
      list.clear();
    }
    pieces[0]["logprobs"] = none;
    for (std::size_t entry = 0, at = 0; entry < entries; ++entry) {
      at += below(pieces.size() - at);
      json& target = pieces[at]["logprobs"];
      if (target.is_null()) target = none;
      for (const auto& [name, list] : logprobs.items()) {
        if (list.is_array()) target[name].push_back(list[entry]);
      }
    }
  }

  std::vector<json> pieces_of_text(const json& choice) {
    std::vector<json> pieces;
    for (const std::string& part : cut(choice["text"])) {
      pieces.push_back({{"text", part},
                        {"index", choice["index"]},
                        {"logprobs", nullptr},
                        {"finish_reason", nullptr}});
    }
    share_logprobs(choice["logprobs"], pieces);
    pieces.back()["finish_reason"] = choice["finish_reason"];
    return pieces;
  }

  void tell_response(const json& whole) {
    json begun = whole;
    begun["status"] = "in_progress";
    begun["output"] = json::array();
    begun["usage"] = nullptr;
    tell_event("response.created", {{"response", begun}});
    const json& items = whole["output"];
    for (std::size_t i = 0; i < items.size(); ++i) {
      tell_event("response.output_item.added",
                 {{"output_index", i}, {"item", {{"id", items[i]["id"]}}}});
      tell_pieces(items[i], i);
      tell_event("response.output_item.done", {{"output_index", i}, {"item", items[i]}});
    }
    json told = whole;
    if (chance(3)) told["output"] = json::array();
    const std::string status = whole["status"];
    tell_event("response." + status, {{"response", told}});
  }

  // Writes the content of an item as deltas, in the events that the API has for this content.
  void tell_pieces(const json& item, std::size_t place) {
    const auto tell = [&](const std::string& of, const std::string& whole, const json& index) {
      for (const std::string& piece : cut(whole)) {
        json event{{"output_index", place}, {"item_id", item["id"]}, {"delta", piece}};
        event.update(index);
        tell_event("response." + of + ".delta", event);
      }
    };
    if (item.contains("arguments")) {
      tell("function_call_arguments", item["arguments"], json::object());
    }
    for (const auto& part : item.value("summary", json::array())) {
      tell("reasoning_summary_text", part["text"], {{"summary_index", 0}});
    }
    for (const auto& part : item.value("content", json::array())) {
      const std::string of = part.contains("text") ? "output_text" : "refusal";
      tell(of, part.contains("text") ? part["text"] : part["refusal"], {{"content_index", 0}});
    }
  }

  void tell_event(const std::string& type, const json& members) {
    json event = {{"type", type}, {"sequence_number", below(1000)}};
    event.update(members);
    tell(event, type);
  }

  std::mt19937 random_;
  std::string line_end_;
  std::string colon_;
  bool noisy_ = false;  ///< the stream has comments and empty events between its events
  std::string bytes_;
};

class RoundTrip : public testing::TestWithParam<endpoint> {};

TEST_P(RoundTrip, AStreamBecomesTheUnstreamedObject) {
  const endpoint target = GetParam();
  for (unsigned seed = 0; seed < 500; ++seed) {
    relay made(seed);
    const auto choices =
        target == endpoint::responses ? 1U : static_cast<unsigned>(1 + made.below(4));
    const json whole = made.reply(target, choices);
    const test::response from{
        .body = made.stream(whole, target), .target = target, .choices = choices};
    std::vector<std::size_t> cuts;
    for (std::size_t at = 1 + made.below(200); at < from.body.size(); at += 1 + made.below(200)) {
      cuts.push_back(at);
    }
    const auto seen = test::read_in_pieces(from, cuts);
    ASSERT_TRUE(seen.outcome.has_value())
        << "seed " << seed << ' ' << seen.outcome.error().message << '\n'
        << from.body;
    // Compares the dumps instead of the values, so that the order of keys counts.
    ASSERT_EQ(json::parse(seen.outcome->body).dump(), whole.dump()) << "seed " << seed << '\n'
                                                                    << from.body;
    ASSERT_NE(seen.last_need, reply_reader::need::more) << "seed " << seed;

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
                         testing::Values(endpoint::chat_completions, endpoint::completions,
                                         endpoint::responses));

}  // namespace
}  // namespace sluice::openai
