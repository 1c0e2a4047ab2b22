// Tests the reader with the bytes that the simulated relay sends, for each fault. The reader and
// the simulated relay share no code.
#include <gtest/gtest.h>

#include <boost/algorithm/string/case_conv.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "openai/reply_reader.hpp"
#include "simulator/script.hpp"

namespace sluice::openai {
namespace {

using json = nlohmann::json;
using simulator::fault_kind;
using need = reply_reader::need;
using ending = reply_reader::ending;

constexpr std::string_view request_id = "20260101000000000000000abcdefgh";

struct question {
  endpoint target;
  simulator::endpoint to;
  json body;
};

std::vector<question> questions() {
  std::vector<question> made;
  for (int number = 0; number < 6; ++number) {
    const std::string words = "question " + std::to_string(number);
    json chat{{"messages", {{{"role", "user"}, {"content", words}}}}};
    chat["model"] = number % 3 == 0 ? "deepseek-reasoner" : "gpt-4o";
    chat["n"] = 1 + number % 3;
    chat["logprobs"] = number % 2 == 0;
    made.push_back({endpoint::chat_completions, simulator::endpoint::chat, chat});
    chat["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
    chat["tool_choice"] = "required";
    made.push_back({endpoint::chat_completions, simulator::endpoint::chat, chat});
    const json prompt{
        {"model", "gpt-3.5-turbo-instruct"}, {"prompt", words}, {"n", 1 + number % 2}};
    made.push_back({endpoint::completions, simulator::endpoint::completions, prompt});
    const json input{{"model", "gpt-5"}, {"input", words}};
    made.push_back({endpoint::responses, simulator::endpoint::responses, input});
  }
  return made;
}

simulator::script reply_to(const question& asked, bool streamed, fault_kind fault) {
  json body = asked.body;
  if (streamed) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  auto understood = simulator::request_reader(7).read(asked.to, body.dump());
  if (const auto* error = std::get_if<simulator::api_error>(&understood))
    throw std::runtime_error(error->message);
  const auto& request = std::get<simulator::inference_request>(understood);
  return reply_script(request, compose(request, 20), {"id", 1'700'000'000, true}, fault,
                      request_id);
}

struct reading {
  boost::system::result<reply, failure> outcome;
  need last_need;
};

/// What the client reads from the script. A script that sends nothing is a broken connection.
reading read(const question& asked, const simulator::script& sent, bool streamed) {
  reply_reader reader({.target = asked.target,
                       .choices = asked.body.value("n", 1U),
                       .streamed = streamed,
                       .model = asked.body["model"]});
  if (sent.sends_nothing) return {reader.finish(ending::cut), need::more};
  reply_head head;
  head.status = sent.status;
  head.content_type = sent.content_type;
  std::istringstream lines(sent.extra_headers);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    head.hints[boost::to_lower_copy(line.substr(0, colon))] =
        line.substr(colon + 2, line.size() - colon - 3);
  }
  reader.head(head, 0);
  need wanted = need::more;
  for (std::size_t at = 0; at < sent.body.size() && wanted != need::nothing; at += 77)
    wanted = reader.body(std::string_view(sent.body).substr(at, 77));
  const ending how = sent.end == simulator::ending::whole     ? ending::complete
                     : sent.end == simulator::ending::silence ? ending::timeout
                                                              : ending::cut;
  return {reader.finish(how), wanted};
}

/// The whole object without the members that a fault may leave out or change.
json essence(const std::string& body, fault_kind fault) {
  json whole = json::parse(body);
  if (fault == fault_kind::no_usage) whole.erase("usage");
  if (fault == fault_kind::usage_dialect) {
    whole.erase("usage");
    whole.erase("x_groq");
  }
  if (fault == fault_kind::content_parts && whole.contains("choices")) {
    for (json& choice : whole["choices"]) {
      if (!choice.contains("message") || !choice["message"]["content"].is_array()) continue;
      json& content = choice["message"]["content"];
      if (content.size() == 1) content = json(content[0]["text"]);
    }
  }
  if (fault == fault_kind::filtered && whole.contains("choices")) {
    for (json& choice : whole["choices"]) choice.erase("finish_reason");
  }
  return whole;
}

class SimulatedRelay : public testing::TestWithParam<std::size_t> {
 public:
  static fault_kind fault() { return static_cast<fault_kind>(GetParam()); }
};

TEST_P(SimulatedRelay, IsUnderstoodStreamedOrNot) {
  const std::map<fault_kind, failure_class> other_than_passing{
      {fault_kind::refused_429, failure_class::throttled},
      {fault_kind::refused_429_hint, failure_class::throttled},
      {fault_kind::refused_429_reset, failure_class::throttled},
      {fault_kind::no_price, failure_class::permanent},
      {fault_kind::model_denied, failure_class::permanent},
      {fault_kind::key_spent, failure_class::key_ended},
      {fault_kind::quota, failure_class::key_ended},
      {fault_kind::quota_in_words, failure_class::key_ended},
      {fault_kind::no_model, failure_class::permanent},
      {fault_kind::too_large, failure_class::permanent}};
  for (const question& asked : questions()) {
    const auto expected = read(asked, reply_to(asked, false, fault_kind::none), false).outcome;
    ASSERT_TRUE(expected.has_value()) << expected.error().message;
    for (const bool streamed : {false, true}) {
      const auto sent = reply_to(asked, streamed, fault());
      const auto seen = read(asked, sent, streamed);
      SCOPED_TRACE(sent.body);
      if (sent.delivered) {
        ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
        EXPECT_EQ(essence(seen.outcome->body, fault()), essence(expected->body, fault()));
        if (fault() == fault_kind::no_usage) {
          EXPECT_EQ(seen.outcome->usage, std::nullopt);
        } else {
          EXPECT_EQ(seen.outcome->usage, expected->usage);
        }
        if (sent.end == simulator::ending::silence) {
          EXPECT_EQ(seen.last_need, need::nothing);
        }
        continue;
      }
      ASSERT_FALSE(seen.outcome.has_value());
      const auto found = other_than_passing.find(fault());
      EXPECT_EQ(seen.outcome.error().kind,
                found == other_than_passing.end() ? failure_class::passing : found->second);
      const bool hints =
          fault() == fault_kind::refused_429_hint || fault() == fault_kind::refused_429_reset;
      EXPECT_EQ(seen.outcome.error().retry_after.has_value(), hints);
      EXPECT_EQ(seen.outcome.error().model_out, fault() == fault_kind::no_channel);
      EXPECT_EQ(seen.outcome.error().tier_full, fault() == fault_kind::tier_full);
      EXPECT_EQ(seen.outcome.error().max_retries, fault() == fault_kind::no_channel ? 2 : -1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, SimulatedRelay,
                         testing::Range<std::size_t>(0, simulator::fault_kinds),
                         [](const auto& row) {
                           std::string name(name_of(static_cast<fault_kind>(row.param)));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace sluice::openai
