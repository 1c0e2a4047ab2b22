#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "openai/reading.hpp"
#include "openai/reply_text.hpp"

namespace sluice::openai {
namespace {

using test::answer;
using test::chunk;
using test::events;
using test::piece;
using test::read;
using test::response;
using test::said;
using test::whole;

/// The deltas of a stream, and the expected message.
struct pieces_case {
  const char* name;
  std::vector<std::string> deltas;
  std::string message;
};
std::ostream& operator<<(std::ostream& out, const pieces_case& row) {
  return out << row.name;
}

class ContentPieces : public testing::TestWithParam<pieces_case> {};

TEST_P(ContentPieces, EraseNothing) {
  std::vector<std::string> chunks;
  for (const std::string& delta : GetParam().deltas) chunks.push_back(said(delta));
  chunks.push_back(said("{}", "\"stop\""));
  const auto seen = read({events(chunks)});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, whole(answer(GetParam().message)));
}

std::string message(const std::string& content, const std::string& more = "") {
  return R"({"role":"assistant","content":)" + content + more + R"(,"refusal":null})";
}
std::string text(const std::string& said) {
  return R"({"type":"text","text":")" + said + "\"}";
}

const std::string thought = R"({"type":"thinking","thinking":[{"type":"text","text":"hm"}]})";

INSTANTIATE_TEST_SUITE_P(
    Forms, ContentPieces,
    testing::Values(
        pieces_case{
            "a string, a list, a string: the list wins, and neighbours are joined",
            {R"({"content":"Hel"})", "{\"content\":[" + text("lo") + "]}", R"({"content":" you"})"},
            message("[" + text("Hello you") + "]")},
        pieces_case{"a list, then an empty string",
                    {"{\"content\":[" + text("Hello") + "]}", R"({"content":""})"},
                    message("[" + text("Hello") + "]")},
        pieces_case{"a list, then null",
                    {"{\"content\":[" + text("Hello") + "]}", R"({"content":null})"},
                    message("[" + text("Hello") + "]")},
        pieces_case{"a string, then an empty list",
                    {R"({"content":"Hello"})", R"({"content":[]})"},
                    message("\"Hello\"")},
        pieces_case{"an empty string, then a list",
                    {R"({"role":"assistant","content":""})", "{\"content\":[" + text("a") + "]}"},
                    message("[" + text("a") + "]")},
        pieces_case{"an empty list, then a string",
                    {R"({"content":[]})", R"({"content":"Hello"})", R"({"content":[]})"},
                    message("\"Hello\"")},
        pieces_case{"a string, then null and false",
                    {R"({"content":"Hello"})", R"({"content":null})", R"({"content":false})"},
                    message("\"Hello\"")},
        pieces_case{"nothing but emptiness",
                    {R"({"content":[]})", R"({"content":""})", R"({"content":null})"},
                    message("\"\"")},
        pieces_case{"lists alone: their texts are one, as unstreamed",
                    {"{\"content\":[" + text("Hel") + "]}", "{\"content\":[" + text("lo") + "]}"},
                    message("[" + text("Hello") + "]")},
        pieces_case{"an empty text part is nothing",
                    {R"({"content":"Hello"})", "{\"content\":[" + text("") + "]}"},
                    message("\"Hello\"")},
        pieces_case{"one part in place of a list",
                    {"{\"content\":" + text("Hel") + "}", R"({"content":"lo"})"},
                    message("[" + text("Hello") + "]")},
        pieces_case{"a part without a type, and a delta that is its content",
                    {"{\"content\":" + text("a") + "}", R"({"content":[{"text":"b"}]})", "\"c\""},
                    message("[" + text("abc") + "]")},
        pieces_case{"a list of strings", {R"({"content":["Hel","lo"]})"}, message("\"Hello\"")},
        pieces_case{"a number that lost its quotes",
                    {R"({"content":"4"})", R"({"content":2})"},
                    message("\"42\"")},
        pieces_case{
            "parts of other kinds stand where they came",
            {R"({"content":"a"})", R"({"content":[{"type":"image_url","image_url":{"url":"u"}}]})",
             R"({"content":"b"})", "{\"content\":[" + text("c") + "]}"},
            message("[" + text("a") + R"(,{"type":"image_url","image_url":{"url":"u"}},)" +
                    text("bc") + "]")},
        pieces_case{"texts whose other members are the same are joined, too",
                    {R"({"content":[{"type":"text","index":0,"annotations":[],"text":"a"}]})",
                     R"({"content":[{"type":"text","index":0,"annotations":[],"text":"b"}]})",
                     R"({"content":[{"type":"text","index":1,"annotations":[],"text":"c"}]})"},
                    message(R"([{"type":"text","index":0,"annotations":[],"text":"ab"},)"
                            R"({"type":"text","index":1,"annotations":[],"text":"c"}])")},
        pieces_case{"a surrogate pair cut in two over a list",
                    {R"({"content":"\ud83d"})", R"({"content":[{"type":"text","text":"\ude00"}]})"},
                    message("[" + text("\\ud83d\\ude00") + "]")}));

// https://docs.mistral.ai/capabilities/reasoning/ and https://github.com/symfony/ai/pull/2423
INSTANTIATE_TEST_SUITE_P(
    Thoughts, ContentPieces,
    testing::Values(
        pieces_case{"Mistral's thoughts go where reasoning goes, and strings stay a string",
                    {"{\"content\":[" + thought + "]}", "{\"content\":[" + thought + "]}",
                     R"({"content":"Hello"})"},
                    message("\"Hello\"", R"(,"reasoning_content":"hmhm")")},
        pieces_case{"a thought and a text in one list",
                    {"{\"content\":[" + thought + "," + text("Hel") + "]}", R"({"content":"lo"})"},
                    message("[" + text("Hello") + "]", R"(,"reasoning_content":"hm")")},
        pieces_case{
            "Anthropic's thought, with its signature",
            {R"({"content":[{"type":"thinking","thinking":"hm"}]})",
             R"({"content":[{"type":"thinking","thinking":"","signature":"c2ln"}]})",
             R"({"content":"a"})"},
            R"({"role":"assistant","content":"a","reasoning_content":"hm","refusal":null,"signature":"c2ln"})"},
        // https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models
        pieces_case{
            "Databricks' reasoning",
            {R"({"content":[{"type":"reasoning","summary":[{"type":"summary_text","text":"h"}]}]})",
             R"({"content":[{"type":"reasoning","summary":[{"type":"summary_text","text":"m"}]}]})",
             "{\"content\":[" + text("a") + "]}"},
            message("[" + text("a") + "]", R"(,"reasoning_content":"hm")")},
        pieces_case{"Gemini's thought",
                    {R"({"content":[{"text":"hm","thought":true}]})", R"({"content":"a"})"},
                    message("\"a\"", R"(,"reasoning_content":"hm")")},
        pieces_case{"beside a reasoning of its own name",
                    {R"({"reasoning_content":"h"})",
                     R"({"content":[{"type":"thinking","thinking":"m"}]})", R"({"content":"a"})"},
                    message("\"a\"", R"(,"reasoning_content":"hm")")},
        pieces_case{
            "a thought that is sealed is left as it came",
            {R"({"content":[{"type":"redacted_thinking","data":"x"}]})", R"({"content":"a"})"},
            message(R"([{"type":"redacted_thinking","data":"x"},)" + text("a") + "]")},
        pieces_case{"reasoning as a list, and as a string",
                    {R"({"reasoning_content":[{"type":"text","text":"h"}]})",
                     R"({"reasoning_content":"m"})", R"({"content":"a"})"},
                    message("\"a\"", R"(,"reasoning_content":"hm")")}));

INSTANTIATE_TEST_SUITE_P(
    Labels, ContentPieces,
    testing::Values(
        pieces_case{"a label on each chunk is told once, and the last one stands",
                    {R"({"content":"Hel","phase":"think","status":"typing"})",
                     R"({"content":"lo","phase":"answer","status":"typing"})",
                     R"({"content":"","phase":"answer","status":"finished"})"},
                    R"({"role":"assistant","content":"Hello","refusal":null,)"
                    R"("phase":"answer","status":"finished"})"},
        pieces_case{"a label of any name, whatever it says",
                    {R"({"content":"a","state":"深度思考 中"})",
                     R"({"content":"b","state":"深度思考 中"})"},
                    R"({"role":"assistant","content":"ab","refusal":null,"state":"深度思考 中"})"},
        pieces_case{"one that changes with every chunk of two",
                    {R"({"content":"a","stage":"one"})", R"({"content":"b","stage":"two"})"},
                    R"({"role":"assistant","content":"ab","refusal":null,"stage":"two"})"},
        pieces_case{"one behind a text of no known name",
                    {R"({"musing":"Let","phase":"think"})", R"({"musing":" me","phase":"think"})",
                     R"({"content":"a","phase":"answer"})", R"({"content":"b","phase":"answer"})"},
                    R"({"role":"assistant","content":"ab","refusal":null,)"
                    R"("musing":"Let me","phase":"answer"})"},
        pieces_case{"a text of no known name is joined, though some of its pieces repeat",
                    {R"({"musing":"H"})", R"({"musing":"e"})", R"({"musing":"l"})",
                     R"({"musing":"l"})", R"({"musing":"o"})", R"({"content":"a"})"},
                    R"({"role":"assistant","content":"a","refusal":null,"musing":"Hello"})"},
        pieces_case{"so are its blank lines",
                    {R"({"musing":"\n"})", R"({"musing":"\n"})", R"({"content":"a"})"},
                    R"({"role":"assistant","content":"a","refusal":null,"musing":"\n\n"})"},
        pieces_case{"known texts repeat as they like",
                    {R"({"content":"ha"})", R"({"content":"ha"})", R"({"reasoning":"x"})",
                     R"({"reasoning":"x"})"},
                    R"({"role":"assistant","content":"haha","reasoning":"xx","refusal":null})"}));

TEST(ContentPieces, CountForTheFirstTokenAndForBench) {
  const auto count = [](const std::vector<std::string>& deltas) {
    std::vector<std::string> chunks;
    for (const std::string& delta : deltas) chunks.push_back(said(delta));
    return read({.body = events(chunks), .how = reply_reader::ending::cut}).pieces;
  };
  const auto parts = count({R"({"role":"assistant","content":[]})",
                            "{\"content\":[" + text("") + "]}", "{\"content\":[" + text("a") + "]}",
                            "{\"content\":[" + thought + "]}", R"({"content":["b"]})"});
  EXPECT_EQ(parts.any, 3U);
  EXPECT_EQ(parts.content, 2U);
  EXPECT_EQ(parts.reasoning, 1U);
}

TEST(ChoiceMembers, ListsAreAppendedAndScalarsLastWins) {
  // https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html: return_token_ids
  const auto seen = read({events(
      {chunk(
           R"({"index":0,"delta":{"content":"a"},"token_ids":[1,2],"stop_reason":null,"turn":1})"),
       chunk(R"({"index":0,"delta":{"content":"b"},"token_ids":null})"),
       chunk(R"({"index":0,"delta":{},"token_ids":[2],"stop_reason":7,"turn":2,)"
             R"("finish_reason":"stop"})")})});
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome->body,
            whole(R"({"index":0,"message":{"role":"assistant","content":"ab","refusal":null},)"
                  R"("logprobs":null,"finish_reason":"stop","token_ids":[1,2,2],"turn":2,)"
                  R"("stop_reason":7})"));
}

TEST(ChoiceMembers, AnIndexMayBeAString) {
  const auto seen = read(
      {.body = events(
           {chunk(R"({"index":"0","delta":{"content":"a"}},{"index":"1","delta":{"content":"b"}})"),
            chunk(
                R"({"index":"1","delta":{"tool_calls":[{"index":"0","id":"x","function":{"name":"f","arguments":"{"}},{"index":"1","id":"y","function":{"name":"g","arguments":"["}}]}})"),
            chunk(
                R"({"index":1.0,"delta":{"tool_calls":[{"index":"1","function":{"arguments":"]"}},{"index":0.0,"function":{"arguments":"}"}}]}})"),
            chunk(
                R"({"index":"0","delta":{},"finish_reason":"stop"},{"index":"1","delta":{},"finish_reason":"tool_calls"})")}),
       .choices = 2});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(
      seen.outcome->body,
      whole(
          answer(R"({"role":"assistant","content":"a","refusal":null})") + "," +
          answer(
              R"({"role":"assistant","content":"b","refusal":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"y","type":"function","function":{"name":"g","arguments":"[]"}}]})",
              "\"tool_calls\"", 1)));
}

TEST(ChoiceMembers, ACallAloneStandsForAListOfOne) {
  const auto seen = read({events(
      {said(R"({"tool_calls":{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}})",
            "\"tool_calls\"")})});
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_NE(seen.outcome->body.find(R"("name":"f")"), std::string::npos) << seen.outcome->body;
}

TEST(ToolCalls, AreOfALimitedNumber) {
  std::string calls;
  for (int i = 0; i < 3000; ++i)
    calls += R"({"index":)" + std::to_string(i) + R"(,"id":"c)" + std::to_string(i) + R"("},)";
  calls.pop_back();
  const auto seen = test::read_in_pieces(
      {test::events({said(R"({"tool_calls":[)" + calls + "]}", "\"tool_calls\""), "[DONE]"})}, {});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  const auto body = nlohmann::json::parse(seen.outcome->body);
  EXPECT_EQ(body.at("choices").at(0).at("message").at("tool_calls").size(), 1024U);
}

TEST(Completions, TextMayComeAsAList) {
  const auto seen =
      read({.body = events({R"({"choices":[{"index":0,"text":"a"}]})",
                            R"({"choices":[{"index":0,"text":["b",{"text":"c"}]}]})",
                            R"({"choices":[{"index":0,"text":"","finish_reason":"stop"}]})"}),
            .target = endpoint::completions});
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_NE(seen.outcome->body.find(R"("text":"abc")"), std::string::npos) << seen.outcome->body;
  EXPECT_EQ(seen.pieces.content, 2U);
}

TEST(ReplyTexts, TellThoughtsInAListFromWhatIsSaid) {
  std::string all;
  for (const reply_text& each : reply_texts(whole(answer(
           "{\"content\":[" + thought + R"(,{"type":"thinking","thinking":"so"},)" + text("a") +
           R"(,{"type":"reasoning","summary":[{"type":"summary_text","text":"ah"}]},"b"]})")))) {
    all += each.reasoning ? "(" + each.text + ")" : each.text;
  }
  EXPECT_EQ(all, "(hm)(so)a(ah)b");
}

}  // namespace
}  // namespace sluice::openai
