#include "jobs/job_line.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

job_options plain() {
  job_options options;
  options.stream = false;
  return options;
}

job_options with(const std::function<void(job_options&)>& change, bool stream = false) {
  job_options options;
  options.stream = stream;
  change(options);
  return options;
}

request parsed(std::string_view line, const job_options& options) {
  const auto told = parse_job_line(line, 7, options);
  if (!told) {
    ADD_FAILURE() << line << ": " << told.error().message;
    return {};
  }
  return *told;
}

TEST(job_line, the_batch_form_is_sent_byte_for_byte) {
  const std::string body =
      R"({ "model" : "gpt-4o",  "z":1.0, "a" : [ 1e400, 123456789012345678901234567890 ],)"
      R"("messages":[{"role":"user","content":"\u00e9 \ud83d\ude00 \/ é"}], "unknown": {"b":null} })";
  const auto told = parsed(
      R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":)" + body + "}",
      plain());
  EXPECT_EQ(told.body, body);
  EXPECT_EQ(told.custom_id, "a");
  EXPECT_EQ(told.model, "gpt-4o");
  EXPECT_EQ(told.line, 7U);
  EXPECT_EQ(told.target, endpoint::chat_completions);
  EXPECT_EQ(told.choices, 1U);
  EXPECT_FALSE(told.streamed);
  EXPECT_EQ(told.digest.size(), 32U);
}

TEST(job_line, the_three_forms_and_what_is_sent_of_them) {
  const struct {
    const char* what;
    const char* line;
    job_options options;
    const char* id;
    endpoint target;
    const char* body;
  } rows[] = {
      {"a batch line for each endpoint",
       R"({"method":"POST","url":"/v1/embeddings","body":{"model":"e","input":"x"}})", plain(),
       "line-7", endpoint::embeddings, R"({"model":"e","input":"x"})"},
      {"completions", R"({"url":"/v1/completions","body":{"model":"m","prompt":"x"}})", plain(),
       "line-7", endpoint::completions, R"({"model":"m","prompt":"x"})"},
      {"responses", R"({"custom_id":"r","url":"/v1/responses","body":{"model":"m","input":"x"}})",
       plain(), "r", endpoint::responses, R"({"model":"m","input":"x"})"},
      {"an url with escaped slashes",
       R"({"url":"\/v1\/embeddings","body":{"model":"e","input":"x"}})", plain(), "line-7",
       endpoint::embeddings, R"({"model":"e","input":"x"})"},
      {"the last of two bodies is sent",
       R"({"url":"/v1/embeddings","body":{"model":"a","input":"x"},"body":{"model":"b","input":"y"}})",
       plain(), "line-7", endpoint::embeddings, R"({"model":"b","input":"y"})"},
      {"a body by an escaped name is sent",
       R"({"url":"/v1/embeddings","body":{"model":"a"},"bod\u0079":{"model":"b","input":"y"}})",
       plain(), "line-7", endpoint::embeddings, R"({"model":"b","input":"y"})"},
      {"a batch line without a url goes where --endpoint says",
       R"({"body":{"model":"m","prompt":"x"}})",
       with([](auto& o) { o.target = endpoint::completions; }), "line-7", endpoint::completions,
       R"({"model":"m","prompt":"x"})"},
      {"a line's own url wins over --endpoint",
       R"({"url":"/v1/embeddings","body":{"model":"m","input":"x"}})",
       with([](auto& o) { o.target = endpoint::responses; }), "line-7", endpoint::embeddings,
       R"({"model":"m","input":"x"})"},
      {"a bare body", R"({"model":"m","messages":[]})", plain(), "line-7",
       endpoint::chat_completions, R"({"model":"m","messages":[]})"},
      {"white space around it is not sent", "  {\"model\":\"m\", \"messages\":[]}\t", plain(),
       "line-7", endpoint::chat_completions, R"({"model":"m", "messages":[]})"},
      {"custom_id first is not sent", R"({"custom_id":"a", "model":"m","messages":[]})", plain(),
       "a", endpoint::chat_completions, R"({"model":"m","messages":[]})"},
      {"custom_id in the middle", R"({"model":"m", "custom_id":"a", "messages":[]})", plain(), "a",
       endpoint::chat_completions, R"({"model":"m", "messages":[]})"},
      {"custom_id last", R"({"model":"m","messages":[] , "custom_id":"a" })", plain(), "a",
       endpoint::chat_completions, R"({"model":"m","messages":[]  })"},
      {"input goes to responses", R"({"model":"m","input":"x"})", plain(), "line-7",
       endpoint::responses, R"({"model":"m","input":"x"})"},
      {"or to embeddings, by the model's name", R"({"model":"text-embedding-3-small","input":"x"})",
       plain(), "line-7", endpoint::embeddings,
       R"({"model":"text-embedding-3-small","input":"x"})"},
      {"a prompt becomes one user message", R"({"prompt":"say \"hi\"\n"})",
       with([](auto& o) { o.model = "m"; }), "line-7", endpoint::chat_completions,
       R"({"messages":[{"role":"user","content":"say \"hi\"\n"}],"model":"m"})"},
      {"the last of two prompts alone", R"({"model":"m","prompt":"x","prompt":"y"})", plain(),
       "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[{"role":"user","content":"y"}]})"},
      {"messages without a model", R"({"messages":[{"role":"user","content":"x"}]})",
       with([](auto& o) { o.model = "m"; }), "line-7", endpoint::chat_completions,
       R"({"messages":[{"role":"user","content":"x"}],"model":"m"})"},
      {"a prompt for the completions endpoint stays one", R"({"prompt":"x"})", with([](auto& o) {
         o.model = "m";
         o.target = endpoint::completions;
       }),
       "line-7", endpoint::completions, R"({"prompt":"x","model":"m"})"},
      {"a model of null is none", R"({"model":null,"messages":[]})",
       with([](auto& o) { o.model = "m"; }), "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[]})"},
      {"--model yields to a line's own", R"({"model":"own","messages":[]})",
       with([](auto& o) { o.model = "m"; }), "line-7", endpoint::chat_completions,
       R"({"model":"own","messages":[]})"},
      {"--override-model does not", R"({"messages":[],"model" : "own" })", with([](auto& o) {
         o.model = "m";
         o.override_model = true;
       }),
       "line-7", endpoint::chat_completions, R"({"messages":[],"model":"m" })"},
      {"--system goes before the messages",
       R"({"model":"m","messages":[ {"role":"user","content":"x"}]})",
       with([](auto& o) { o.system = "be \"brief\""; }), "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[{"role":"system","content":"be \"brief\""}, {"role":"user","content":"x"}]})"},
      {"--system and no messages at all", R"({"model":"m","messages":[ ]})",
       with([](auto& o) { o.system = "s"; }), "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[{"role":"system","content":"s"} ]})"},
      {"--system yields to a system message",
       R"({"model":"m","messages":[{"role":"system","content":"own"}]})",
       with([](auto& o) { o.system = "s"; }), "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[{"role":"system","content":"own"}]})"},
      {"and to a developer message",
       R"({"model":"m","messages":[{"content":"own","role":"developer"}]})",
       with([](auto& o) { o.system = "s"; }), "line-7", endpoint::chat_completions,
       R"({"model":"m","messages":[{"content":"own","role":"developer"}]})"},
      {"--system of a response is its instructions", R"({"model":"m","input":"x"})",
       with([](auto& o) { o.system = "s"; }), "line-7", endpoint::responses,
       R"({"model":"m","input":"x","instructions":"s"})"},
      {"which yield as well", R"({"model":"m","input":"x","instructions":"own"})",
       with([](auto& o) { o.system = "s"; }), "line-7", endpoint::responses,
       R"({"model":"m","input":"x","instructions":"own"})"},
      {"a prompt with a system message", R"({"prompt":"x"})", with([](auto& o) {
         o.model = "m";
         o.system = "s";
       }),
       "line-7", endpoint::chat_completions,
       R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"x"}],"model":"m"})"},
  };
  for (const auto& row : rows) {
    const auto told = parsed(row.line, row.options);
    EXPECT_EQ(told.body, row.body) << row.what;
    EXPECT_EQ(told.custom_id, row.id) << row.what;
    EXPECT_EQ(told.target, row.target) << row.what;
    EXPECT_TRUE(nlohmann::json::accept(told.body)) << row.what;
  }
}

TEST(job_line, the_stream_fields) {
  const job_options streaming;
  const struct {
    const char* what;
    const char* line;
    job_options options;
    bool streamed;
    const char* body;
  } rows[] = {
      {"are put at the end", R"({"model":"m","messages":[]})", streaming, true,
       R"({"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}})"},
      {"white space before the end stays", R"({"model":"m","messages":[] })", streaming, true,
       R"({"model":"m","messages":[] ,"stream":true,"stream_options":{"include_usage":true}})"},
      {"of completions too", R"({"url":"/v1/completions","body":{"model":"m","prompt":"x"}})",
       streaming, true,
       R"({"model":"m","prompt":"x","stream":true,"stream_options":{"include_usage":true}})"},
      {"a response has no stream_options", R"({"model":"m","input":"x"})", streaming, true,
       R"({"model":"m","input":"x","stream":true})"},
      {"embeddings do not stream", R"({"model":"embedding","input":"x"})", streaming, false,
       R"({"model":"embedding","input":"x"})"},
      {"a line's own false stands", R"({"model":"m","messages":[],"stream":false})", streaming,
       false, R"({"model":"m","messages":[],"stream":false})"},
      {"a line's own true gets the usage", R"({"model":"m","stream":true,"messages":[]})",
       streaming, true,
       R"({"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}})"},
      {"but keeps its own options",
       R"({"model":"m","stream":true,"stream_options":{},"messages":[]})", streaming, true,
       R"({"model":"m","stream":true,"stream_options":{},"messages":[]})"},
      {"--no-stream adds nothing", R"({"model":"m","messages":[]})", plain(), false,
       R"({"model":"m","messages":[]})"},
      {"--no-stream and a line's own true", R"({"model":"m","messages":[],"stream":true})", plain(),
       true, R"({"model":"m","messages":[],"stream":true})"},
      {"--no-include-usage", R"({"model":"m","messages":[]})",
       with([](auto& o) { o.include_usage = false; }, true), true,
       R"({"model":"m","messages":[],"stream":true})"},
  };
  for (const auto& row : rows) {
    const auto told = parsed(row.line, row.options);
    EXPECT_EQ(told.body, row.body) << row.what;
    EXPECT_EQ(told.streamed, row.streamed) << row.what;
  }
}

TEST(job_line, a_limit_for_lines_that_set_none) {
  const auto limited = with([](job_options& options) { options.max_tokens = 50; });
  const auto sent = [&](const char* line) { return parsed(line, limited).body; };
  EXPECT_EQ(sent(R"({"model":"gpt-4o","messages":[]})"),
            R"({"model":"gpt-4o","messages":[],"max_tokens":50})");
  EXPECT_EQ(sent(R"({"model":"openai/o3-mini","messages":[]})"),
            R"({"model":"openai/o3-mini","messages":[],"max_completion_tokens":50})");
  EXPECT_EQ(sent(R"({"model":"gpt-5","messages":[]})"),
            R"({"model":"gpt-5","messages":[],"max_completion_tokens":50})");
  EXPECT_EQ(sent(R"({"model":"gpt-4o","input":"x"})"),
            R"({"model":"gpt-4o","input":"x","max_output_tokens":50})");
  EXPECT_EQ(sent(R"({"url":"/v1/completions","body":{"model":"m","prompt":"x"}})"),
            R"({"model":"m","prompt":"x","max_tokens":50})");
  EXPECT_EQ(sent(R"({"model":"m","messages":[],"max_tokens":null})"),
            R"({"model":"m","messages":[],"max_tokens":50})");
  for (const char* line : {R"({"model":"m","messages":[],"max_tokens":5})",
                           R"({"model":"m","messages":[],"max_completion_tokens":5})",
                           R"({"model":"text-embedding-3-small","input":"x"})"}) {
    EXPECT_EQ(sent(line), line);
  }
  const char* line = R"({"model":"gpt-4o","messages":[]})";
  EXPECT_EQ(parsed(line, limited).digest, parsed(line, plain()).digest)
      << "a result stays valid with another limit";
}

TEST(job_line, choices) {
  const std::pair<const char*, unsigned> rows[] = {
      {R"({"model":"m","messages":[]})", 1},
      {R"({"model":"m","messages":[],"n":3})", 3},
      {R"({"model":"m","messages":[],"n":null})", 1},
      {R"({"model":"m","messages":[],"n":0})", 1},
      {R"({"model":"m","messages":[],"n":-2})", 1},
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":"x","n":2}})", 2},
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":["a","b","c"],"n":2}})", 6},
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":["a"]}})", 1},
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":[1,2,3]}})",
       1},  // one prompt, given as tokens
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":[[1,2],[3]]}})", 2},  // two prompts
      {R"({"url":"/v1/completions","body":{"model":"m","prompt":[]}})", 1},
      {R"({"model":"m","input":"x","n":5})", 1},
  };
  for (const auto& [line, choices] : rows)
    EXPECT_EQ(parsed(line, plain()).choices, choices) << line;
}

TEST(job_line, bad_lines_of_every_kind) {
  const struct {
    std::string line;
    errc code;
    const char* told;
    const char* id = "line-7";
  } rows[] = {
      {"nonsense", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[]} trailing)", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[])", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[],"t":NaN})", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[],"t":Infinity})", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[],"t":01})", errc::invalid_json_line, "JSON"},
      {R"({"model":"m","messages":[],})", errc::invalid_json_line, "JSON"},
      {"{\"model\":\"m\",\"messages\":\"\xff\"}", errc::invalid_json_line, "UTF-8"},
      {"{\"model\":\"m\",\"messages\":\"a\tb\"}", errc::invalid_json_line, "JSON"},
      {"[]", errc::invalid_request_line, "object"},
      {"\"text\"", errc::invalid_request_line, "object"},
      {"12", errc::invalid_request_line, "object"},
      {R"({"custom_id":true,"model":"m","messages":[]})", errc::invalid_request_line, "custom_id"},
      {R"({"custom_id":["a"],"model":"m","messages":[]})", errc::invalid_request_line, "custom_id"},
      {R"({"custom_id":"g","params":{"model":"claude","messages":[]}})", errc::invalid_request_line,
       "Anthropic", "g"},
      {R"({"recordId":"g","modelInput":{}})", errc::invalid_request_line, "Bedrock"},
      {R"({"key":"g","request":{"contents":[]}})", errc::invalid_request_line, "Gemini"},
      {R"({"custom_id":"g","response":{"status_code":200}})", errc::invalid_request_line,
       "result of a batch", "g"},
      {R"({"url":"/openai/deployments/d/chat/completions?api-version=2024-10-21","body":{}})",
       errc::invalid_request_line, "Azure"},
      {R"({"url":"/chat/completions?api-version=2024-10-21","body":{}})",
       errc::invalid_request_line, "Azure"},
      {R"({"url":"https://api.openai.com/v1/chat/completions","body":{}})",
       errc::invalid_request_line, "--base-url"},
      {R"({"url":"/v1/messages","body":{}})", errc::invalid_request_line, "/v1/messages"},
      {R"({"url":"/","body":{}})", errc::invalid_request_line, "url"},
      {R"({"url":"","body":{}})", errc::invalid_request_line, "url"},
      {R"({"custom_id":"g","method":"GET","url":"/v1/chat/completions","body":{"model":"m"}})",
       errc::invalid_request_line, "method", "g"},
      {R"({"custom_id":"g","method":"POST","url":"/v1/images","body":{"model":"m"}})",
       errc::invalid_request_line, "/v1/images", "g"},
      {R"({"custom_id":"g","method":"POST","url":5,"body":{"model":"m"}})",
       errc::invalid_request_line, "url", "g"},
      {R"({"custom_id":"g","method":"POST","url":"/v1/chat/completions"})",
       errc::invalid_request_line, "body", "g"},
      {R"({"custom_id":"g","method":"POST","url":"/v1/chat/completions","body":null})",
       errc::invalid_request_line, "body", "g"},
      {R"({"custom_id":"g","method":"POST","url":"/v1/chat/completions","body":"x"})",
       errc::invalid_request_line, "body", "g"},
      {R"({"custom_id":"g","method":"POST","body":{"model":"m","messages":[]}})",
       errc::invalid_request_line, "url", "g"},
      {R"({"model":5,"messages":[]})", errc::invalid_request_line, "model"},
      {R"({"messages":[]})", errc::invalid_request_line, "--model"},
      {R"({"model":"","messages":[]})", errc::invalid_request_line, "--model"},
      {R"({"model":"m"})", errc::invalid_request_line, "messages"},
      {R"({"model":"m","prompt":5})", errc::invalid_request_line, "prompt"},
      {R"({"model":"m","prompt":"x","messages":[]})", errc::invalid_request_line, "both"},
  };
  for (const auto& row : rows) {
    const auto told = parse_job_line(row.line, 7, plain());
    if (told) {
      ADD_FAILURE() << row.line;
      continue;
    }
    EXPECT_EQ(told.error().code, row.code) << row.line;
    EXPECT_EQ(told.error().line, 7U);
    EXPECT_EQ(told.error().custom_id, row.id) << row.line;
    EXPECT_THAT(told.error().message, HasSubstr(row.told)) << row.line;
  }
}

TEST(job_line, what_json_allows_is_sent) {
  for (const char* body :
       {R"({"model":"m","messages":[{"role":"user","content":"lone \ud800 surrogate"}]})",
        R"({"model":"m","messages":[],"seed":123456789012345678901234567890,"t":1e-400,"u":-0})",
        R"({"model":"m","messages":[],"messages":[]})",
        R"({"model":"m","messages":[],"":{"}":"{"}})"}) {
    EXPECT_EQ(parsed(body, plain()).body, body);
  }
}

TEST(job_line, the_end_of_a_url_names_the_endpoint) {
  const std::pair<const char*, endpoint> rows[] = {
      {"/chat/completions", endpoint::chat_completions},
      {"chat/completions", endpoint::chat_completions},
      {"v1/chat/completions", endpoint::chat_completions},
      {"/v1/chat/completions/", endpoint::chat_completions},
      {"/v4/chat/completions", endpoint::chat_completions},
      {"/v1beta/chat/completions", endpoint::chat_completions},
      {"/completions", endpoint::completions},
      {"embeddings", endpoint::embeddings},
      {"/responses", endpoint::responses},
  };
  for (const auto& [url, target] : rows) {
    const std::string line =
        R"({"url":")" + std::string(url) + R"(","body":{"model":"m","messages":[]}})";
    EXPECT_EQ(parsed(line, plain()).target, target) << url;
  }
}

TEST(job_line, a_number_is_an_id_and_null_is_none) {
  for (const char* id : {"5", "0", "-7", "1.50", "123456789012345678901234567890"}) {
    for (const std::string rest :
         {R"(,"model":"m","messages":[]})", R"(,"url":"/v1/embeddings","body":{"model":"m"}})"}) {
      const auto told = parsed(R"({"custom_id":)" + std::string(id) + rest, plain());
      EXPECT_EQ(told.custom_id, id);
      EXPECT_EQ(told.body.find("custom_id"), std::string::npos);
    }
  }
  EXPECT_EQ(parsed(R"({"custom_id":null,"model":"m","messages":[]})", plain()).custom_id, "line-7");
}

TEST(job_line, ids_that_differ_in_a_lone_surrogate_alone_are_two) {
  const auto id = [](const std::string& text) {
    return parsed(R"({"custom_id":)" + text + R"(,"model":"m","messages":[]})", plain()).custom_id;
  };
  EXPECT_NE(id(R"("\ud800")"), id(R"("\ud801")"));
  EXPECT_NE(id(R"("\ud800")"), id(R"("\ufffd")"));
  EXPECT_EQ(id(R"("\ud800")"), id(R"("\uD800")"));
  EXPECT_EQ(id(R"("\ud83d\ude00")"), id("\"😀\""));
}

// If a body has a member twice, both members stay as the user wrote them, unless a flag changes
// them. A relay may read either of the two.
TEST(job_line, doubled_members_of_a_body_stay) {
  const struct {
    const char* what;
    const char* line;
    job_options options;
    const char* model;
    const char* body;
  } rows[] = {
      {"two models: the last is the request's", R"({"model":"a","messages":[],"model":"b"})",
       plain(), "b", R"({"model":"a","messages":[],"model":"b"})"},
      {"by an escaped name", R"({"model":"a","messages":[],"\u006dodel":"b"})", plain(), "b",
       R"({"model":"a","messages":[],"\u006dodel":"b"})"},
      {"a name in other letters is another", R"({"model":"a","messages":[],"Model":"b"})", plain(),
       "a", R"({"model":"a","messages":[],"Model":"b"})"},
      {"--model yields to either", R"({"model":"a","messages":[],"model":"b"})",
       with([](auto& o) { o.model = "m"; }), "b", R"({"model":"a","messages":[],"model":"b"})"},
      {"but not to one that says nothing", R"({"model":"a","messages":[],"model":null})",
       with([](auto& o) { o.model = "m"; }), "m", R"({"model":"a","messages":[],"model":"m"})"},
      {"--override-model is for all of them",
       R"({"model":"a", "messages":[],"\u006dodel" : "b","model":null })", with([](auto& o) {
         o.model = "m";
         o.override_model = true;
       }),
       "m", R"({"model":"m", "messages":[],"model":"m","model":"m" })"},
      {"stream fields behind doubled members",
       R"({"model":"a","messages":[],"messages":[],"n":1,"n":2})",
       with([](auto& o) { o.include_usage = false; }, true), "a",
       R"({"model":"a","messages":[],"messages":[],"n":1,"n":2,"stream":true})"},
      {"of two streams the last is heard",
       R"({"model":"a","stream":true,"messages":[],"stream":false})", with([](auto&) {}, true), "a",
       R"({"model":"a","stream":true,"messages":[],"stream":false})"},
      {"every custom_id is left out",
       R"({"custom_id":"x","model":"a" , "custom_id":"y","custom_id":1, "messages":[], "\u0063ustom_id":"z" ,"custom_id":"w" })",
       plain(), "a", R"({"model":"a" , "messages":[] })"},
      {"of an object of nothing else", R"({"custom_id":"x", "custom_id":"y"})", with([](auto& o) {
         o.model = "m";
         o.target = endpoint::chat_completions;
       }),
       "m", R"({"model":"m"})"},
  };
  for (const auto& row : rows) {
    const auto told = parsed(row.line, row.options);
    EXPECT_EQ(told.model, row.model) << row.what;
    EXPECT_EQ(told.body, row.body) << row.what;
    EXPECT_TRUE(nlohmann::json::accept(told.body)) << row.what;
  }
}

// The time must be linear in the number of members. With quadratic time, this test would take many
// minutes.
TEST(job_line, a_name_that_stands_many_times_costs_no_more_than_its_bytes) {
  std::string ids;
  std::string prompts;
  for (int i = 0; i < 300'000; ++i) {
    ids += R"("custom_id":"x",)";
    prompts += R"("prompt":"x",)";
  }
  EXPECT_EQ(parsed("{" + ids + R"("model":"m","messages":[]})", plain()).body,
            R"({"model":"m","messages":[]})");
  EXPECT_EQ(parsed("{" + prompts + R"("model":"m"})", plain()).body,
            R"({"messages":[{"role":"user","content":"x"}],"model":"m"})");
}

TEST(job_line, a_custom_id_may_hold_anything) {
  EXPECT_EQ(parsed(R"({"custom_id":"a\"b\n\u00e9","model":"m","messages":[]})", plain()).custom_id,
            "a\"b\né");
  EXPECT_EQ(parsed(R"({"custom_id":"","model":"m","messages":[]})", plain()).body,
            R"({"model":"m","messages":[]})");
}

TEST(job_line, the_digest_is_of_what_is_asked_and_of_nothing_else) {
  const std::string body = R"({"model":"m","messages":[]})";
  const auto digest = [](const std::string& line, const job_options& options) {
    return parsed(line, options).digest;
  };
  const std::string base = digest(body, plain());
  EXPECT_EQ(digest(body, job_options{}), base) << "stream fields";
  EXPECT_EQ(digest(R"({"custom_id":"x","model":"m","messages":[]})", plain()), base) << "custom_id";
  EXPECT_EQ(digest(R"({"custom_id":"y","method":"POST","url":"/v1/chat/completions","body":)" +
                       body + "}",
                   plain()),
            base)
      << "the form";
  EXPECT_EQ(digest(R"({"messages":[]})", with([](auto& o) { o.model = "m"; })),
            digest(R"({"messages":[],"model":"m"})", plain()));
  EXPECT_NE(digest(R"({"model":"m","messages":[1]})", plain()), base) << "the prompt";
  EXPECT_NE(digest(R"({"model":"m2","messages":[]})", plain()), base) << "the model";
  EXPECT_NE(digest(body, with([](auto& o) { o.system = "s"; })), base) << "the system message";
  EXPECT_NE(digest(body, with([](auto& o) {
                     o.model = "m2";
                     o.override_model = true;
                   })),
            base);
  EXPECT_NE(digest(R"({"url":"/v1/completions","body":)" + body + "}", plain()), base)
      << "the endpoint";
}

}  // namespace
}  // namespace sluice
