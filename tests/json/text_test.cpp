#include "json/text.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "json/plain_prefix.hpp"

namespace sluice {
namespace {

struct text_case {
  const char* name;
  std::string text;
};

std::ostream& operator<<(std::ostream& out, const text_case& row) {
  return out << row.name;
}

class ValidJson : public testing::TestWithParam<text_case> {};
TEST_P(ValidJson, HasNoFault) {
  EXPECT_EQ(json_fault(GetParam().text), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    Grammar, ValidJson,
    testing::Values(
        text_case{"an object", R"({"a":[1,2,{"b":null}],"c":true,"d":false})"},
        text_case{"space everywhere", " \t\r\n{ \"a\" : [ 1 , 2 ] } \n"},
        text_case{"a scalar", "1"}, text_case{"a string", "\"x\""},
        text_case{"an empty object", "{}"}, text_case{"an empty array", "[ ]"},
        text_case{"empty brackets inside others", "[{},[],{\"a\":{}},[[]],123456789012345678901]"},
        text_case{"an integer of more than 64 bits", R"({"a":123456789012345678901234567890})"},
        text_case{"a number beyond a double", R"([1e999,-1E+999,1e-999])"},
        text_case{"many digits behind the point", "[0.1234567890123456789012345678901234567890]"},
        text_case{"a lone high surrogate", R"({"a":"\ud83d"})"},
        text_case{"a lone low surrogate", R"({"a":"x\uDE00y"})"},
        text_case{"a lone surrogate beside other escapes",
                  R"({"a\n":"\\ \" \/ \b\f\n\r\t \ud83d"})"},
        text_case{"a big number deep inside", R"({"a":[{"b":[[1e999]]},2],"c":{}})"},
        text_case{"a thousand and more levels", std::string(3000, '[') + std::string(3000, ']')},
        text_case{"U+2028 in a string", "\"\xE2\x80\xA8\""},
        text_case{"a repeated key", R"({"a":1,"a":2})"}));

class BadJson : public testing::TestWithParam<text_case> {};
TEST_P(BadJson, HasAFaultInWords) {
  const auto fault = json_fault(GetParam().text);
  ASSERT_TRUE(fault.has_value());
  EXPECT_FALSE(fault->empty());
  EXPECT_EQ(fault->find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Grammar, BadJson,
    testing::Values(
        text_case{"nothing", ""}, text_case{"only space", "  "}, text_case{"NaN", R"({"a":NaN})"},
        text_case{"Infinity", "[-Infinity]"}, text_case{"a leading zero", "[01]"},
        text_case{"a leading plus", "[+1]"}, text_case{"a point without digits", "[1.]"},
        text_case{"an exponent without digits", "[1e]"}, text_case{"a lone minus", "[-]"},
        text_case{"a missing comma", "[1 2]"}, text_case{"a comma too many", "[1,]"},
        text_case{"a comma too many in an object", R"({"a":1,})"},
        text_case{"a missing colon", R"({"a" 1})"}, text_case{"a key without quotes", "{a:1}"},
        text_case{"single quotes", "{'a':1}"}, text_case{"mismatched brackets", R"({"a":[1})"},
        text_case{"mismatched brackets beside a big number", R"({"a":[1e999}])"},
        text_case{"an open object", R"({"a":1)"}, text_case{"an open string", R"({"a":"b)"},
        text_case{"two values", "{} {}"}, text_case{"two values, one big", "1e999 2"},
        text_case{"a bad escape", R"(["\x"])"}, text_case{"a short unicode escape", R"(["\u12"])"},
        text_case{"a bad escape beside a lone surrogate", R"(["\ud83d\q"])"},
        text_case{"a newline in a string", "[\"a\nb\"]"},
        text_case{"a control character beside a lone surrogate", "[\"\\ud83d\x01\"]"},
        text_case{"a wrong word", "[nul]"}, text_case{"a word that goes on", "[nullx]"},
        text_case{"invalid UTF-8", "[\"\xFF\"]"},
        text_case{"a surrogate in UTF-8", "[\"\xED\xA0\x80\"]"},
        text_case{"a comment", "[1] // one"}, text_case{"a NUL behind", std::string("{}\0", 3)}));

TEST(JsonFault, NoDataAtAllIsNoJson) {
  EXPECT_TRUE(json_fault(std::string_view()).has_value());
}

TEST(JsonFault, SaysWhatAndWhere) {
  EXPECT_EQ(json_fault(R"({"a" 1})"), "expected a colon at byte 5");
  EXPECT_EQ(json_fault(R"({"a":1)"), "the text ends too early at byte 6");
}

/// The check must agree with another parser about any damage to a text, on the slow path, too.
TEST(JsonFault, AgreesWithAnotherParserOnDamagedTexts) {
  const std::string whole =
      R"({"a":[1,-2.5e3,{"b":"x\"y\u00e9"}],"c":{},"d":[[],{"e":null}],"f":true})";
  std::mt19937 random(11);
  int invalid = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = whole;
    const std::size_t at = random() % text.size();
    switch (random() % 3) {
      case 0:
        text[at] = R"({}[]",:0e-. tn\u)"[random() % 16];
        break;
      case 1:
        text.erase(at, 1 + random() % 3);
        break;
      default:
        text.insert(at, 1, R"({}[]",:0e-. tn\u)"[random() % 16]);
        break;
    }
    const bool valid = nlohmann::json::accept(text);
    EXPECT_EQ(!json_fault(text), valid) << text;
    // The fast path refuses this number, so the slow path checks the same damage.
    EXPECT_EQ(!json_fault("[123456789012345678901234567890," + text + "]"), valid) << text;
    if (!valid) ++invalid;
  }
  EXPECT_GT(invalid, 1000);
}

TEST(JsonFault, CostsNoStackOnDeepTexts) {
  EXPECT_TRUE(json_fault(std::string(2'000'000, '[')).has_value());
}

TEST(JsonCompact, DropsOnlyTheSpaceBetweenTokens) {
  EXPECT_EQ(json_compact(" { \"a b\" :\r\n [ 1.50 , 1e999,\t\"x\\n \\\" y\" ] }\n"),
            R"({"a b":[1.50,1e999,"x\n \" y"]})");
  EXPECT_EQ(json_compact("{}"), "{}");
  EXPECT_EQ(json_compact(""), "");
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += " 1 ,\n";
  wide += "1]";
  EXPECT_EQ(json_compact(wide).size(), 2003U);
}

TEST(JsonQuote, EscapesWhatJsonMust) {
  EXPECT_EQ(json_quote("a\"b\\c\n\r\t\b\f\x01\x1f/\x7f"),
            "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f/\x7f\"");
  EXPECT_EQ(json_quote(""), "\"\"");
  EXPECT_EQ(json_quote("鲁迅\xE2\x80\xA8"), "\"鲁迅\xE2\x80\xA8\"");
  EXPECT_EQ(json_quote(std::string_view("\0", 1)), "\"\\u0000\"");
  EXPECT_EQ(json_quote("a\xFF"), "\"a\xEF\xBF\xBD\"");
}

TEST(JsonQuote, AnotherParserReadsBackWhatWasQuoted) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (auto i = random() % 40; i > 0; --i) text += static_cast<char>(random() % 256);
    EXPECT_EQ(nlohmann::json::parse(json_quote(text)).get<std::string>(), valid_utf8(text));
  }
}

TEST(JsonQuote, AppendsBehindWhatIsThere) {
  std::string out = "x:";
  append_json_quoted(out, "y");
  EXPECT_EQ(out, "x:\"y\"");
}

TEST(ValidUtf8, ReplacesEveryStrayByte) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(valid_utf8("plain 鲁迅 😀"), "plain 鲁迅 😀");
  EXPECT_EQ(valid_utf8("a\xFFz"), "a" + bad + "z");
  EXPECT_EQ(valid_utf8("\xE9\xB2"), bad + bad) << "a sequence cut at the end";
  EXPECT_EQ(valid_utf8("\xE9\xB2z"), bad + bad + "z") << "a sequence cut by a letter";
  EXPECT_EQ(valid_utf8("\xC0\xAF"), bad + bad) << "overlong";
  EXPECT_EQ(valid_utf8("\xE0\x80\x80"), bad + bad + bad) << "overlong";
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad) << "beyond U+10FFFF";
  EXPECT_EQ(valid_utf8("\xF0\x9F\x98\x80\x80"), "😀" + bad);
}

TEST(WithoutLoneSurrogates, ReplacesTheLoneAndKeepsThePaired) {
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d\ude00")"), R"("\ud83d\ude00")");
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d")"), R"("\ufffd")");
  EXPECT_EQ(without_lone_surrogates(R"("\uDE00\uD83D")"), R"("\ufffd\ufffd")");
  EXPECT_EQ(without_lone_surrogates(R"("\ud83dx\ude00")"), R"("\ufffdx\ufffd")");
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d\ud83d\ude00")"), R"("\ufffd\ud83d\ude00")");
  EXPECT_EQ(without_lone_surrogates(R"("\\ud83d")"), R"("\\ud83d")") << "a backslash, then letters";
  EXPECT_EQ(without_lone_surrogates(R"("\\\ud83d")"), R"("\\\ufffd")");
  EXPECT_EQ(without_lone_surrogates(R"("\ud83d\n\u00e9")"), R"("\ufffd\n\u00e9")");
  EXPECT_EQ(without_lone_surrogates(R"(\ud8)"), R"(\ud8)");
}

TEST(PlainPrefix, EndsAtTheFirstByteThatNeedsAnEscape) {
  const std::string text = "0123456789 abcdefghij \x7F! KLMNOPQRST uvwxyz";
  EXPECT_EQ(plain_prefix(text), text.size());
  EXPECT_EQ(plain_prefix(text, true), text.size());
  EXPECT_EQ(plain_prefix(""), 0U);
  for (std::size_t begin = 0; begin < 17; ++begin) {
    for (std::size_t at = begin; at < text.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = text;
        changed[at] = static_cast<char>(byte);
        const bool stops = byte < 0x20 || byte == '"' || byte == '\\';
        const std::string_view told = std::string_view(changed).substr(begin);
        EXPECT_EQ(plain_prefix(told), stops ? at - begin : told.size()) << byte << " at " << at;
        EXPECT_EQ(plain_prefix(told, true), stops || byte > 0x7F ? at - begin : told.size())
            << byte << " at " << at;
      }
    }
  }
}

}  // namespace
}  // namespace sluice
