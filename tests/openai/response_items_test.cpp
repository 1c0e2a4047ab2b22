#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "openai/reading.hpp"

namespace sluice::openai {
namespace {

using test::events;
using test::read;

struct items_case {
  const char* name;
  std::vector<std::string> events;
  std::string body;
};
std::ostream& operator<<(std::ostream& out, const items_case& row) {
  return out << row.name;
}

class ResponseItems : public testing::TestWithParam<items_case> {};

TEST_P(ResponseItems, AreBuiltFromAllEvents) {
  const auto seen = read({.body = events(GetParam().events), .target = endpoint::responses});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, GetParam().body);
  EXPECT_TRUE(seen.content_began);
}

const std::string completed =
    R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[]}})";

std::string whole_with(const std::string& output) {
  return R"({"id":"r","status":"completed","output":[)" + output + "]}";
}

/// An event about an item, with the item's index in the output.
std::string about(const std::string& type, const std::string& more, const std::string& id = "m",
                  int at = 0) {
  return R"({"type":"response.)" + type + R"(","item_id":")" + id + R"(","output_index":)" +
         std::to_string(at) + "," + more + "}";
}
std::string item(const std::string& stage, const std::string& members, int at = 0) {
  return R"({"type":"response.output_item.)" + stage + R"(","output_index":)" + std::to_string(at) +
         R"(,"item":{)" + members + "}}";
}

const std::string message_added =
    R"("id":"m","type":"message","status":"in_progress","role":"assistant","content":[])";
const std::string hello_part = R"({"type":"output_text","text":"Hello","annotations":[]})";
const std::string hello_item =
    R"({"id":"m","type":"message","status":"completed","role":"assistant","content":[)" +
    hello_part + "]}";

// https://github.com/bytedance/deer-flow/pull/1928 and https://github.com/bubbuild/republic/pull/37
INSTANTIATE_TEST_SUITE_P(
    Texts, ResponseItems,
    testing::Values(
        items_case{
            "a text that came only in deltas",
            {item("added", message_added),
             about("content_part.added",
                   R"("content_index":0,"part":{"type":"output_text","text":"","annotations":[]})"),
             about("output_text.delta", R"("content_index":0,"delta":"Hel")"),
             about("output_text.delta", R"("content_index":0,"delta":"lo")"), completed},
            whole_with(hello_item)},
        items_case{"a text that came only in its done event",
                   {item("added", message_added),
                    about("output_text.done", R"("content_index":0,"text":"Hello")"), completed},
                   whole_with(hello_item)},
        items_case{
            "a text that came only in its part",
            {item("added", message_added),
             about("content_part.done", R"("content_index":0,"part":)" + hello_part), completed},
            whole_with(hello_item)},
        items_case{
            "a text that came only in its item",
            {R"({"type":"response.output_item.done","output_index":0,"item":)" + hello_item + "}",
             completed},
            whole_with(hello_item)},
        items_case{
            "deltas and nothing else",
            {R"({"type":"response.output_text.delta","delta":"Hel"})",
             R"({"type":"response.output_text.delta","delta":"lo"})", completed},
            whole_with(R"({"type":"message","role":"assistant","status":"completed","content":[)" +
                       hello_part + "]}")},
        items_case{
            "an item with empty content in the completed event",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"Hello")"),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[{"id":"m","type":"message","status":"completed","role":"assistant","content":[]}]}})"},
            whole_with(hello_item)},
        items_case{
            "the completed event's own is the fuller one",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"Hel")"),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)" +
                 hello_item + "]}}"},
            whole_with(hello_item)},
        items_case{
            "the done item is the fuller one",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"Hel")"),
             R"({"type":"response.output_item.done","output_index":0,"item":)" + hello_item + "}",
             completed},
            whole_with(hello_item)},
        items_case{"the deltas are the fuller form",
                   {item("added", message_added),
                    about("output_text.delta", R"("content_index":0,"delta":"Hello")"),
                    item("done", message_added), completed},
                   whole_with(hello_item)},
        items_case{
            "two parts of one item, and a refusal",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"a")"),
             about("output_text.delta", R"("content_index":1,"delta":"b")"),
             about("output_text.delta", R"("content_index":0,"delta":"c")"),
             about("refusal.delta", R"("content_index":2,"delta":"n")"),
             about("refusal.delta", R"("content_index":2,"delta":"o")"), completed},
            whole_with(
                R"({"id":"m","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"ac","annotations":[]},{"type":"output_text","text":"b","annotations":[]},{"type":"refusal","refusal":"no"}]})")},
        items_case{
            "a surrogate pair cut in two, and escapes as they came",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"\ud83d")"),
             about("output_text.delta", R"("content_index":0,"delta":"\ude00\n\u00e9")"),
             completed},
            whole_with(
                R"({"id":"m","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"\ud83d\ude00\n\u00e9","annotations":[]}]})")},
        items_case{
            "logprobs and annotations that came beside the deltas",
            {item("added", message_added),
             about("output_text.delta",
                   R"("content_index":0,"delta":"a","logprobs":[{"token":"a","logprob":-0.10}])"),
             about("output_text.delta",
                   R"("content_index":0,"delta":"b","logprobs":[{"token":"b","logprob":-1}])"),
             about("output_text.annotation.added",
                   R"("content_index":0,"annotation":{"type":"url_citation","url":"u"})"),
             completed},
            whole_with(
                R"({"id":"m","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"ab","annotations":[{"type":"url_citation","url":"u"}],"logprobs":[{"token":"a","logprob":-0.10},{"token":"b","logprob":-1}]}]})")}));

INSTANTIATE_TEST_SUITE_P(
    CallsAndThoughts, ResponseItems,
    testing::Values(
        items_case{
            "a call whose arguments came only in deltas",
            {item("added",
                  R"("id":"f","type":"function_call","call_id":"c","name":"f","arguments":"")"),
             about("function_call_arguments.delta", R"("delta":"{\"a\"")", "f"),
             about("function_call_arguments.delta", R"("delta":":1}")", "f"), completed},
            whole_with(
                R"({"id":"f","type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"})")},
        // https://github.com/lidge-jun/opencodex/pull/4652
        items_case{
            "a call whose arguments came only in their done event",
            {item("added",
                  R"("id":"f","type":"function_call","call_id":"c","name":"f","arguments":"")"),
             about("function_call_arguments.done", R"("arguments":"{}")", "f"), completed},
            whole_with(
                R"({"id":"f","type":"function_call","call_id":"c","name":"f","arguments":"{}"})")},
        items_case{
            "a call of which only its done event tells the name",
            {about("function_call_arguments.delta", R"("delta":"{}")", "f"),
             about("function_call_arguments.done", R"("name":"f","call_id":"c","arguments":"{}")",
                   "f"),
             completed},
            whole_with(
                R"({"id":"f","type":"function_call","status":"completed","call_id":"c","name":"f","arguments":"{}"})")},
        items_case{
            "the input of a custom tool, and code",
            {item("added", R"("id":"t","type":"custom_tool_call","name":"g","input":"")"),
             about("custom_tool_call_input.delta", R"("delta":"x")", "t"),
             about("custom_tool_call_input.delta", R"("delta":"y")", "t"),
             item("added", R"("id":"p","type":"code_interpreter_call","code":null)", 1),
             about("code_interpreter_call_code.delta", R"("delta":"1+1")", "p", 1), completed},
            whole_with(R"({"id":"t","type":"custom_tool_call","name":"g","input":"xy"},)"
                       R"({"id":"p","type":"code_interpreter_call","code":"1+1"})")},
        items_case{
            "reasoning and its summary",
            {item("added", R"("id":"s","type":"reasoning","summary":[])"),
             about("reasoning_summary_part.added",
                   R"("summary_index":0,"part":{"type":"summary_text","text":""})", "s"),
             about("reasoning_summary_text.delta", R"("summary_index":0,"delta":"so")", "s"),
             about("reasoning_summary_text.done", R"("summary_index":0,"text":"so")", "s"),
             about("reasoning_summary_text.delta", R"("summary_index":1,"delta":"and")", "s"),
             about("reasoning_text.delta", R"("content_index":0,"delta":"h")", "s"),
             about("reasoning_text.delta", R"("content_index":0,"delta":"m")", "s"), completed},
            whole_with(
                R"({"id":"s","type":"reasoning","summary":[{"type":"summary_text","text":"so"},{"type":"summary_text","text":"and"}],"content":[{"type":"reasoning_text","text":"hm"}]})")},
        items_case{
            "a picture that only the done item has",
            {item("done", R"("id":"i","type":"image_generation_call","result":"AAAA")"),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[{"id":"i","type":"image_generation_call"}]}})"},
            whole_with(R"({"id":"i","type":"image_generation_call","result":"AAAA"})")}));

INSTANTIATE_TEST_SUITE_P(
    Keys, ResponseItems,
    testing::Values(
        // https://github.com/teabranch/open-responses-server/pull/63
        items_case{
            "two items under one place, whole",
            {item("done",
                  R"("id":"m","type":"message","content":[{"type":"output_text","text":"a"}])"),
             item("done", R"("id":"f","type":"function_call","name":"f","arguments":"{}")"),
             completed},
            whole_with(
                R"({"id":"m","type":"message","content":[{"type":"output_text","text":"a"}]},)"
                R"({"id":"f","type":"function_call","name":"f","arguments":"{}"})")},
        items_case{"two items under one place, in pieces that interleave",
                   {item("added", R"("id":"f","type":"function_call","name":"f","arguments":"")"),
                    item("added", R"("id":"g","type":"function_call","name":"g","arguments":"")"),
                    about("function_call_arguments.delta", R"("delta":"{")", "f"),
                    about("function_call_arguments.delta", R"("delta":"[")", "g"),
                    about("function_call_arguments.delta", R"("delta":"}")", "f"),
                    about("function_call_arguments.delta", R"("delta":"]")", "g"), completed},
                   whole_with(R"({"id":"f","type":"function_call","name":"f","arguments":"{}"},)"
                              R"({"id":"g","type":"function_call","name":"g","arguments":"[]"})")},
        items_case{
            "a message and a call under one place, of which no event tells the begin",
            {about("output_text.delta", R"("delta":"a")", "m"),
             about("function_call_arguments.delta", R"("delta":"{}")", "f"), completed},
            whole_with(
                R"({"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[]}]},)"
                R"({"id":"f","type":"function_call","status":"completed","arguments":"{}"})")},
        items_case{
            "a second message under the place of one that keeps its id",
            {item("added", message_added), about("output_text.delta", R"("delta":"Hel")"),
             about("output_text.delta", R"("delta":"lo")"),
             about("output_text.delta", R"("delta":"b")", "n"), completed},
            whole_with(
                hello_item +
                R"(,{"id":"n","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"b","annotations":[]}]})")},
        items_case{
            "places out of order, given as strings",
            {R"({"type":"response.output_item.done","output_index":"1","item":{"id":"b","type":"message","content":[{"text":"b"}]}})",
             R"({"type":"response.output_item.done","output_index":"0","item":{"id":"a","type":"message","content":[{"text":"a"}]}})",
             completed},
            whole_with(R"({"id":"a","type":"message","content":[{"text":"a"}]},)"
                       R"({"id":"b","type":"message","content":[{"text":"b"}]})")},
        // https://github.com/vercel/ai/pull/18548 and https://github.com/BerriAI/litellm/pull/30072
        items_case{
            "an id that is another with every event, under one place",
            {item("added", message_added),
             about("output_text.delta", R"("content_index":0,"delta":"Hel")", "x"),
             about("output_text.delta", R"("content_index":0,"delta":"lo")", "y"),
             about("output_text.done", R"("content_index":0,"text":"Hello")", "z"),
             item(
                 "done",
                 R"("id":"w","type":"message","status":"completed","role":"assistant","content":[)" +
                     hello_part + "]"),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)" +
                 hello_item + "]}}"},
            whole_with(hello_item)},
        items_case{
            "one that the completed event left out stands in its place",
            {item("added", R"("id":"f","type":"function_call","name":"f","arguments":"{}")", 1),
             item("done", R"("id":"f","type":"function_call","name":"f","arguments":"{}")", 1),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)" +
                 hello_item + "]}}"},
            whole_with(hello_item +
                       R"(,{"id":"f","type":"function_call","name":"f","arguments":"{}"})")},
        items_case{
            "deltas of no item are those of the one there is",
            {R"({"type":"response.output_text.delta","delta":"Hel"})",
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)" +
                 hello_item + "]}}"},
            whole_with(hello_item)},
        items_case{
            "another id and another place, but the same words",
            {about("output_text.delta", R"("delta":"Hello")", "x", 3),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)" +
                 hello_item + "]}}"},
            whole_with(hello_item)},
        items_case{
            "an item whose place is another in the completed event",
            {item("done", R"("id":"s","type":"reasoning","summary":[])", 0),
             item("added", message_added, 1),
             about("output_text.delta", R"("delta":"Hello")", "m", 1),
             R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[{"id":"m","type":"message","content":[]}]}})"},
            whole_with(hello_item)}));

INSTANTIATE_TEST_SUITE_P(
    Ends, ResponseItems,
    testing::Values(
        items_case{
            "a response in progress in the completed event",
            {about("output_text.delta", R"("delta":"a")"),
             R"({"type":"response.completed","response":{"id":"r","status":"in_progress","output":[{"id":"m","type":"message","content":[{"text":"ab"}]}]}})"},
            whole_with(R"({"id":"m","type":"message","content":[{"text":"ab"}]})")},
        // https://github.com/Wei-Shaw/sub2api/issues/1322
        items_case{
            "response.done",
            {about("output_text.delta", R"("delta":"a")"),
             R"({"type":"response.done","response":{"id":"r","status":"completed","output":[{"id":"m","type":"message","content":[{"text":"ab"}]}]}})"},
            whole_with(R"({"id":"m","type":"message","content":[{"text":"ab"}]})")},
        items_case{
            "response.done of one that says nothing of its state",
            {about("output_text.delta", R"("delta":"a")"),
             R"({"type":"response.done","response":{"id":"r","output":[{"id":"m","type":"message","content":[{"text":"ab"}]}]}})"},
            R"({"id":"r","output":[{"id":"m","type":"message","content":[{"text":"ab"}]}],"status":"completed"})"},
        items_case{
            "one that was cut short",
            {about("output_text.delta", R"("delta":"a")"),
             R"({"type":"response.incomplete","response":{"id":"r","status":"in_progress","incomplete_details":{"reason":"max_output_tokens"},"output":[{"id":"m","type":"message","content":[{"text":"a"}]}]}})"},
            R"({"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"id":"m","type":"message","content":[{"text":"a"}]}]})"},
        items_case{
            "an end without its response: the one that was begun",
            {R"({"type":"response.created","response":{"id":"r","status":"in_progress","output":[]}})",
             item("added", message_added), about("output_text.delta", R"("delta":"Hello")"),
             R"({"type":"response.completed"})"},
            whole_with(hello_item)}));

TEST(ResponseItems, TextThatComesWholeCountsForTheFirstToken) {
  const auto pieces = [](const std::vector<std::string>& told) {
    return read({.body = events(told),
                 .target = endpoint::responses,
                 .how = reply_reader::ending::cut})
        .pieces;
  };
  EXPECT_EQ(pieces({about("output_text.done", R"("text":"a")")}).content, 1U);
  EXPECT_EQ(pieces({about("output_text.delta", R"("delta":"a")"),
                    about("output_text.done", R"("text":"a")"),
                    item("done", R"("id":"m","type":"message","content":[{"text":"a"}])")})
                .any,
            1U)
      << "it is the same text";
  EXPECT_EQ(pieces({item("done", R"("id":"m","type":"message","content":[{"text":"a"}])")}).content,
            1U);
  EXPECT_EQ(pieces({item("added", message_added),
                    about("content_part.added", R"("part":{"type":"output_text","text":""})"),
                    item("done", R"("id":"m","type":"message","content":[{"text":"a"}])")})
                .content,
            1U);
  EXPECT_EQ(pieces({item("added", message_added)}).any, 0U);
  EXPECT_EQ(pieces({about("reasoning_text.delta", R"("delta":"a")")}).reasoning, 1U);
}

TEST(ResponseItems, HaveALimitedNumberOfParts) {
  const std::string largest = std::to_string(std::numeric_limits<std::int64_t>::max());
  std::vector<std::string> told{
      about("output_text.delta", R"("delta":"a","content_index":)" + largest),
      about("refusal.delta", R"("delta":"b","content_index":)" + largest)};
  for (int i = 0; i < 2000; ++i) {
    told.push_back(
        about("output_text.delta", R"("delta":"c","content_index":)" + std::to_string(i)));
  }
  told.push_back(about("refusal.delta", R"("delta":"d","content_index":0)"));
  told.emplace_back(R"({"type":"response.completed","response":{"id":"r","status":"completed"}})");
  const auto seen = test::read_in_pieces({test::events(told), endpoint::responses}, {});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  const auto output = nlohmann::json::parse(seen.outcome->body).at("output");
  EXPECT_EQ(output.at(0).at("content").size(), 1024U);
}

TEST(ResponseItems, AreNoReplyWithoutTheEventThatEndsThem) {
  const auto seen =
      read({.body = events({item("added", message_added),
                            about("output_text.delta", R"("delta":"Hello")"), "[DONE]"}),
            .target = endpoint::responses});
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  EXPECT_EQ(to_string(seen.outcome.error().code), "stream_interrupted");
}

TEST(ResponseItems, OfAFailedResponseAreNoReply) {
  const auto seen = read(
      {.body = events(
           {about("output_text.delta", R"("delta":"a")"),
            R"({"type":"response.done","response":{"status":"failed","error":{"message":"overloaded"}}})"}),
       .target = endpoint::responses});
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  EXPECT_EQ(seen.outcome.error().message, "overloaded");
}

}  // namespace
}  // namespace sluice::openai
