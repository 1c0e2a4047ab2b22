#include "openai/reply_reader.hpp"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "json/text.hpp"
#include "openai/reading.hpp"

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
using need = reply_reader::need;
using ending = reply_reader::ending;

const std::string usage = R"({"prompt_tokens":5,"completion_tokens":2,"total_tokens":7})";
const token_usage counted{.prompt_tokens = 5, .completion_tokens = 2};

struct stream_case {
  const char* name;
  response from;
  std::string body;
};
std::ostream& operator<<(std::ostream& out, const stream_case& row) {
  return out << row.name;
}

class StreamedReply : public testing::TestWithParam<stream_case> {};

TEST_P(StreamedReply, BecomesTheObjectOfTheUnstreamedCall) {
  const auto& [name, from, body] = GetParam();
  const auto seen = read(from);
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, body);
  EXPECT_TRUE(seen.outcome->streamed);
  EXPECT_EQ(seen.outcome->request_id, "req_1");
}

const std::string hello = R"({"role":"assistant","content":"Hello","refusal":null})";

INSTANTIATE_TEST_SUITE_P(
    Chat, StreamedReply,
    testing::Values(
        stream_case{"content joins over chunks",
                    {events({said(R"({"role":"assistant","content":"","refusal":null})"),
                             said(R"({"content":"Hel"})"), said(R"({"content":"lo"})"),
                             said("{}", "\"stop\""), "[DONE]"})},
                    whole(answer(hello))},
        stream_case{"usage in a chunk of its own",
                    {events({said(R"({"content":"Hello"})"), said("{}", "\"stop\""),
                             chunk("", ",\"usage\":" + usage), "[DONE]"})},
                    whole(answer(hello), ",\"usage\":" + usage)},
        stream_case{"usage on every chunk: the last one stands, and null is none",
                    {events({chunk(piece(R"({"content":"Hello"})"),
                                   R"(,"usage":{"prompt_tokens":1,"completion_tokens":1})"),
                             chunk(piece("{}", "\"stop\""), ",\"usage\":" + usage),
                             chunk("", R"(,"usage":null)"), "[DONE]"})},
                    whole(answer(hello), ",\"usage\":" + usage)},
        stream_case{"no [DONE] is needed once every choice has ended",
                    {events({said(R"({"content":"Hello"})", "\"stop\"")})},
                    whole(answer(hello))},
        stream_case{"a cut after every finish reason costs nothing",
                    {.body = events({said(R"({"content":"Hello"})", "\"stop\"")}) + "data: {\"id",
                     .how = ending::cut},
                    whole(answer(hello))},
        stream_case{
            "nor does a timeout",
            {.body = events({said(R"({"content":"Hello"})", "\"stop\"")}), .how = ending::timeout},
            whole(answer(hello))},
        stream_case{"a finish reason with every chunk",
                    {events({said(R"({"content":"Hel"})", "\"stop\""),
                             said(R"({"content":"lo"})", "\"stop\""), "[DONE]"})},
                    whole(answer(hello))},
        stream_case{"the same, ended by the framing alone",
                    {events({said(R"({"content":"Hel"})", "\"stop\""),
                             said(R"({"content":"lo"})", "\"stop\"")})},
                    whole(answer(hello))},
        stream_case{
            "a timeout after a finish reason that was told again without content",
            {.body = events({said(R"({"content":"Hel"})", "\"stop\""),
                             said(R"({"content":"lo"})", "\"stop\""), said("{}", "\"stop\"")}),
             .how = ending::timeout},
            whole(answer(hello))},
        stream_case{
            "a timeout after the usage",
            {.body = events({said(R"({"content":"Hel"})", "\"stop\""), said(R"({"content":"lo"})"),
                             chunk("", ",\"usage\":" + usage)}),
             .how = ending::timeout},
            whole(answer(hello), ",\"usage\":" + usage)},
        stream_case{"a stray event leaves nothing behind",
                    {"event: ping\ndata: {\"type\":\"ping\",\"id\":\"p\"}\n\n" +
                     events({said(R"({"content":"Hello"})", "\"stop\"")})},
                    whole(answer(hello))},
        stream_case{"the last event may lack its blank line",
                    {"data: " + said(R"({"content":"Hello"})", "\"stop\"")},
                    whole(answer(hello))},
        stream_case{"keep-alive comments, empty events and CRLF",
                    {": PING\r\n\r\ndata:\r\n\r\nevent: x\r\n\r\ndata:" +
                     said(R"({"content":"Hello"})", "\"stop\"") +
                     "\r\n\r\n: OPENROUTER PROCESSING\r\n\r\ndata: [DONE]\r\n\r\n"},
                    whole(answer(hello))},
        stream_case{"a stream that calls itself JSON",
                    {.body = events({said(R"({"content":"Hello"})", "\"stop\"")}),
                     .content_type = "application/json"},
                    whole(answer(hello))},
        stream_case{"a byte order mark",
                    {"\xEF\xBB\xBF" + events({said(R"({"content":"Hello"})", "\"stop\"")})},
                    whole(answer(hello))},
        stream_case{"a field that nobody knows comes first",
                    {"version: 2\n\n" + events({said(R"({"content":"Hello"})", "\"stop\"")})},
                    whole(answer(hello))},
        stream_case{
            "one event over several data lines",
            {"data: {\"id\":\"chatcmpl-1\",\ndata: \"created\":17,\"model\":\"m\",\ndata: "
             "\"choices\":[" +
             piece(R"({"content":"Hello"})", "\"stop\"") + "],\ndata:  \"x\": {\ndata: }}\n\n"},
            whole(answer(hello), R"(,"x":{})")},
        stream_case{
            "an Azure filter chunk without choices",
            {events(
                {R"({"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"x":1}]})",
                 said(R"({"content":"Hello"})", "\"stop\"")})},
            whole(answer(hello), R"(,"prompt_filter_results":[{"x":1}])")},
        stream_case{
            "members of the chunk stay, obfuscation goes",
            {events(
                {chunk(
                     piece(R"({"content":"Hello"})"),
                     R"(,"system_fingerprint":"fp_1","service_tier":null,"obfuscation":"abc","citations":["u"])"),
                 chunk(
                     piece("{}", "\"stop\""),
                     R"(,"service_tier":"default","system_fingerprint":"fp_1","obfuscation":"d","citations":null)")})},
            whole(answer(hello),
                  R"(,"service_tier":"default","system_fingerprint":"fp_1","citations":["u"])")},
        stream_case{
            "members of a choice stay",
            {events(
                {chunk(
                     R"({"index":0,"delta":{"content":"Hello"},"content_filter_results":{"hate":1},"native_finish_reason":null})"),
                 chunk(
                     R"({"index":0,"delta":{},"finish_reason":"stop","native_finish_reason":"end"})")})},
            whole(
                R"({"index":0,"message":)" + hello +
                R"(,"logprobs":null,"finish_reason":"stop","content_filter_results":{"hate":1},"native_finish_reason":"end"})")},
        stream_case{
            "escapes and numbers keep their text",
            {events({chunk(piece(R"({"content":"\u00e9\n\"\\ 鲁迅\u2028"})", "\"stop\""),
                           R"(,"big":123456789012345678901234567890,"exact":1.10)")})},
            whole(answer(
                      R"({"role":"assistant","content":"\u00e9\n\"\\ 鲁迅\u2028","refusal":null})"),
                  R"(,"big":123456789012345678901234567890,"exact":1.10)")},
        stream_case{
            "a surrogate pair cut in two is whole again",
            {events({said(R"({"content":"a\ud83d"})"),
                     said(R"({"content":"\ude00b"})", "\"stop\"")})},
            whole(answer(R"({"role":"assistant","content":"a\ud83d\ude00b","refusal":null})"))},
        stream_case{
            "a lone surrogate is replaced",
            {events({said(R"({"content":"a\ud83d"})"), said(R"({"content":"b"})", "\"stop\"")})},
            whole(answer(R"({"role":"assistant","content":"a\ufffdb","refusal":null})"))},
        stream_case{
            "invalid UTF-8 is replaced",
            {events({said("{\"content\":\"a\xFF\"}"), said(R"({"content":"b"})", "\"stop\"")})},
            whole(answer("{\"role\":\"assistant\",\"content\":\"a\xEF\xBF\xBD"
                         "b\",\"refusal\":null}"))},
        stream_case{
            "refusal takes the place of content",
            {events({said(R"({"role":"assistant","content":"","refusal":null})"),
                     said(R"({"refusal":"I can"})"), said(R"({"refusal":"not."})", "\"stop\"")})},
            whole(answer(R"({"role":"assistant","content":null,"refusal":"I cannot."})"))},
        stream_case{
            "reasoning_content joins beside content",
            {events({said(R"({"role":"assistant","content":null,"reasoning_content":""})"),
                     said(R"({"reasoning_content":"Let"})"),
                     said(R"({"reasoning_content":" me","content":null})"),
                     said(R"({"content":"Hello","reasoning_content":null})", "\"stop\"")})},
            whole(answer(
                R"({"role":"assistant","content":"Hello","reasoning_content":"Let me","refusal":null})"))},
        stream_case{
            "so does reasoning, with its details",
            {events({said(R"({"reasoning":"Let","reasoning_details":[{"a":1}]})"),
                     said(R"({"reasoning":" me","reasoning_details":[{"b":2}]})"),
                     said(R"({"content":"Hello"})", "\"stop\"")})},
            whole(answer(
                R"({"role":"assistant","content":"Hello","reasoning":"Let me","refusal":null,"reasoning_details":[{"a":1},{"b":2}]})"))},
        stream_case{"a reply without content keeps its empty string",
                    {events({said(R"({"role":"assistant","content":""})"),
                             said("{}", "\"content_filter\"")})},
                    whole(answer(R"({"role":"assistant","content":"","refusal":null})",
                                 "\"content_filter\""))},
        stream_case{
            "a tool call in pieces",
            {events(
                {said(
                     R"({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"","type":null,"function":{"name":"","arguments":"\":1}"}}]})"),
                 said("{}", "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "parallel tool calls, interleaved, the second first",
            {events(
                {said(
                     R"({"content":"","tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"["}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}},{"index":1,"function":{"arguments":"]"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"arguments":"}"}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"[]"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "tool calls without an index: a new id is a new call, no id the call before",
            {events(
                {said(
                     R"({"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]})"),
                 said(R"({"tool_calls":[{"function":{"arguments":"}"}}]})"),
                 said(
                     R"({"tool_calls":[{"id":"b","type":"function","function":{"name":"g","arguments":"[]"}}]})"),
                 said(R"({"tool_calls":[{"id":"a","function":{"arguments":" "}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{} "}},{"id":"b","type":"function","function":{"name":"g","arguments":"[]"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "a tool call whole in one piece, without a type, with a member of its own",
            {events({said(
                R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"s":"x"}}]})",
                "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"s":"x"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "a custom tool call",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"x"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"custom":{"input":"y"}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"custom","custom":{"name":"f","input":"xy"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "content stays beside a tool call",
            {events({said(
                R"({"content":"Hello","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]})",
                "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":"Hello","refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]})",
                "\"tool_calls\""))},
        stream_case{
            "the legacy function call",
            {events(
                {said(
                     R"({"role":"assistant","content":null,"function_call":{"name":"f","arguments":""}})"),
                 said(R"({"function_call":{"arguments":"{}"}})"),
                 said("{}", "\"function_call\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"function_call":{"name":"f","arguments":"{}"}})",
                "\"function_call\""))},
        stream_case{
            "spoken replies join data and transcript",
            {events({said(R"({"audio":{"id":"au_1","transcript":"He"}})"),
                     said(R"({"audio":{"data":"AA","transcript":"y"}})"),
                     said(R"({"audio":{"data":"BB","expires_at":9}})", "\"stop\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"audio":{"id":"au_1","transcript":"Hey","data":"AABB","expires_at":9}})"))},
        stream_case{
            "logprobs append",
            {events(
                {chunk(
                     R"({"index":0,"delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel","logprob":-0.10}],"refusal":null},"finish_reason":null})"),
                 chunk(
                     R"({"index":0,"delta":{"content":"lo"},"logprobs":{"content":[{"token":"lo","logprob":-1e-5},{"token":"","logprob":0}],"refusal":null},"finish_reason":null})"),
                 chunk(R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"})")})},
            whole(
                R"({"index":0,"message":)" + hello +
                R"(,"logprobs":{"content":[{"token":"Hel","logprob":-0.10},{"token":"lo","logprob":-1e-5},{"token":"","logprob":0}],"refusal":null},"finish_reason":"stop"})")},
        stream_case{
            "two choices interleave",
            {.body = events({said(R"({"content":"B"})", "null", 1), said(R"({"content":"Hel"})"),
                             said(R"({"content":"C"})", "null", 1), said("{}", "\"length\"", 1),
                             said(R"({"content":"lo"})"), said("{}", "\"stop\""), "[DONE]"}),
             .choices = 2},
            whole(answer(hello) + "," +
                  answer(R"({"role":"assistant","content":"BC","refusal":null})", "\"length\"",
                         1))},
        stream_case{
            "a choice may come behind its delta's index, or without one",
            {.body = events({chunk(
                 R"({"delta":{"content":"Hello"},"finish_reason":"stop"},{"delta":{"content":"x"},"finish_reason":"stop","index":1})")}),
             .choices = 2},
            whole(answer(hello) + "," +
                  answer(R"({"role":"assistant","content":"x","refusal":null})", "\"stop\"", 1))},
        stream_case{
            "a message in place of a delta",
            {events({chunk(
                R"({"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"})")})},
            whole(answer(hello))},
        stream_case{
            "an error that is null or empty is none",
            {events({chunk(piece(R"({"content":"Hello"})", "\"stop\""), R"(,"error":null)")}) +
             events({chunk("", R"(,"error":"","usage":null)"), "[DONE]"})},
            whole(answer(hello), R"()")}));

const std::string half = said(R"({"content":"Hel"})");
const std::string rest = said(R"({"content":"lo"})", "\"stop\"");

INSTANTIATE_TEST_SUITE_P(
    Framing, StreamedReply,
    testing::Values(
        stream_case{"lines that end with CR",
                    {"data: " + half + "\r\rdata: " + rest + "\r\rdata: [DONE]\r\r"},
                    whole(answer(hello))},
        stream_case{"lines that end with CRLF",
                    {"data: " + half + "\r\n\r\ndata: " + rest + "\r\n\r\ndata: [DONE]\r\n\r\n"},
                    whole(answer(hello))},
        stream_case{"no space behind the colon",
                    {"data:" + half + "\n\ndata:" + rest + "\n\ndata:[DONE]\n\n"},
                    whole(answer(hello))},
        stream_case{"comments that a proxy made data of",
                    {"data: : keepalive\n\ndata: " + half +
                     "\n\ndata: : OPENROUTER PROCESSING\n\n"
                     "data::\n\ndata: " +
                     rest + "\n\ndata: : bye\n\ndata: [DONE]\n\n"},
                    whole(answer(hello))},
        stream_case{"a comment inside an event",
                    {"data: " + half + "\n: PING\n\n: PING\ndata: " + rest + "\n\n"},
                    whole(answer(hello))},
        stream_case{"events of an id, a time to retry, a name or nothing alone",
                    {.body = "retry: 3000\n\nid: 1\n\ndata: " + half +
                             "\nid: 2\n\nid\n\nevent: ping\n\ndata:\n\ndata: \n\n\n\ndata: " +
                             rest + "\nretry: 1\n\n",
                     .content_type = "application/json"},
                    whole(answer(hello))},
        stream_case{"U+0085, U+2028 and U+2029 are text",
                    {events({said("{\"content\":\"a\xC2\x85"
                                  "b\xE2\x80\xA8"
                                  "c\xE2\x80\xA9\"}",
                                  "\"stop\"")})},
                    whole(answer("{\"role\":\"assistant\",\"content\":\"a\xC2\x85"
                                 "b\xE2\x80\xA8"
                                 "c\xE2\x80\xA9\",\"refusal\":null}"))},
        stream_case{
            "usage on the last chunk",
            {events({half, chunk(piece(R"({"content":"lo"})", "\"stop\""), ",\"usage\":" + usage),
                     "[DONE]"})},
            whole(answer(hello), ",\"usage\":" + usage)},
        stream_case{
            "usage behind a finish reason, and nothing else",
            {.body = events({half, rest, chunk("", ",\"usage\":" + usage)}), .how = ending::cut},
            whole(answer(hello), ",\"usage\":" + usage)},
        stream_case{"a stream where none was asked for",
                    {.body = events({half, rest, "[DONE]"}),
                     .content_type = "application/json",
                     .asked_for_stream = false},
                    whole(answer(hello))}));

INSTANTIATE_TEST_SUITE_P(
    Logprobs, StreamedReply,
    testing::Values(stream_case{
        "those of a refusal append, too",
        {events(
            {chunk(
                 R"({"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":{"content":null,"refusal":[]},"finish_reason":null})"),
             chunk(
                 R"({"index":0,"delta":{"refusal":"No"},"logprobs":{"content":null,"refusal":[{"token":"No","logprob":-1}]},"finish_reason":null})"),
             chunk(
                 R"({"index":0,"delta":{"refusal":"."},"logprobs":{"content":null,"refusal":[{"token":".","logprob":-2}]},"finish_reason":"stop"})")})},
        whole(
            R"({"index":0,"message":{"role":"assistant","content":null,"refusal":"No."},"logprobs":{"content":null,"refusal":[{"token":"No","logprob":-1},{"token":".","logprob":-2}]},"finish_reason":"stop"})")}));

INSTANTIATE_TEST_SUITE_P(
    MessagesInStreams, StreamedReply,
    testing::Values(
        stream_case{
            "messages in place of deltas: each replaces the one before",
            {events(
                {chunk(R"({"index":0,"message":{"role":"assistant","content":"Hel"},"delta":{}})"),
                 chunk(
                     R"({"index":0,"delta":null,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"})")})},
            whole(answer(hello))},
        stream_case{
            "the message so far beside every delta",
            {events(
                {chunk(
                     R"({"index":0,"message":{"role":"assistant","content":"Hel"},"delta":{"role":"assistant","content":"Hel"}})"),
                 chunk(
                     R"({"index":0,"delta":{"content":"lo"},"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"})")})},
            whole(answer(hello))},
        stream_case{
            "the whole message in the last chunk",
            {events(
                {said(R"({"role":"assistant","content":""})"), said(R"({"content":"Hel"})"),
                 said(R"({"content":"lo"})"),
                 chunk(
                     R"({"index":0,"delta":{},"message":{"role":"assistant","content":"Hello","tool_calls":[]},"finish_reason":"stop"})")})},
            whole(answer(hello))},
        stream_case{
            "deltas that say nothing beside messages that do",
            {events(
                {chunk(
                     R"({"index":0,"message":{"content":"Hel"},"delta":{"role":"assistant","content":""}})"),
                 chunk(
                     R"({"index":0,"message":{"content":"Hello"},"delta":{"role":"assistant","content":""},"finish_reason":"stop"})")})},
            whole(answer(hello))},
        stream_case{
            "a message with tool calls in the last chunk, told before in pieces",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})"),
                 chunk(
                     R"({"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"})")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})",
                "\"tool_calls\""))}));

INSTANTIATE_TEST_SUITE_P(
    ToolCalls, StreamedReply,
    testing::Values(
        stream_case{
            "calls that all say index 0: a new id with a name is a new call, no id the last one",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"arguments":"}"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"["}},{"index":1,"id":"c","type":"function","function":{"name":"h","arguments":"1"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"id":"","function":{"arguments":"]"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"id":"a","function":{"arguments":" "}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{} "}},{"id":"b","type":"function","function":{"name":"f","arguments":"[]"}},{"id":"c","type":"function","function":{"name":"h","arguments":"1"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "an index that is null, and names and ids told again with every piece",
            {events(
                {said(
                     R"({"tool_calls":[{"index":null,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":null,"id":"a","type":"function","function":{"name":"f","arguments":"}"}}]})",
                     "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "tool calls with one index and without ids: a new name is a new call",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"","function":{"name":"get_weather","arguments":"{\"city\":\"London\"}"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"","function":{"name":"get_time","arguments":"{\"tz\""}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"arguments":":\"UTC\"}"}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"London\"}"}},{"id":"","type":"function","function":{"name":"get_time","arguments":"{\"tz\":\"UTC\"}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "a name that comes again continues its call",
            {events(
                {said(R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":""}}]})",
                     "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"","type":"function","function":{"name":"f","arguments":"{}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "tool calls with one index and one name, without ids, in one piece",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}},{"index":0,"function":{"name":"f","arguments":"["}}]})"),
                 said(R"({"tool_calls":[{"index":0,"function":{"arguments":"]"}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{"}},{"type":"function","function":{"name":"f","arguments":"[]"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "a call in two parts in one piece",
            {events({said(
                R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}},{"index":0,"function":{"arguments":"}"}}]})",
                "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "tool calls with one index of which some have ids",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"","function":{"name":"g","arguments":"[]"}}]})"),
                 said(
                     R"({"tool_calls":[{"index":0,"id":"b","function":{"name":"h","arguments":"{}"}}]})",
                     "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"","type":"function","function":{"name":"g","arguments":"[]"}},{"id":"b","type":"function","function":{"name":"h","arguments":"{}"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "calls of two choices do not mix",
            {.body = events(
                 {said(
                      R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]})"),
                  said(
                      R"({"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"["}}]})",
                      "null", 1),
                  said(R"({"tool_calls":[{"index":0,"function":{"arguments":"}"}}]})",
                       "\"tool_calls\""),
                  said(R"({"tool_calls":[{"index":0,"function":{"arguments":"]"}}]})",
                       "\"tool_calls\"", 1)}),
             .choices = 2},
            whole(
                answer(
                    R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]})",
                    "\"tool_calls\"") +
                "," +
                answer(
                    R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"b","type":"function","function":{"name":"f","arguments":"[]"}}]})",
                    "\"tool_calls\"", 1))},
        stream_case{
            "an index wins over an id that two calls share",
            {events(
                {said(
                     R"({"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{"}},{"index":1,"id":"x","function":{"name":"f","arguments":"["}}]})"),
                 said(
                     R"({"tool_calls":[{"index":1,"id":"x","function":{"arguments":"]"}},{"index":0,"id":"x","function":{"arguments":"}"}}]})",
                     "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"x","type":"function","function":{"name":"f","arguments":"[]"}}]})",
                "\"tool_calls\""))},
        stream_case{
            "calls without index and id: a name begins one",
            {events(
                {said(
                     R"({"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}},{"type":"function","function":{"name":"g","arguments":"["}}]})"),
                 said(R"({"tool_calls":[{"function":{"name":"","arguments":"]"}}]})",
                      "\"tool_calls\"")})},
            whole(answer(
                R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}},{"type":"function","function":{"name":"g","arguments":"[]"}}]})",
                "\"tool_calls\""))}));

const std::string ended = events({said(R"({"content":"Hello"})", "\"stop\"")});

INSTANTIATE_TEST_SUITE_P(
    BehindTheEnd, StreamedReply,
    testing::Values(
        stream_case{"an error object: the reply is whole, and paid",
                    {ended + events({R"({"error":{"message":"late"}})", "[DONE]"})},
                    whole(answer(hello))},
        stream_case{"an error beside a choice",
                    {ended + events({chunk(piece(R"({"content":""})", "\"error\""),
                                           R"(,"error":{"message":"late"})")})},
                    whole(answer(hello))},
        stream_case{
            "an error event", {ended + "event: error\ndata: late\n\n"}, whole(answer(hello))},
        stream_case{"words of a relay",
                    {ended + events({R"({"code":500,"msg":"late"})"})},
                    whole(answer(hello))},
        stream_case{"plain text", {ended + events({"bye", "[DONE]"})}, whole(answer(hello))},
        stream_case{"broken JSON", {ended + events({R"({"id":)"})}, whole(answer(hello))},
        stream_case{"an event cut short",
                    {ended + "data: {\"choices\":[{\"index\":0,"},
                    whole(answer(hello))},
        stream_case{"raw JSON", {ended + R"({"error":{"message":"late"}})"}, whole(answer(hello))},
        stream_case{"a page", {ended + "<html><title>late</title>"}, whole(answer(hello))},
        stream_case{"[DONE] with more space", {ended + "data:  [DONE] \n\n"}, whole(answer(hello))},
        stream_case{"[done] in lower case", {ended + events({"[done]"})}, whole(answer(hello))}));

INSTANTIATE_TEST_SUITE_P(
    Completions, StreamedReply,
    testing::Values(
        stream_case{
            "text joins, logprobs append",
            {.body = events(
                 {R"({"id":"cmpl-1","object":"text_completion","created":17,"choices":[{"text":"Hel","index":0,"logprobs":{"tokens":["Hel"],"token_logprobs":[-1.0],"top_logprobs":null,"text_offset":[0]},"finish_reason":null}],"model":"m"})",
                  R"({"id":"cmpl-1","object":"text_completion","created":17,"choices":[{"text":"lo","index":0,"logprobs":{"tokens":["lo"],"token_logprobs":[-2],"top_logprobs":null,"text_offset":[3]},"finish_reason":"length"}],"model":"m"})",
                  R"({"id":"cmpl-1","object":"text_completion","created":17,"choices":[],"model":"m","usage":)" +
                      usage + "}",
                  "[DONE]"}),
             .target = endpoint::completions},
            R"({"id":"cmpl-1","object":"text_completion","created":17,"model":"m","choices":[{"text":"Hello","index":0,"logprobs":{"tokens":["Hel","lo"],"token_logprobs":[-1.0,-2],"top_logprobs":null,"text_offset":[0,3]},"finish_reason":"length"}],"usage":)" +
                usage + "}"},
        stream_case{
            "two choices interleave, with logprobs and usage on every chunk",
            {.body = events(
                 {R"({"id":"c","choices":[{"text":"B","index":1,"logprobs":{"tokens":["B"]},"finish_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}})",
                  R"({"id":"c","choices":[{"text":"Hel","index":0,"logprobs":null,"finish_reason":null}],"usage":null})",
                  R"({"id":"c","choices":[{"text":"C","index":1,"logprobs":{"tokens":["C"]},"finish_reason":"stop"}],"usage":null})",
                  R"({"id":"c","choices":[{"text":"lo","index":0,"logprobs":null,"finish_reason":"length"}],"usage":)" +
                      usage + "}",
                  "[DONE]"}),
             .target = endpoint::completions,
             .choices = 2},
            R"({"id":"c","object":"text_completion","choices":[{"text":"Hello","index":0,"logprobs":null,"finish_reason":"length"},{"text":"BC","index":1,"logprobs":{"tokens":["B","C"]},"finish_reason":"stop"}],"usage":)" +
                usage + "}"},
        stream_case{
            "two choices, one without text",
            {.body = events(
                 {R"({"id":"c","choices":[{"text":"b","index":1,"finish_reason":"stop"}]})",
                  R"({"id":"c","choices":[{"text":null,"index":0,"finish_reason":"stop"}]})"}),
             .target = endpoint::completions,
             .choices = 2},
            R"({"id":"c","object":"text_completion","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"},{"text":"b","index":1,"logprobs":null,"finish_reason":"stop"}]})"}));

INSTANTIATE_TEST_SUITE_P(
    Responses, StreamedReply,
    testing::Values(
        stream_case{"the response of the last event stands",
                    {.body = "event: response.created\ndata: "
                             "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\","
                             "\"status\":\"in_progress\",\"output\":[],\"error\":null}}\n\n"
                             "event: response.output_text.delta\ndata: "
                             "{\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n"
                             "event: response.completed\ndata: "
                             "{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\","
                             "\"status\":\"completed\",\"output\":[1.0],\"error\":null}}\n\n",
                     .target = endpoint::responses},
                    R"({"id":"resp_1","status":"completed","output":[1.0],"error":null})"},
        stream_case{
            "an empty output at the end: the items that were told whole, in their places",
            {.body = events(
                 {R"({"type":"response.output_item.added","output_index":0,"item":{"id":"rs","summary":[]}})",
                  R"({"type":"response.output_item.done","output_index":1,"item":{"id":"msg","content":[{"text":"Hi"}]}})",
                  R"({"output_index":0,"item":{"id":"rs","summary":["x"]},"type":"response.output_item.done"})",
                  R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[],"usage":{"input_tokens":5,"output_tokens":2}}})"}),
             .target = endpoint::responses},
            R"({"id":"r","status":"completed","output":[{"id":"rs","summary":["x"]},{"id":"msg","content":[{"text":"Hi"}]}],"usage":{"input_tokens":5,"output_tokens":2}})"},
        stream_case{
            "no output at the end, and items without a place",
            {.body = events({R"({"type":"response.output_item.done","item":{"id":"a"}})",
                             R"({"type":"response.output_item.done","item":{"id":"b"}})",
                             R"({"type":"response.completed","response":{"status":"completed"}})",
                             "[DONE]"}),
             .target = endpoint::responses},
            R"({"status":"completed","output":[{"id":"a"},{"id":"b"}]})"},
        stream_case{
            "an output at the end is the last word",
            {.body = events(
                 {R"({"type":"response.output_item.done","output_index":0,"item":{"id":"a"}})",
                  R"({"type":"response.completed","response":{"output": [{"id":"b"}],"status":"completed"}})"}),
             .target = endpoint::responses},
            R"({"output": [{"id":"b"}],"status":"completed"})"},
        stream_case{"the type may stand in the event field alone",
                    {.body = "event: response.incomplete\ndata: "
                             "{\"response\":{\"status\":\"incomplete\",\"output\":[]}}\n\n",
                     .target = endpoint::responses},
                    R"({"status":"incomplete","output":[]})"}));

struct failed_case {
  const char* name;
  response from;
  errc code;
  std::string message;
};
std::ostream& operator<<(std::ostream& out, const failed_case& row) {
  return out << row.name;
}

class FailedReply : public testing::TestWithParam<failed_case> {};

TEST_P(FailedReply, IsAPassingFailureInTheRelaysWords) {
  const auto& [name, from, code, message] = GetParam();
  const auto seen = read(from);
  ASSERT_FALSE(seen.outcome.has_value()) << seen.outcome->body;
  const failure& failed = seen.outcome.error();
  EXPECT_EQ(to_string(failed.code), to_string(code));
  EXPECT_EQ(failed.message, message);
  EXPECT_EQ(failed.kind, failure_class::passing);
  EXPECT_EQ(failed.http_status, 200);
  EXPECT_EQ(failed.request_id, "req_1");
  EXPECT_EQ(failed.body, "");
}

const std::string begun = events({said(R"({"content":"Hel"})")});
const std::string unfinished = "the stream ended before every choice had its finish reason";

INSTANTIATE_TEST_SUITE_P(
    ErrorsInStreams, FailedReply,
    testing::Values(
        failed_case{
            "an error object at the start",
            {events(
                {R"({"error":{"message":"overloaded","type":"server_error","param":null,"code":null}})"})},
            errc::invalid_response,
            "overloaded"},
        failed_case{"an error object mid-stream, and whatever follows it",
                    {begun + events({R"({"error":{"message":"overloaded"}})",
                                     said("{}", "\"stop\""), "[DONE]"})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error that is a string",
                    {begun + events({R"({"error":"overloaded"})"})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error event with the envelope",
                    {begun + "event: error\ndata: {\"error\":{\"message\":\"overloaded\"}}\n\n"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{
            "an error event with the bare object",
            {begun +
             "event: error\ndata: {\"message\":\"overloaded\",\"type\":\"server_error\"}\n\n"},
            errc::invalid_response,
            "overloaded"},
        failed_case{"an error event with plain text",
                    {begun + "event: error\ndata: overloaded\n\n"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error event without a blank line at the end",
                    {begun + "event: error\ndata: overloaded"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{
            "an error beside empty choices",
            {begun + events({chunk("", R"(,"error":{"code":502,"message":"overloaded"})")})},
            errc::invalid_response,
            "overloaded"},
        failed_case{"an error beside a choice",
                    {begun + events({chunk(piece("{}", "\"error\""),
                                           R"(,"error":{"code":502,"message":"overloaded"})")})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"a finish reason that is error",
                    {begun + events({said("{}", "\"error\""), "[DONE]"})},
                    errc::invalid_response,
                    "the reply broke off: its finish reason is error"},
        failed_case{
            "a finish reason that is error, with the words inside the choice",
            {begun +
             events(
                 {chunk(
                      R"({"index":0,"delta":{},"finish_reason":"error","error":{"code":502,"message":"overloaded"}})"),
                  "[DONE]"})},
            errc::invalid_response,
            "overloaded"},
        failed_case{"success that is false",
                    {begun + events({R"({"success":false,"message":"overloaded"})"})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an envelope of another make",
                    {begun + events({R"({"code":500,"msg":"overloaded"})"})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error after content that came behind the finish reason",
                    {begun + events({said("{}", "\"stop\""), said(R"({"content":"x"})"),
                                     R"({"error":{"message":"late"}})"})},
                    errc::invalid_response,
                    "late"},
        failed_case{"and one that ends the choice again",
                    {begun + events({said("{}", "\"stop\""), said(R"({"content":"x"})"),
                                     said("{}", "\"error\"")})},
                    errc::invalid_response,
                    "the reply broke off: its finish reason is error"},
        failed_case{"an event that is plain text",
                    {begun + events({"upstream overloaded"})},
                    errc::invalid_response,
                    "upstream overloaded"},
        failed_case{"an event that is broken JSON",
                    {begun + events({R"({"id":)"})},
                    errc::invalid_response,
                    "an event of the stream is not a JSON object"},
        failed_case{"a tool call that is broken JSON inside",
                    {begun + events({said(R"({"tool_calls":[{"id":"a"},{"function":{"x" 1}}]})")})},
                    errc::invalid_response,
                    "an event of the stream is not a JSON object"},
        failed_case{"an event that is an array",
                    {begun + events({"[1]"})},
                    errc::invalid_response,
                    "an event of the stream is not a JSON object"},
        failed_case{"an array that holds an error",
                    {begun + events({R"([{"error":{"message":"overloaded"}}])"})},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{
            "two objects in one event",
            {begun + events({said(R"({"content":"a"})") + " " + said(R"({"content":"b"})")})},
            errc::invalid_response,
            "an event of the stream is not a JSON object"},
        failed_case{"an event that breaks inside a value is found at the end at the latest",
                    {events({chunk(piece(R"({"content":"a"})", "\"stop\""), R"(,"x":[nul])")})},
                    errc::invalid_response,
                    "the reply is not JSON: expected a value"},
        failed_case{
            "a failed response",
            {.body = events(
                 {R"({"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"overloaded"}}})"}),
             .target = endpoint::responses},
            errc::invalid_response,
            "overloaded"},
        failed_case{
            "a failed response without words",
            {.body = events(
                 {R"({"type":"response.failed","response":{"status":"failed","error":null}})"}),
             .target = endpoint::responses},
            errc::invalid_response,
            "the relay reported an error"},
        failed_case{
            "an error event of responses",
            {.body = events(
                 {R"({"type":"error","code":"server_error","message":"overloaded","param":null})"}),
             .target = endpoint::responses},
            errc::invalid_response,
            "overloaded"},
        failed_case{
            "a completed event whose response failed",
            {.body = events(
                 {R"({"type":"response.completed","response":{"status":"failed","error":{"message":"overloaded"}}})"}),
             .target = endpoint::responses},
            errc::invalid_response,
            "overloaded"}));

INSTANTIATE_TEST_SUITE_P(
    RawTextInStreams, FailedReply,
    testing::Values(
        failed_case{"an error behind comments",
                    {": PING\n\n: PING\n\n{\"error\":{\"message\":\"overloaded\"}}"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error over several lines",
                    {": PING\n\n{\n  \"error\": {\n\n    \"message\": \"overloaded\"\n  }\n}\n\n"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"a page behind comments",
                    {": PING\n\n<html>\n\n<title>Bad gateway</title></html>"},
                    errc::invalid_response,
                    "Bad gateway"},
        failed_case{"no reply, no words",
                    {": PING\n\n{\"choices\":[]}"},
                    errc::invalid_response,
                    "the reply has no choices"},
        failed_case{"a body that broke off",
                    {.body = ": PING\n\n{\"choices\":[", .how = ending::cut},
                    errc::stream_interrupted,
                    "the connection broke before the reply was whole"},
        failed_case{"an error behind content",
                    {begun + "{\"error\":{\n\"message\":\"overloaded\"}}\n\ndata: [DONE]\n\n"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error behind content, and a cut",
                    {.body = begun + R"({"error":{"message":"overloaded"}})", .how = ending::cut},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error behind an event that lacks its blank line",
                    {"data: " + said(R"({"content":"Hel"})") +
                     "\n{\"error\":{\"message\":\"overloaded\"}}"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"a page behind content",
                    {begun + "<html>\n<head>\n\n<title>Bad gateway</title>"},
                    errc::invalid_response,
                    "Bad gateway"},
        failed_case{"something without words behind content",
                    {begun + R"({"a":1})"},
                    errc::invalid_response,
                    "the stream holds something that is no event"},
        failed_case{"plain text before it is part of the words",
                    {"upstream error:\n{oh}"},
                    errc::invalid_response,
                    "upstream error: {oh}"}));

INSTANTIATE_TEST_SUITE_P(
    InterruptedStreams, FailedReply,
    testing::Values(
        failed_case{"empty choices all along",
                    {events({chunk(""), chunk(""), "[DONE]"})},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"data that are comments say nothing of an end",
                    {begun + "data: : [DONE]\n\n"},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"[DONE] proves nothing",
                    {begun + events({"[DONE]"})},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"an end without [DONE]", {begun}, errc::stream_interrupted, unfinished},
        failed_case{"a finish reason for one choice of two",
                    {.body = begun + events({said("{}", "\"stop\""), "[DONE]"}), .choices = 2},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"two choices begun, one ended, one asked for",
                    {.body = begun + events({said(R"({"content":"x"})", "null", 1),
                                             said("{}", "\"stop\"")})},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"an empty finish reason is none",
                    {begun + events({said("{}", "\"\""), "[DONE]"})},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"usage proves nothing",
                    {begun + events({chunk("", ",\"usage\":" + usage), "[DONE]"})},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"a cut, in the words of the wire",
                    {.body = begun + "data: {\"id\":\"chat",
                     .how = ending::cut,
                     .transport = "connection reset by peer"},
                    errc::stream_interrupted,
                    "connection reset by peer"},
        failed_case{"a last event cut short, though the framing calls it the end",
                    {begun + "data: {\"id\":\"chat"},
                    errc::stream_interrupted,
                    unfinished},
        failed_case{"a cut before any byte",
                    {.body = "", .how = ending::cut},
                    errc::stream_interrupted,
                    "the connection broke before the reply was whole"},
        failed_case{"a deadline",
                    {.body = begun, .how = ending::timeout},
                    errc::request_timeout,
                    "a deadline passed before the reply was whole"},
        failed_case{"a deadline after content that came behind the finish reason",
                    {.body = events({said(R"({"content":"Hel"})", "\"stop\""),
                                     said(R"({"content":"lo"})", "\"stop\"")}),
                     .how = ending::timeout},
                    errc::request_timeout,
                    "a deadline passed before the reply was whole"},
        failed_case{"a cut after it, beside usage on every chunk",
                    {.body = events({said(R"({"content":"Hel"})", "\"stop\""),
                                     chunk(piece(R"({"reasoning":"x"})", "\"stop\""),
                                           ",\"usage\":" + usage)}),
                     .how = ending::cut},
                    errc::stream_interrupted,
                    "the connection broke before the reply was whole"},
        failed_case{
            "comments only", {": PING\n\n: PING\n\n"}, errc::stream_interrupted, unfinished},
        failed_case{"a response without its last event",
                    {.body = events({R"({"type":"response.output_text.delta","delta":"x"})"}),
                     .target = endpoint::responses},
                    errc::stream_interrupted,
                    unfinished}));

const std::string json_type = "application/json";

INSTANTIATE_TEST_SUITE_P(
    BodiesThatAreNoReply, FailedReply,
    testing::Values(
        failed_case{"an error object in a JSON body",
                    {.body = R"({"error":{"message":"overloaded"}})", .content_type = json_type},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error object that calls itself a stream",
                    {R"({"error":{"message":"overloaded"}})"},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error string",
                    {.body = R"({"error":"overloaded"})", .content_type = json_type},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"an error beside choices",
                    {.body = whole(answer(hello), R"(,"error":{"message":"overloaded"})"),
                     .content_type = json_type},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{
            "success that is false",
            {.body = R"({"success":false,"message":"overloaded"})", .content_type = json_type},
            errc::invalid_response,
            "overloaded"},
        failed_case{"an array",
                    {.body = "[]", .content_type = json_type},
                    errc::invalid_response,
                    "the reply is not a JSON object"},
        failed_case{"an array of errors",
                    {.body = R"([{"error":{"message":"overloaded"}}])", .content_type = json_type},
                    errc::invalid_response,
                    "overloaded"},
        failed_case{"empty choices",
                    {.body = whole(""), .content_type = json_type},
                    errc::invalid_response,
                    "the reply has no choices"},
        failed_case{"choices that are null",
                    {.body = R"({"id":"x","choices":null})", .content_type = json_type},
                    errc::invalid_response,
                    "the reply has no choices"},
        failed_case{
            "no choices, but words",
            {.body = R"({"code":1,"msg":"overloaded","data":null})", .content_type = json_type},
            errc::invalid_response,
            "overloaded"},
        failed_case{"a finish reason that is error",
                    {.body = whole(answer(hello, "\"error\"")), .content_type = json_type},
                    errc::invalid_response,
                    "the reply broke off: its finish reason is error"},
        failed_case{"embeddings without data",
                    {.body = R"({"object":"list","data":[],"model":"m"})",
                     .target = endpoint::embeddings,
                     .content_type = json_type},
                    errc::invalid_response,
                    "the reply has no embeddings"},
        failed_case{
            "a failed response",
            {.body =
                 R"({"status":"failed","output":[],"error":{"code":"server_error","message":"overloaded"}})",
             .target = endpoint::responses,
             .content_type = json_type},
            errc::invalid_response,
            "overloaded"},
        failed_case{"a cancelled response",
                    {.body = R"({"status":"cancelled","output":[],"error":null})",
                     .target = endpoint::responses,
                     .content_type = json_type},
                    errc::invalid_response,
                    "the response was cancelled"},
        failed_case{"an object that is no response",
                    {.body = "{}", .target = endpoint::responses, .content_type = json_type},
                    errc::invalid_response,
                    "the reply is no response object"},
        failed_case{
            "a page with a title",
            {.body =
                 "<html>\n<head><title>502\n Bad Gateway</title></head><body>nginx</body></html>",
             .content_type = "text/html"},
            errc::invalid_response,
            "502 Bad Gateway"},
        failed_case{"a page that calls itself a stream",
                    {"\n<!DOCTYPE html><style>p{a:b}</style><p>Please\n <b>wait</b></p>"},
                    errc::invalid_response,
                    "Please wait"},
        failed_case{"plain text",
                    {.body = "upstream error", .content_type = "text/plain"},
                    errc::invalid_response,
                    "upstream error"},
        failed_case{"plain text that calls itself a stream",
                    {"upstream error: do request failed"},
                    errc::invalid_response,
                    "upstream error: do request failed"},
        failed_case{"plain text that begins as a stream might",
                    {.body = "dat", .content_type = "text/plain"},
                    errc::invalid_response,
                    "dat"},
        failed_case{
            "an empty body", {""}, errc::invalid_response, "the body of the reply is empty"},
        failed_case{"blank lines only",
                    {.body = "\n\n", .content_type = json_type},
                    errc::invalid_response,
                    "the body of the reply is empty"},
        failed_case{"JSON that ends too early",
                    {.body = R"({"id":"x","choices":[)", .content_type = json_type},
                    errc::invalid_response,
                    "the reply is not JSON: the text ends too early"},
        failed_case{"a body shorter than it said",
                    {.body = R"({"id":"x","choices":[)",
                     .how = ending::cut,
                     .content_type = json_type,
                     .transport = "partial message"},
                    errc::stream_interrupted,
                    "partial message"},
        failed_case{"a body that came too late",
                    {.body = R"({"id")",
                     .how = ending::timeout,
                     .content_type = json_type,
                     .transport = "no byte for 60s"},
                    errc::request_timeout,
                    "no byte for 60s"}));

INSTANTIATE_TEST_SUITE_P(
    EmptyBodies, FailedReply,
    testing::Values(
        failed_case{"a choice that is null",
                    {.body = R"({"choices":[null]})", .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply has neither message nor text"},
        failed_case{"a choice with nothing of a choice",
                    {.body = R"({"choices":[{"index":0,"finish_reason":null}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply has neither message nor text"},
        failed_case{"a chunk in place of a reply",
                    {.body = R"({"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply has neither message nor text"},
        failed_case{"a message that is none",
                    {.body = R"({"choices":[{"message":"Hello","finish_reason":"stop"}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply has neither message nor text"},
        failed_case{
            "one choice of two is none",
            {.body = R"({"choices":[{"message":{"content":"x"},"finish_reason":"stop"},{}]})",
             .content_type = json_type},
            errc::invalid_response,
            "a choice of the reply has neither message nor text"},
        failed_case{"an empty choice without a finish reason",
                    {.body = R"({"choices":[{"message":{"role":"assistant","content":""}}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply is empty and has no finish reason"},
        failed_case{
            "one whose finish reason is null",
            {.body =
                 R"({"choices":[{"message":{"content":null,"refusal":null,"tool_calls":[]},"finish_reason":null}]})",
             .content_type = json_type},
            errc::invalid_response,
            "a choice of the reply is empty and has no finish reason"},
        failed_case{"one whose finish reason is empty",
                    {.body = R"({"choices":[{"message":{},"finish_reason":""}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply is empty and has no finish reason"},
        failed_case{"empty text without a finish reason",
                    {.body = R"({"choices":[{"text":"","finish_reason":null}]})",
                     .content_type = json_type},
                    errc::invalid_response,
                    "a choice of the reply is empty and has no finish reason"},
        failed_case{"a response without status and output",
                    {.body = R"({"object":"response","output":[]})",
                     .target = endpoint::responses,
                     .content_type = json_type},
                    errc::invalid_response,
                    "the reply is no response object"}));

// The relay continues to work on a background response, and bills it. If the request were sent
// again, it would be billed twice.
TEST(BackgroundReply, IsNotAskedForAgain) {
  const auto opened = [](const char* background) {
    return std::string(
               R"({"type":"response.created","response":{"id":"resp_1","status":"queued")") +
           background + "}}";
  };
  const struct {
    const char* what;
    response from;
    bool goes_on;
  } rows[] = {
      {"queued",
       {.body = R"({"id":"resp_1","object":"response","status":"queued","output":[{}]})",
        .content_type = json_type},
       true},
      {"in progress, with empty error",
       {.body = R"({"id":"resp_1","status":"in_progress","error":null,"output":[]})",
        .content_type = json_type},
       true},
      {"a stream that is cut",
       {.body = events({opened(R"(,"background":true)")}), .how = ending::cut},
       true},
      {"a stream that ends", {.body = events({opened(R"(,"background":true)")})}, true},
      {"a stream that stays silent",
       {.body = events({opened(R"(,"background":true)")}), .how = ending::timeout},
       true},
      {"a stream that goes no further than its connection",
       {.body = events({opened(R"(,"background":false)")}), .how = ending::cut},
       false},
      {"an error beside it",
       {.body = R"({"id":"resp_1","status":"queued","error":{"message":"no"}})",
        .content_type = json_type},
       false},
  };
  for (auto row : rows) {
    row.from.target = endpoint::responses;
    const auto seen = read(row.from);
    ASSERT_FALSE(seen.outcome.has_value()) << row.what;
    const failure& why = seen.outcome.error();
    EXPECT_EQ(why.goes_on, row.goes_on) << row.what;
    EXPECT_EQ(why.kind, row.goes_on ? failure_class::permanent : failure_class::passing)
        << row.what;
    if (!row.goes_on) continue;
    EXPECT_EQ(why.code, errc::invalid_response) << row.what;
    EXPECT_NE(why.message.find("/v1/responses/resp_1"), std::string::npos) << why.message;
  }
}

// If an event that is broken inside came after the first event, the stream forgot that the response
// continues in the background, and later failed to parse the event.
TEST(BackgroundReply, IsRememberedIfALaterEventIsBroken) {
  const std::string opened =
      R"({"type":"response.created","response":{"id":"resp_1","background":true}})";
  const std::string broken = R"({"type":"response.other","response":{"id":"resp_1","object"8}})";
  for (const auto& [first, goes_on] : {std::pair(opened, true), {broken, false}}) {
    response from{.body = events({first, broken}), .how = ending::cut};
    from.target = endpoint::responses;
    const auto seen = read(from);
    ASSERT_FALSE(seen.outcome.has_value());
    EXPECT_EQ(seen.outcome.error().code, errc::invalid_response);
    EXPECT_EQ(seen.outcome.error().goes_on, goes_on) << seen.outcome.error().message;
  }
}

std::string nested(std::size_t depth, const char* open = "[", const char* close = "]") {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  text += '1';
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(NestedReply, IsRefusedWhereNoReaderWouldTakeIt) {
  const auto with = [](const std::string& value) {
    return response{.body = whole(answer(hello), ",\"x\":" + value), .content_type = json_type};
  };
  EXPECT_TRUE(read(with(nested(999))).outcome.has_value());
  const std::string brackets_in_words = json_quote(std::string(2000, '[') + "\"");
  EXPECT_TRUE(read(with(brackets_in_words)).outcome.has_value());
  std::string side_by_side = "[";
  for (int i = 0; i < 2000; ++i) side_by_side += "[],";
  EXPECT_TRUE(read(with(side_by_side + "[]]")).outcome.has_value());
  for (const std::string& value : {nested(1000), nested(5'000), nested(5'000, R"({"a":)", "}")}) {
    const auto seen = read(with(value));
    ASSERT_FALSE(seen.outcome.has_value()) << value.size();
    EXPECT_EQ(seen.outcome.error().code, errc::invalid_response);
    EXPECT_TRUE(seen.outcome.error().unreadable);
  }
  const response stream{
      .body = events(
          {chunk(piece(R"({"content":"x"})", "\"stop\""), ",\"x\":" + nested(5'000)), "[DONE]"})};
  const auto seen = read(stream);
  ASSERT_FALSE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome.error().code, errc::invalid_response);
}

// Each reader that follows the nesting of a value by itself must end before its stack does.
TEST(NestedReply, IsRefusedWhereverItsPiecesAreJoined) {
  const std::string deep = nested(60'000);
  const std::string message = R"({"type":"message","id":"m","role":"assistant","content":)";
  const std::string finished =
      R"({"type":"response.completed","response":{"id":"r","status":"completed","output":[)";
  const std::vector<response> streams{
      {.body = events({said(R"({"content":[{"type":"thinking","thinking":)" + deep + "}]}"),
                       said("{}", "\"stop\""), "[DONE]"})},
      {.body = events({R"({"type":"response.output_item.done","item":)" + message + deep + "}}",
                       finished + "]}}"}),
       .target = endpoint::responses},
      {.body = events({R"({"type":"response.output_text.delta","item_id":"m","delta":"x"})",
                       finished + message + deep + "}]}}"}),
       .target = endpoint::responses},
      {.body = events({R"({"type":"response.content_part.added","item_id":"m","part":)"
                       R"({"type":"output_text","text":)" +
                           deep + "}}",
                       finished + "]}}"}),
       .target = endpoint::responses}};
  for (const response& from : streams) {
    const auto seen = test::read_in_pieces(from, {});
    ASSERT_FALSE(seen.outcome.has_value()) << from.body.substr(0, 100);
    EXPECT_EQ(seen.outcome.error().code, errc::invalid_response);
    EXPECT_TRUE(seen.outcome.error().unreadable);
  }
}

// OpenRouter: https://github.com/OpenRouterArchived/openrouter-runner/issues/99
TEST(FewerChoices, AreAReplyIfTheUsageFollowsThem) {
  const std::vector<std::string> one{said(R"({"content":"hi"})"), said("{}", "\"stop\"")};
  const std::string last = chunk("", ",\"usage\":" + usage);
  const auto stream = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = one;
    all.insert(all.end(), more.begin(), more.end());
    return response{.body = events(all), .choices = 2};
  };
  const auto seen = read(stream({last, "[DONE]"}));
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->usage, counted);
  EXPECT_EQ(seen.outcome->finish_reasons, (std::map<std::string, std::uint64_t>{{"stop", 1}}));
  EXPECT_TRUE(read(stream({last})).outcome.has_value()) << "the end of the body is enough";

  response cut = stream({last});
  cut.how = ending::cut;
  EXPECT_FALSE(read(cut).outcome.has_value()) << "the other choice may have been on its way";
  EXPECT_FALSE(read(stream({"[DONE]"})).outcome.has_value()) << "relays add [DONE] to a cut stream";
  const auto open = read(stream({said(R"({"content":"x"})", "null", 1), last, "[DONE]"}));
  EXPECT_FALSE(open.outcome.has_value()) << "the other choice has begun";
}

struct whole_case {
  const char* name;
  response from;
  std::string body;
};
std::ostream& operator<<(std::ostream& out, const whole_case& row) {
  return out << row.name;
}

class WholeReply : public testing::TestWithParam<whole_case> {};

TEST_P(WholeReply, StandsAsItCame) {
  const auto& [name, from, body] = GetParam();
  const auto seen = read(from);
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.outcome->body, body);
  EXPECT_FALSE(seen.outcome->streamed);
  EXPECT_EQ(seen.last_need, need::more);
}

const std::string every_kind =
    R"({"choices":[{"message":{"refusal":"x"}},{"message":{"content":null,"reasoning_content":"x"}},)"
    R"({"message":{"reasoning":"x"}},{"message":{"tool_calls":[{}]}},)"
    R"({"message":{"function_call":{"name":"f"}}},{"message":{"audio":{"id":"a"}}}]})";

INSTANTIATE_TEST_SUITE_P(
    Bodies, WholeReply,
    testing::Values(
        whole_case{"chat",
                   {.body = whole(answer(hello), ",\"usage\":" + usage), .content_type = json_type},
                   whole(answer(hello), ",\"usage\":" + usage)},
        whole_case{
            "a JSON body that calls itself a stream", {whole(answer(hello))}, whole(answer(hello))},
        whole_case{
            "space and newlines go, key order and numbers stay",
            {.body = "\r\n\n {\n  \"z\": 1.50,\r\n \"big\": 123456789012345678901234567890, "
                     "\"choices\": [ {\"text\": \"x  y\\n\"} ]\n}\n",
             .content_type = json_type},
            R"({"z":1.50,"big":123456789012345678901234567890,"choices":[{"text":"x  y\n"}]})"},
        whole_case{"a byte order mark",
                   {.body = "\xEF\xBB\xBF" + whole(answer(hello)), .content_type = json_type},
                   whole(answer(hello))},
        whole_case{"invalid UTF-8",
                   {.body = "{\"choices\":[{\"text\":\"\xFF\"}]}", .content_type = json_type},
                   "{\"choices\":[{\"text\":\"\xEF\xBF\xBD\"}]}"},
        whole_case{
            "a lone surrogate",
            {.body = R"({"choices":[{"text":"\ud83d \ud83d\ude00"}]})", .content_type = json_type},
            R"({"choices":[{"text":"\ufffd \ud83d\ude00"}]})"},
        whole_case{"raw behind the comments of a stream",
                   {": PING\n\n: PING\n\n" + whole(answer(hello)) + "\n"},
                   whole(answer(hello))},
        whole_case{"raw behind blank lines and a comment",
                   {.body = "\n\n\n: ping\n\n" + whole(answer(hello)),
                    .content_type = "text/event-stream"},
                   whole(answer(hello))},
        whole_case{"a choice that lacks its finish reason, but not its content",
                   {.body = R"({"choices":[{"message":{"content":"x"}},{"text":"y"}]})",
                    .content_type = json_type},
                   R"({"choices":[{"message":{"content":"x"}},{"text":"y"}]})"},
        whole_case{"refusal, reasoning, tool calls and speech are content, too",
                   {.body = every_kind, .content_type = json_type},
                   every_kind},
        whole_case{"an empty choice that ended",
                   {.body = R"({"choices":[{"message":{},"finish_reason":"stop"}]})",
                    .content_type = json_type},
                   R"({"choices":[{"message":{},"finish_reason":"stop"}]})"},
        whole_case{"a choice that ended before its first word, its message null",
                   {.body = R"({"choices":[{"index":0,"message":null,"finish_reason":"length"}]})",
                    .content_type = json_type},
                   R"({"choices":[{"index":0,"message":null,"finish_reason":"length"}]})"},
        whole_case{"the same without a message",
                   {.body = R"({"choices":[{"index":0,"finish_reason":"content_filter"}]})",
                    .content_type = json_type},
                   R"({"choices":[{"index":0,"finish_reason":"content_filter"}]})"},
        whole_case{
            "an error whose members are all empty",
            {.body =
                 R"({"error":{"message":null,"code":0,"type":"","param":{},"details":[{"x":null}]},"choices":[{"text":"x"}]})",
             .content_type = json_type},
            R"({"error":{"message":null,"code":0,"type":"","param":{},"details":[{"x":null}]},"choices":[{"text":"x"}]})"},
        whole_case{"a response that was cut off",
                   {.body = R"({"status":"incomplete","output":[]})",
                    .target = endpoint::responses,
                    .content_type = json_type},
                   R"({"status":"incomplete","output":[]})"},
        whole_case{"a response without a status, but with output",
                   {.body = R"({"output":[{}]})",
                    .target = endpoint::responses,
                    .content_type = json_type},
                   R"({"output":[{}]})"},
        whole_case{"embeddings",
                   {.body = R"({"object":"list","data":[{"embedding":[0.1]}],"error":null})",
                    .target = endpoint::embeddings,
                    .content_type = json_type},
                   R"({"object":"list","data":[{"embedding":[0.1]}],"error":null})"},
        whole_case{"a response",
                   {.body = R"({"status":"completed","output":[],"error":null})",
                    .target = endpoint::responses,
                    .content_type = json_type},
                   R"({"status":"completed","output":[],"error":null})"}));

TEST(ReplyReader, ReadsTheBodyAsWhatItIsWhateverWasAskedFor) {
  for (const bool asked : {false, true}) {
    for (const char* type : {"text/event-stream", "application/json", "text/html", ""}) {
      response from{.body = {}, .content_type = type, .asked_for_stream = asked};
      from.body = events({half, rest, "[DONE]"});
      const auto streamed = read(from);
      from.body = whole(answer(hello)) + "\n";
      const auto unstreamed = read(from);
      ASSERT_TRUE(streamed.outcome.has_value() && unstreamed.outcome.has_value()) << type;
      EXPECT_TRUE(streamed.outcome->streamed);
      EXPECT_FALSE(unstreamed.outcome->streamed);
      EXPECT_EQ(streamed.outcome->body, unstreamed.outcome->body) << type;
    }
  }
}

TEST(ReplyReader, KnowsAPageBehindCommentsAsForeign) {
  const auto seen = read({": PING\n\n<html><title>Bad gateway</title></html>"});
  ASSERT_FALSE(seen.outcome.has_value());
  EXPECT_TRUE(seen.outcome.error().foreign);
}

TEST(ReplyReader, CountsFinishReasonsPerChoice) {
  const auto seen = read({.body = events({said("{}", "\"stop\"", 0), said("{}", "\"length\"", 1),
                                          said("{}", "\"stop\"", 2)}),
                          .choices = 3});
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome->finish_reasons,
            (std::map<std::string, std::uint64_t>{{"length", 1}, {"stop", 2}}));
}

TEST(ReplyReader, CountsTheStatusOfAResponse) {
  const auto reasons = [](const std::string& body) {
    return read({.body = body, .target = endpoint::responses, .content_type = json_type})
        .outcome->finish_reasons;
  };
  using counts = std::map<std::string, std::uint64_t>;
  EXPECT_EQ(reasons(R"({"status":"completed","output":[]})"), (counts{{"completed", 1}}));
  EXPECT_EQ(
      reasons(R"({"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}})"),
      (counts{{"max_output_tokens", 1}}));
  EXPECT_EQ(reasons(R"({"status":"incomplete","incomplete_details":null})"),
            (counts{{"incomplete", 1}}));
}

TEST(ReplyReader, ReadsUsageAndTheRelaysOwnCost) {
  const std::string costly =
      R"({"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"cost":0.00012300})";
  const auto streamed = read({events(
      {said(R"({"content":"x"})", "\"stop\""), chunk("", ",\"usage\":" + costly), "[DONE]"})});
  ASSERT_TRUE(streamed.outcome.has_value());
  EXPECT_EQ(streamed.outcome->usage, counted);
  EXPECT_EQ(streamed.outcome->reported_cost, usd::parse("0.000123"));

  const auto unstreamed =
      read({.body = whole(answer(hello), ",\"usage\":" + costly), .content_type = json_type});
  ASSERT_TRUE(unstreamed.outcome.has_value());
  EXPECT_EQ(unstreamed.outcome->usage, counted);
  EXPECT_EQ(unstreamed.outcome->reported_cost, usd::parse("0.000123"));
}

TEST(ReplyReader, HasNoUsageWhereTheRelayGivesNone) {
  for (const char* more : {"", R"(,"usage":null)", R"(,"usage":{})", R"(,"usage":"x")"}) {
    const auto seen = read({events({chunk(piece("{}", "\"stop\""), more), "[DONE]"})});
    ASSERT_TRUE(seen.outcome.has_value()) << more;
    EXPECT_EQ(seen.outcome->usage, std::nullopt) << more;
    EXPECT_EQ(seen.outcome->reported_cost, std::nullopt) << more;
  }
}

TEST(ReplyReader, KeepsTheUsageThatCounts) {
  for (const char* empty :
       {"{}", R"({"prompt_tokens":0,"completion_tokens":0,"total_tokens":0})", "null", "[1]"}) {
    const std::string other = std::string(",\"usage\":") + empty;
    const auto before = read({events({chunk(piece(R"({"content":"x"})"), other),
                                      chunk(piece("{}", "\"stop\""), ",\"usage\":" + usage)})});
    ASSERT_TRUE(before.outcome.has_value()) << empty;
    EXPECT_EQ(before.outcome->usage, counted) << empty;
    const auto behind = read({events(
        {chunk(piece("{}", "\"stop\""), ",\"usage\":" + usage), chunk("", other), "[DONE]"})});
    ASSERT_TRUE(behind.outcome.has_value()) << empty;
    EXPECT_EQ(behind.outcome->usage, counted) << empty;
  }
}

TEST(ReplyReader, FindsUsageInsideAChoice) {
  const std::string choice =
      R"({"index":0,"message":{"content":"x"},"finish_reason":"stop","usage":)" + usage + "}";
  const auto unstreamed = read({.body = whole(choice), .content_type = json_type});
  ASSERT_TRUE(unstreamed.outcome.has_value());
  EXPECT_EQ(unstreamed.outcome->usage, counted);

  const auto streamed =
      read({events({said(R"({"content":"x"})"),
                    chunk(R"({"index":0,"delta":{},"finish_reason":"stop","usage":)" + usage + "}"),
                    "[DONE]"})});
  ASSERT_TRUE(streamed.outcome.has_value());
  EXPECT_EQ(streamed.outcome->usage, counted);

  const auto both =
      read({.body = whole(choice, R"(,"usage":{"prompt_tokens":9})"), .content_type = json_type});
  ASSERT_TRUE(both.outcome.has_value());
  EXPECT_EQ(both.outcome->usage, token_usage{.prompt_tokens = 9}) << "the reply's own comes first";
}

TEST(ReplyReader, FindsUsageInGroqsCorner) {
  // https://github.com/vercel/ai/issues/1651
  const std::string corner = R"(,"x_groq":{"id":"req_1","usage":)" + usage + "}";
  const std::string id = R"(,"x_groq":{"id":"req_1"})";
  const auto streamed =
      read({events({chunk(piece(R"({"content":"x"})"), id), chunk(piece("{}", "\"stop\""), corner),
                    chunk("", id), "[DONE]"})});
  ASSERT_TRUE(streamed.outcome.has_value());
  EXPECT_EQ(streamed.outcome->usage, counted);
  EXPECT_NE(streamed.outcome->body.find(corner.substr(1)), std::string::npos);

  const auto unstreamed = read({.body = whole(answer(hello), corner), .content_type = json_type});
  ASSERT_TRUE(unstreamed.outcome.has_value());
  EXPECT_EQ(unstreamed.outcome->usage, counted);

  const auto both = read({.body = whole(answer(hello), corner + R"(,"usage":{"prompt_tokens":9})"),
                          .content_type = json_type});
  ASSERT_TRUE(both.outcome.has_value());
  EXPECT_EQ(both.outcome->usage, token_usage{.prompt_tokens = 9}) << "the reply's own comes first";

  reply_reader reader({});
  reply_head head;
  head.status = 200;
  reader.head(head, 0);
  EXPECT_EQ(reader.body(events({said(R"({"content":"x"})", "\"stop\"")})), need::trailer);
  EXPECT_EQ(reader.body(events({said(R"({"content":"x"})", "\"stop\"")})), need::more);
  EXPECT_EQ(reader.body(events({chunk("", corner)})), need::trailer) << "a usage like any other";
}

TEST(ReplyReader, CountsZerosBesideVectorsAsNoUsage) {
  const auto usage_of = [](const std::string& told) {
    const auto seen = read({.body = R"({"data":[{"embedding":[0.1]}],"usage":)" + told + "}",
                            .target = endpoint::embeddings,
                            .content_type = json_type});
    return seen.outcome->usage;
  };
  EXPECT_EQ(usage_of(R"({"prompt_tokens":0,"total_tokens":0})"), std::nullopt);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":3,"total_tokens":3})"), token_usage{.prompt_tokens = 3});
}

TEST(ReplyReader, TellsTheTierThatServedTheRequest) {
  const auto streamed =
      read({events({chunk(piece(R"({"content":"x"})"), R"(,"service_tier":"auto")"),
                    chunk(piece("{}", "\"stop\""), R"(,"service_tier":"flex")"),
                    chunk("", R"(,"service_tier":null)"), "[DONE]"})});
  ASSERT_TRUE(streamed.outcome.has_value());
  EXPECT_EQ(streamed.outcome->service_tier, "flex");
  const auto tier = [](const std::string& more) {
    return read({.body = whole(answer(hello), more), .content_type = json_type})
        .outcome->service_tier;
  };
  EXPECT_EQ(tier(R"(,"service_tier":"priority")"), "priority");
  EXPECT_EQ(tier(R"(,"usage":{"prompt_tokens":1,"service_tier":"standard"})"), "standard");
  EXPECT_EQ(tier(R"(,"service_tier":"a","usage":{"prompt_tokens":1,"service_tier":"b"})"), "a");
  EXPECT_EQ(tier(""), std::nullopt);
  EXPECT_EQ(tier(R"(,"service_tier":null)"), std::nullopt);
  EXPECT_EQ(tier(R"(,"service_tier":7)"), std::nullopt);
}

TEST(ReplyReader, SaysWhatItNeedsNext) {
  reply_reader reader({.choices = 2});
  reply_head head;
  head.status = 200;
  reader.head(head, 0);
  EXPECT_EQ(reader.body(events({said(R"({"content":"x"})")})), need::more);
  EXPECT_EQ(reader.body(events({said("{}", "\"stop\"")})), need::more) << "one choice is open";
  EXPECT_EQ(reader.body(events({said("{}", "\"\"", 1)})), need::more) << "empty is no reason";
  EXPECT_EQ(reader.body(events({said("{}", "\"stop\"", 1)})), need::trailer);
  EXPECT_EQ(reader.body(events({chunk("", ",\"usage\":" + usage)})), need::trailer);
  EXPECT_EQ(reader.body("data: [DONE]\n\n"), need::nothing);
  EXPECT_EQ(reader.body("data: {\"error\":1}\n\n"), need::nothing) << "nothing after it counts";
  const auto outcome = reader.finish(ending::complete);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->usage, counted);
}

TEST(ReplyReader, NeedsMoreWhileContentComesBehindAFinishReason) {
  reply_reader reader({});
  reply_head head;
  head.status = 200;
  reader.head(head, 0);
  EXPECT_EQ(reader.body(events({said(R"({"content":"x"})", "\"stop\"")})), need::trailer);
  for (const char* delta :
       {R"({"content":"x"})", R"({"reasoning_content":"x"})", R"({"refusal":"x"})",
        R"({"tool_calls":[{"index":0,"id":"a"}]})", R"({"function_call":{"name":"f"}})"}) {
    EXPECT_EQ(reader.body(events({said(delta, "\"stop\"")})), need::more) << delta;
    EXPECT_EQ(reader.body(": PING\n\n"), need::more) << "a comment ends nothing";
    EXPECT_EQ(reader.body(events({said(R"({"content":""})")})), need::more) << "no reason, no end";
    EXPECT_EQ(reader.body(events({said(R"({"content":""})", "\"stop\"")})), need::trailer);
  }
  EXPECT_EQ(reader.body(events({said(R"({"content":"x"})")})), need::more);
  EXPECT_EQ(reader.body(events({chunk("", ",\"usage\":" + usage)})), need::trailer);
}

TEST(ReplyReader, NeedsNothingAfterWhatCannotBeHelped) {
  EXPECT_EQ(read({events({R"({"error":{"message":"x"}})"})}).last_need, need::nothing);
  EXPECT_EQ(read({begun + events({"[DONE]"})}).last_need, need::nothing);
  EXPECT_EQ(read({begun + "data:  [done] \n\n"}).last_need, need::nothing);
  EXPECT_EQ(read({ended + events({"bye"})}).last_need, need::nothing);
  EXPECT_EQ(read({ended + "{"}).last_need, need::nothing);
  EXPECT_EQ(read({begun + "{"}).last_need, need::more) << "for the words";
  EXPECT_EQ(read({begun + "{" + std::string(20'000, 'x')}).last_need, need::nothing);
  EXPECT_EQ(read({std::string(20'000, 'x')}).last_need, need::more) << "a stream of no known field";
  EXPECT_EQ(read({.body = "<p>" + std::string(20'000, 'x'), .content_type = "text/html"}).last_need,
            need::nothing);
  EXPECT_EQ(
      read({.body = events({R"({"type":"response.completed","response":{"status":"completed"}})"}),
            .target = endpoint::responses})
          .last_need,
      need::nothing);
}

TEST(ReplyReader, CountsPiecesAndContentApart) {
  const auto count = [](const std::string& body, endpoint target = endpoint::chat_completions) {
    const auto pieces = read({.body = body, .target = target, .how = ending::cut}).pieces;
    return std::pair(pieces.any, pieces.content);
  };
  using pair = std::pair<std::uint64_t, std::uint64_t>;
  const std::string role = said(R"({"role":"assistant","content":""})");
  const std::string thought = said(R"({"reasoning_content":"hm"})");
  const std::string word = said(R"({"content":"a"})");
  EXPECT_EQ(count(events({role})), pair(0, 0));
  EXPECT_EQ(count(events({role, thought, thought})), pair(2, 0));
  EXPECT_EQ(count(events({role, thought, word, word})), pair(3, 2));
  EXPECT_EQ(count(events({said(R"({"refusal":"no"})")})), pair(1, 0));
  EXPECT_EQ(count(events({R"({"choices":[{"text":"a"}]})"}), endpoint::completions), pair(1, 1));
  EXPECT_EQ(count(events({R"({"type":"response.reasoning_summary_text.delta","delta":"hm"})",
                          R"({"type":"response.output_text.delta","delta":"x"})"}),
                  endpoint::responses),
            pair(2, 1));
}

TEST(ReplyReader, TellsWhenContentBegins) {
  const auto began = [](const std::string& delta) {
    return read({.body = events({said(delta)}), .how = ending::cut}).content_began;
  };
  EXPECT_FALSE(began(R"({"role":"assistant","content":""})"));
  EXPECT_FALSE(began("{\"content\":\"\" }")) << "space behind it is no content";
  EXPECT_FALSE(began("{\"content\": \"\"\t , \"reasoning\" : \"\" }"));
  EXPECT_TRUE(began("{\"content\" : \" \" }"));
  EXPECT_FALSE(began(R"({"content":null,"reasoning_content":"","refusal":null,"tool_calls":[]})"));
  EXPECT_TRUE(began(R"({"content":"x"})"));
  EXPECT_TRUE(began(R"({"reasoning_content":"x"})"));
  EXPECT_TRUE(began(R"({"reasoning":"x"})"));
  EXPECT_TRUE(began(R"({"refusal":"x"})"));
  EXPECT_TRUE(began(R"({"tool_calls":[{"index":0,"id":"a"}]})"));
  EXPECT_TRUE(began(R"({"function_call":{"name":"f"}})"));

  const auto began_event = [](const std::string& event) {
    return read({.body = events({event}), .target = endpoint::responses, .how = ending::cut})
        .content_began;
  };
  EXPECT_FALSE(began_event(R"({"type":"response.created","response":{}})"));
  EXPECT_FALSE(began_event(R"({"type":"response.output_text.delta","delta":""})"));
  EXPECT_TRUE(began_event(R"({"type":"response.output_text.delta","delta":"x"})"));
  EXPECT_TRUE(began_event(R"({"type":"response.function_call_arguments.delta","delta":"{"})"));
}

TEST(ReplyReader, RefusesAReplyBeyondTheLimit) {
  const std::string long_text = std::string(1000, 'x');
  for (const std::string& body : {events({said(R"({"content":")" + long_text + "\"}", "\"stop\"")}),
                                  whole(answer(hello), ",\"x\":\"" + long_text + '"')}) {
    const auto seen = read({.body = body, .max_body_bytes = 900});
    ASSERT_FALSE(seen.outcome.has_value());
    EXPECT_EQ(seen.outcome.error().code, errc::response_too_large);
    EXPECT_EQ(seen.outcome.error().kind, failure_class::permanent);
    EXPECT_EQ(seen.last_need, need::nothing);
    EXPECT_TRUE(read({.body = body, .max_body_bytes = body.size()}).outcome.has_value());
  }
}

TEST(ReplyReader, TakesAReplyThatFitsWhateverTheSameReadHasBehindIt) {
  const std::string fits = events({said(R"({"content":"hi"})", "\"stop\"")}) + "data: [DONE]\n\n";
  const auto seen = read({.body = fits + ": more than fits\n", .max_body_bytes = fits.size()});
  ASSERT_TRUE(seen.outcome.has_value()) << seen.outcome.error().message;
  EXPECT_EQ(seen.last_need, need::nothing);
}

TEST(ReplyReader, KnowsAConnectionThatBroughtNoHead) {
  reply_reader cut({});
  const auto broken = cut.finish(ending::cut, "connection reset by peer");
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().code, errc::connection_failed);
  EXPECT_EQ(broken.error().kind, failure_class::passing);
  EXPECT_EQ(broken.error().message, "connection reset by peer");
  EXPECT_EQ(broken.error().http_status, 0);

  reply_reader late({});
  const auto timed_out = late.finish(ending::timeout);
  ASSERT_FALSE(timed_out.has_value());
  EXPECT_EQ(timed_out.error().code, errc::request_timeout);
}

TEST(ReplyReader, TakesAnEventOfManyMegabytes) {
  const std::string text(3 << 20, 'x');
  response from{events({said(R"({"content":")" + text + "\"}", "\"stop\"")})};
  std::vector<std::size_t> cuts;
  for (std::size_t at = 1000; at < from.body.size(); at += 1000) cuts.push_back(at);
  const auto seen = test::read_in_pieces(from, cuts);
  ASSERT_TRUE(seen.outcome.has_value());
  EXPECT_EQ(seen.outcome->body,
            whole(answer(R"({"role":"assistant","content":")" + text + R"(","refusal":null})")));
}

/// For any bytes, the reader gives an outcome and throws no exception. The body of a reply is JSON
/// that any parser accepts.
TEST(ReplyReader, SurvivesDamage) {
  const std::string whole_stream = events(
      {said(
           R"({"role":"assistant","content":"a\ud83d\ude00","tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]})"),
       chunk(R"({"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x"}]}})"),
       said("{}", "\"stop\""), chunk("", ",\"usage\":" + usage), "[DONE]"});
  const std::string whole_body = whole(answer(hello), ",\"usage\":" + usage);
  std::mt19937 random(17);
  int replies = 0;
  for (int round = 0; round < 10'000; ++round) {
    response from{round % 3 == 0 ? whole_body : whole_stream};
    from.target = random() % 5 == 0 ? endpoint::responses : endpoint::chat_completions;
    for (auto i = 1 + random() % 3; i > 0; --i) {
      const std::size_t at = random() % from.body.size();
      switch (random() % 4) {
        case 0:
          from.body[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          from.body[at] = R"({}[]",:\ u)"[random() % 10];
          break;
        case 2:
          from.body.erase(at, random() % 5);
          break;
        default:
          from.body.insert(at, 1, R"({}[]",:\ u)"[random() % 10]);
          break;
      }
    }
    const auto seen = test::read_in_pieces(from, {random() % from.body.size()});
    if (!seen.outcome) continue;
    ++replies;
    ASSERT_TRUE(nlohmann::json::accept(seen.outcome->body)) << seen.outcome->body;
    ASSERT_EQ(seen.outcome->body.find_first_of("\r\n"), std::string::npos);
  }
  EXPECT_GT(replies, 500);
}

}  // namespace
}  // namespace sluice::openai
