#include "server/batch_input.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {
namespace {

std::string line(const std::string& id, const std::string& model = "gpt-4o-mini",
                 const std::string& url = "/v1/chat/completions") {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":")" + url +
         R"(","body":{"model":")" + model + R"(","messages":[{"role":"user","content":"hi"}]}})";
}

struct batch_input : testing::Test {
  checked_input check(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& one : lines) text += one + "\n";
    return check_text(text);
  }
  checked_input check_text(const std::string& text) {
    return check_input(folder.write("input.jsonl", text), rules);
  }
  // The only fault of a batch with `wrong` as its second line.
  store::batch_error fault(const std::string& wrong) {
    const auto found = check({line("first"), wrong, line("last")});
    EXPECT_EQ(found.errors.size(), 1U) << wrong;
    if (found.errors.empty()) return {};
    EXPECT_EQ(found.errors[0].line, 2U);
    return found.errors[0];
  }

  test::temp_dir folder;
  input_rules rules;
};

TEST_F(batch_input, GoodLinesAreCountedAndTheirModelIsTold) {
  const auto found = check({line("a"), line("b"), "", line("c")});
  EXPECT_TRUE(found.errors.empty());
  EXPECT_EQ(found.lines.total, 3U);
  EXPECT_EQ(found.lines.model, "gpt-4o-mini");
}

TEST_F(batch_input, SeveralModelsAreAllowedAndNoneIsTold) {
  const auto found = check({line("a"), line("b", "gpt-4o")});
  EXPECT_TRUE(found.errors.empty());
  EXPECT_EQ(found.lines.model, std::nullopt);
}

TEST_F(batch_input, EachFaultHasItsCodeAndParameter) {
  struct wrong_line {
    std::string text;
    std::string code;
    std::optional<std::string> param;
  };
  const std::string body = R"("body":{"model":"m","messages":[]})";
  const std::string post = R"("method":"POST","url":"/v1/chat/completions",)";
  for (const auto& [text, code, param] : std::vector<wrong_line>{
           {"{", "invalid_json_line", {}},
           {"[1]", "invalid_json_line", {}},
           {"{" + post + body + "}", "missing_required_parameter", "custom_id"},
           {R"({"custom_id":7,)" + post + body + "}", "missing_required_parameter", "custom_id"},
           {R"({"custom_id":"",)" + post + body + "}", "missing_required_parameter", "custom_id"},
           {R"({"custom_id":"x","url":"/v1/chat/completions",)" + body + "}",
            "missing_required_parameter", "method"},
           {R"({"custom_id":"x","method":"POST",)" + body + "}", "missing_required_parameter",
            "url"},
           {R"({"custom_id":"x",)" + post.substr(0, post.size() - 1) + "}",
            "missing_required_parameter", "body"},
           {R"({"custom_id":"x","method":"GET","url":"/v1/chat/completions",)" + body + "}",
            "invalid_method", "method"},
           {line("x", "m", "/v1/embeddings"), "url_mismatch", "url"},
           {line("x", "m", "https://host/v1/chat/completions"), "url_mismatch", "url"},
           {R"({"custom_id":"x",)" + post + R"("body":"text"})", "invalid_request", "body"},
           {R"({"custom_id":"x",)" + post + R"("body":{"messages":[]}})",
            "missing_required_parameter", "body.model"},
           {line("first"), "duplicate_custom_id", "custom_id"}}) {
    const auto found = fault(text);
    EXPECT_EQ(found.code, code) << text;
    EXPECT_EQ(found.param, param) << text;
    EXPECT_FALSE(found.message.empty()) << text;
  }
}

TEST_F(batch_input, AModelThatTheKeyMayNotUseIsRefused) {
  rules.may_use = [](std::string_view model) { return model == "gpt-4o-mini"; };
  EXPECT_EQ(fault(line("x", "gpt-4o")).code, "model_not_found");
}

// The name is stored in the record of the batch, and errors repeat it.
TEST_F(batch_input, AModelWithAHugeNameIsRefusedAndNotQuoted) {
  EXPECT_TRUE(check({line("a", std::string(512, 'm'))}).errors.empty());
  for (const std::size_t size : {std::size_t{513}, std::size_t{1} << 20}) {
    for (const bool may_use : {true, false}) {
      rules.may_use = [=](std::string_view model) { return may_use || model == "gpt-4o-mini"; };
      const auto found = fault(line("x", std::string(size, 'm')));
      EXPECT_EQ(found.code, "invalid_request");
      EXPECT_EQ(found.param, "body.model");
      EXPECT_LT(found.message.size(), 200U);
      EXPECT_EQ(found.message.find("mmm"), std::string::npos);
    }
  }
}

// A store may refuse such a text, and the batch would wait for the store forever.
TEST_F(batch_input, AModelWithANulCharacterIsRefused) {
  const auto found = fault(line("x", "gpt\\u0000"));
  EXPECT_EQ(found.code, "invalid_request");
  EXPECT_EQ(found.param, "body.model");
}

// No text of a client makes the record of a batch large: it may have a hundred such errors.
TEST_F(batch_input, NoErrorRepeatsAHugeText) {
  const std::string huge(1 << 20, 'x');
  const std::string quoted = '"' + huge + '"';
  const std::string body = R"("body":{"model":"gpt-4o-mini","messages":[]})";
  const std::string post = R"("method":"POST","url":"/v1/chat/completions",)";
  for (const std::string& text :
       {huge, quoted, "{" + quoted + ":1}", line(huge, "m", huge), line("x", "m", huge),
        R"({"custom_id":"x","method":)" + quoted + R"(,"url":"/v1/chat/completions",)" + body + "}",
        R"({"custom_id":"x",)" + post + R"("body":)" + quoted + "}",
        R"({"custom_id":"x",)" + post + R"("body":{"model":{)" + quoted + ":1}}}",
        R"({"custom_id":"x",)" + post + body.substr(0, body.size() - 1) + "," + quoted + "}"}) {
    const auto found = fault(text);
    EXPECT_LT(found.code.size() + found.message.size() + found.param.value_or("").size(), 1000U)
        << found.message.substr(0, 300);
  }
}

TEST_F(batch_input, WithABudgetTheHighestCostOfEachRequestMustBeKnown) {
  const relay_prices prices{price_table::built_in()};
  rules.bounded_by = &prices;
  const std::string image =
      R"({"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini",)"
      R"("messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]}})";
  const auto audio = fault(image);
  EXPECT_EQ(audio.code, "invalid_request");
  EXPECT_NE(audio.message.find("highest cost"), std::string::npos) << audio.message;
  const auto unpriced = fault(
      R"({"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"model":"no-such-model",)"
      R"("max_tokens":5,"messages":[{"role":"user","content":"hi"}]}})");
  EXPECT_EQ(unpriced.code, "invalid_request");
  EXPECT_NE(unpriced.message.find("no price"), std::string::npos) << unpriced.message;
}

TEST_F(batch_input, ALineThatIsTooLongIsRefused) {
  rules.most_line_bytes = 300;
  EXPECT_EQ(fault(line(std::string(400, 'x'))).code, "invalid_json_line");
}

TEST_F(batch_input, AFileWithoutARequestIsRefusedAsAWhole) {
  for (const char* text : {"", "\n", " \n\r\n"}) {
    const auto found = check_text(text);
    ASSERT_EQ(found.errors.size(), 1U);
    EXPECT_EQ(found.errors[0].code, "empty_file");
    EXPECT_EQ(found.errors[0].line, std::nullopt);
  }
}

TEST_F(batch_input, AFileWithTooManyRequestsIsRefusedAsAWhole) {
  rules.most_lines = 2;
  EXPECT_TRUE(check({line("a"), line("b")}).errors.empty());
  const auto found = check({line("a"), line("b"), line("c")});
  ASSERT_EQ(found.errors.size(), 1U);
  EXPECT_EQ(found.errors[0].code, "too_many_tasks");
}

TEST_F(batch_input, AtMostAHundredFaultsAreListed) {
  const auto found = check(std::vector<std::string>(250, "no json"));
  EXPECT_EQ(found.errors.size(), 100U);
  EXPECT_EQ(found.errors.back().line, 100U);
}

TEST_F(batch_input, AFileThatIsGoneIsAnError) {
  EXPECT_THROW(check_input(folder / "missing.jsonl", rules), fatal_error);
}

}  // namespace
}  // namespace sluice::server
