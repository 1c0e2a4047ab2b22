#include "openai/repeated_chunk.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "openai/chunk.hpp"
#include "openai/reading.hpp"
#include "openai/stream_assembler.hpp"

namespace sluice::openai {
namespace {

using test::chunk;
using test::piece;
using test::said;

/// A chunk whose text and filler have marks around them: `<text>` and `[filler]`.
struct marked_chunk {
  explicit marked_chunk(const std::string& marked) {
    const auto take = [&](char open, char close, std::size_t& begin, std::size_t& size) {
      begin = whole.find(open);
      if (begin == std::string::npos) return;
      size = whole.find(close) - begin - 1;
      whole.erase(begin, 1).erase(begin + size, 1);
    };
    whole = marked;
    take('<', '>', text_begin, text_size);
    take('[', ']', filler_begin, filler_size);
    if (filler_begin < text_begin) text_begin -= 2;  // the two marks
  }

  std::string_view text() const { return std::string_view(whole).substr(text_begin, text_size); }
  std::string_view filler() const {
    if (filler_begin == std::string::npos) return {};
    return std::string_view(whole).substr(filler_begin, filler_size);
  }

  std::string whole;
  std::size_t text_begin = 0;
  std::size_t text_size = 0;
  std::size_t filler_begin = std::string::npos;
  std::size_t filler_size = 0;
};

struct comparison {
  const char* name;
  const char* remembered;
  std::string next;
  const char* text;  ///< nullptr: the next chunk is not a repetition
};
std::ostream& operator<<(std::ostream& out, const comparison& row) {
  return out << row.name;
}

class RepeatedChunk : public testing::TestWithParam<comparison> {};

TEST_P(RepeatedChunk, DiffersOnlyInItsTextAndFiller) {
  const auto& [name, remembered, next, text] = GetParam();
  const marked_chunk before(remembered);
  repeated_chunk chunk;
  chunk.remember(before.whole, before.text(), before.filler());
  const auto found = chunk.text_of(next);
  if (text == nullptr) {
    EXPECT_FALSE(found.has_value()) << *found;
  } else {
    EXPECT_EQ(found, std::string_view(text));
  }
  chunk.forget();
  EXPECT_FALSE(chunk.text_of(next).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Table, RepeatedChunk,
    testing::Values(
        comparison{"another text", R"({"t":"<a>","n":1})", R"({"t":"bcd","n":1})", "bcd"},
        comparison{"a long text", R"({"t":"<a>","n":1})",
                   R"({"t":"0123456789abcdef0123456789abcdef","n":1})",
                   "0123456789abcdef0123456789abcdef"},
        comparison{"escapes", R"({"t":"<a>","n":1})", R"({"t":"\"b\\\n\u00e9","n":1})",
                   R"(\"b\\\n\u00e9)"},
        comparison{"half of a surrogate pair", R"({"t":"<a>"})", R"({"t":"\ud83d"})", R"(\ud83d)"},
        comparison{"UTF-8", R"({"t":"<a>"})", R"({"t":"你好"})", "你好"},
        comparison{"not UTF-8", R"({"t":"<a>"})", "{\"t\":\"\xE4\xBD\"}", nullptr},
        comparison{"no text", R"({"t":"<a>"})", R"({"t":""})", nullptr},
        comparison{"a line feed", R"({"t":"<a>"})", "{\"t\":\"b\nc\"}", nullptr},
        comparison{"a line feed after a backslash", R"({"t":"<a>"})", "{\"t\":\"b\\\nc\"}",
                   nullptr},
        comparison{"another value before it", R"({"n":1,"t":"<a>"})", R"({"n":2,"t":"b"})",
                   nullptr},
        comparison{"another value after it", R"({"t":"<a>","n":1})", R"({"t":"b","n":2})", nullptr},
        comparison{"more after it", R"({"t":"<a>"})", R"({"t":"b"}})", nullptr},
        comparison{"less after it", R"({"t":"<a>","n":1})", R"({"t":"b","n":1)", nullptr},
        comparison{"null instead of a text", R"({"t":"<a>"})", R"({"t":null})", nullptr},
        comparison{"the quote is escaped", R"({"t":"<a>"})", R"({"t":"b\"})", nullptr},
        comparison{"the end in the text", R"({"t":"<a>","n":1})", R"({"t":"b\",\"n\":1}","n":1})",
                   R"(b\",\"n\":1})"},
        comparison{"cut inside the text", R"({"t":"<a>"})", R"({"t":"b)", nullptr},
        comparison{"cut after a backslash", R"({"t":"<a>"})", R"({"t":"b\)", nullptr},
        comparison{"empty", R"({"t":"<a>"})", "", nullptr},
        comparison{"another filler", R"({"t":"<a>","f":"[x]"})", R"({"t":"b","f":"yz"})", "b"},
        comparison{"no filler", R"({"t":"<a>","f":"[x]"})", R"({"t":"b","f":""})", "b"},
        comparison{"another value before the filler", R"({"t":"<a>","n":1,"f":"[x]"})",
                   R"({"t":"b","n":2,"f":"y"})", nullptr},
        comparison{"more after the filler", R"({"t":"<a>","f":"[x]"})",
                   R"({"t":"b","f":"y","n":1})", nullptr},
        comparison{"a filler that is not UTF-8", R"({"t":"<a>","f":"[x]"})",
                   "{\"t\":\"b\",\"f\":\"\xE4\"}", nullptr},
        comparison{"a filler that is cut", R"({"t":"<a>","f":"[x]"})", R"({"t":"b","f":"y)",
                   nullptr},
        comparison{"the same filler before the text", R"({"f":"[x]","t":"<a>"})",
                   R"({"f":"x","t":"b"})", "b"},
        comparison{"another filler before the text", R"({"f":"[x]","t":"<a>"})",
                   R"({"f":"y","t":"b"})", nullptr},
        comparison{"no text is remembered", R"({"t":"<>"})", R"({"t":"b"})", nullptr}),
    [](const auto& row) {
      std::string name;
      for (const char c : std::string_view(row.param.name)) name += c == ' ' || c == '-' ? '_' : c;
      return name;
    });

TEST(RepeatedChunkMemory, IsLimited) {
  const std::string head = R"({"t":")";
  const auto of_size = [&](std::size_t size) {
    return head + "a" + R"(","n":")" + std::string(size, 'n') + R"("})";
  };
  repeated_chunk chunk;
  const std::string small = of_size(100);
  chunk.remember(small, std::string_view(small).substr(head.size(), 1), {});
  EXPECT_EQ(chunk.held(), small.size() - 1);
  const std::string large = of_size(repeated_chunk::longest);
  chunk.remember(large, std::string_view(large).substr(head.size(), 1), {});
  EXPECT_EQ(chunk.held(), 0);
  EXPECT_FALSE(chunk.text_of(large).has_value());
}

TEST(RepeatedChunkMemory, IgnoresATextOfAnotherChunk) {
  const std::string one = R"({"t":"a"})";
  const std::string other = one;
  repeated_chunk chunk;
  chunk.remember(one, std::string_view(other).substr(6, 1), {});
  EXPECT_FALSE(chunk.text_of(one).has_value());
}

/// Chunks of a stream in which `TEXT` stands for the piece of text.
struct stream_form {
  const char* name;
  std::string first;
  std::string next;  ///< empty: the same
  bool repeats;      ///< whether the next chunk is taken without being parsed
  endpoint target = endpoint::chat_completions;
};
std::ostream& operator<<(std::ostream& out, const stream_form& row) {
  return out << row.name;
}

std::string with_text(std::string form, const std::string& text) {
  for (auto at = form.find("TEXT"); at != std::string::npos; at = form.find("TEXT", at)) {
    form.replace(at, 4, text);
    at += text.size();
  }
  return form;
}

class StreamOfRepeatedChunks : public testing::TestWithParam<stream_form> {};

chunk_meaning add_parsed(stream_assembler& to, chunk_reader& reader, const std::string& chunk) {
  const chunk_meaning meaning = to.add(reader.object(chunk));
  reader.expect_end();
  to.remember(reader.text());
  return meaning;
}

std::string state_of(const stream_assembler& assembled) {
  const piece_count pieces = assembled.pieces();
  return assembled.body() + ' ' + std::to_string(pieces.any) + ' ' +
         std::to_string(pieces.content) + ' ' + std::to_string(pieces.reasoning) + ' ' +
         (assembled.settled() ? "settled" : "open") + ' ' + std::string(assembled.text());
}

TEST_P(StreamOfRepeatedChunks, GivesTheSameAsIfEachChunkWereParsed) {
  const auto& [name, first, next, repeats, target] = GetParam();
  const std::vector<std::string> texts{
      "Hello",     " wor",      "ld", "ld", R"(\n\"quoted\" \\)", "", "你",
      R"(\ud83d)", R"(\ude00)", "12", "ok"};
  stream_assembler parsed(target, 1);
  stream_assembler compared(target, 1);
  chunk_reader reader;
  chunk_reader reader_of_compared;
  bool any_repeated = false;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string chunk = with_text(i % 2 == 0 || next.empty() ? first : next, texts[i]);
    ASSERT_EQ(add_parsed(parsed, reader, chunk), chunk_meaning::progress);
    const bool repeated = compared.add_repeated(chunk);
    if (!repeated) add_parsed(compared, reader_of_compared, chunk);
    any_repeated = any_repeated || repeated;
    EXPECT_EQ(state_of(compared), state_of(parsed)) << chunk;
  }
  EXPECT_EQ(any_repeated, repeats);
}

const std::string text = R"({"content":"TEXT"})";
const std::string counts = R"(,"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7})";

INSTANTIATE_TEST_SUITE_P(
    Table, StreamOfRepeatedChunks,
    testing::Values(
        stream_form{"content", said(text), "", true},
        stream_form{"role with each",
                    said(R"({"role":"assistant","content":"TEXT","refusal":null})"), "", true},
        stream_form{"reasoning", said(R"({"reasoning_content":"TEXT","content":null})"), "", true},
        stream_form{"refusal", said(R"({"refusal":"TEXT"})"), "", true},
        stream_form{"empty beside it", said(R"({"reasoning_content":"","content":"TEXT"})"), "",
                    true},
        stream_form{"no tool calls", said(R"({"content":"TEXT","tool_calls":null})"), "", true},
        stream_form{"an empty list of tool calls", said(R"({"content":"TEXT","tool_calls":[]})"),
                    "", true},
        stream_form{"members of the relay", chunk(piece(text), R"(,"provider":"p","x":{"y":[1]})"),
                    "", true},
        stream_form{"no usage", chunk(piece(text), R"(,"usage":null)"), "", true},
        stream_form{"a usage of zeros",
                    chunk(piece(text), R"(,"usage":{"prompt_tokens":0,"completion_tokens":0})"), "",
                    true},
        stream_form{"obfuscation", chunk(piece(text), R"(,"obfuscation":"TEXT..")"), "", true},
        stream_form{"a delta that is a string", said("\"TEXT\""), "", true},
        stream_form{"a completion", chunk(R"({"text":"TEXT","index":0,"logprobs":null})"), "", true,
                    endpoint::completions},
        stream_form{"another choice", chunk(piece(text, "null", 1)), "", true},
        stream_form{"two choices of which one speaks",
                    chunk(piece(text, "null", 1) + "," + piece("{}")), "", true},
        stream_form{"two choices", chunk(piece(text) + "," + piece(text, "null", 1)), "", false},
        stream_form{"two choices in turn", said(text), said(text, "null", 1), false},
        stream_form{"content and reasoning in turn", said(text),
                    said(R"({"reasoning_content":"TEXT"})"), false},
        stream_form{"content and reasoning at once",
                    said(R"({"content":"TEXT","reasoning_content":"TEXT"})"), "", false},
        stream_form{"a finish reason with each", said(text, "\"stop\""), "", false},
        stream_form{"a usage with each", chunk(piece(text), counts), "", false},
        stream_form{"a usage in between", said(text), chunk("", counts), false},
        stream_form{"an unknown string", said(R"({"content":"TEXT","model_name":"small one"})"), "",
                    false},
        stream_form{"an unknown text", said(R"({"content":"a","notes":"TEXT"})"), "", false},
        stream_form{"a list in the delta", said(R"({"content":"TEXT","token_ids":[1]})"), "",
                    false},
        stream_form{"a list in the choice",
                    chunk(R"({"index":0,"delta":{"content":"TEXT"},"token_ids":[1]})"), "", false},
        stream_form{"parts", said(R"({"content":[{"type":"text","text":"TEXT"}]})"), "", false},
        stream_form{"one part", said(R"({"content":{"type":"text","text":"TEXT"}})"), "", false},
        stream_form{"tool calls",
                    said(R"({"content":"a","tool_calls":[{"index":0,"id":"c","type":"function",)"
                         R"("function":{"name":"f","arguments":"TEXT"}}]})"),
                    "", false},
        stream_form{"a function call",
                    said(R"({"content":"TEXT","function_call":{"name":"f","arguments":"x"}})"), "",
                    false},
        stream_form{"audio", said(R"({"content":"TEXT","audio":{"data":"YQ=="}})"), "", false},
        stream_form{"log probabilities",
                    chunk(R"({"index":0,"delta":{"content":"TEXT"},"logprobs":{"content":[1]}})"),
                    "", false},
        stream_form{"the message so far",
                    chunk(R"({"index":0,"message":{"role":"assistant","content":"TEXT"}})"), "",
                    false}),
    [](const auto& row) {
      std::string name;
      for (const char c : std::string_view(row.param.name)) name += c == ' ' ? '_' : c;
      return name;
    });

TEST(StreamOfRepeatedChunks, IsInterruptedByAToolCall) {
  stream_assembler assembled(endpoint::chat_completions, 1);
  chunk_reader reader;
  add_parsed(assembled, reader, said(R"({"content":"a"})"));
  EXPECT_TRUE(assembled.add_repeated(said(R"({"content":"b"})")));
  add_parsed(assembled, reader,
             said(R"({"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]})"));
  EXPECT_FALSE(assembled.add_repeated(said(R"({"content":"c"})")));
}

TEST(StreamOfRepeatedChunks, IsInterruptedByADamagedChunk) {
  stream_assembler assembled(endpoint::chat_completions, 1);
  chunk_reader reader;
  add_parsed(assembled, reader, said(R"({"content":"a"})"));
  EXPECT_THROW(assembled.add(reader.object(R"({"choices":[{"delta":{"content":"b" "c"}}]})")),
               simdjson::simdjson_error);
  EXPECT_FALSE(assembled.add_repeated(said(R"({"content":"c"})")));
}

// What is left in the buffer from earlier chunks must not matter.
TEST(StreamOfRepeatedChunks, ACutChunkDoesNotEndTheReply) {
  std::string last = said("{}", "\"stop\"");
  last.resize(last.size() - 2);  // without its last brackets
  const std::string begin = said(R"({"content":"aaaaaaaaaaaaa"})");
  for (std::size_t length = 1; length <= 60; ++length) {
    const std::string next = said(R"({"content":")" + std::string(length, 'b') + R"("})");
    for (const std::string& second : {next, "{ " + next.substr(1)}) {
      std::string body = test::events({begin, second, last});
      body.resize(body.size() - 2);  // the blank line
      const auto seen = test::read_in_pieces({.body = body}, {});
      ASSERT_FALSE(seen.outcome.has_value()) << body;
      EXPECT_EQ(seen.outcome.error().code, errc::stream_interrupted);
    }
  }
}

/// The same stream from a relay that never repeats a chunk, so that every chunk is parsed.
std::string with_spaces(const std::vector<std::string>& chunks) {
  std::vector<std::string> differing;
  for (const std::string& each : chunks) {
    const bool unchanged = differing.size() % 2 == 0 || !each.starts_with('{');
    differing.push_back(unchanged ? each : "{ " + each.substr(1));
  }
  return test::events(differing);
}

/// What a reader reports, without the texts that quote a chunk.
std::string verdict_on(const test::response& from) {
  const test::reading seen = test::read_in_pieces(from, {});
  std::string verdict = std::to_string(seen.pieces.any) + ' ' +
                        std::to_string(seen.pieces.content) + ' ' +
                        std::to_string(static_cast<int>(seen.last_need)) + ' ';
  if (seen.outcome) return verdict + seen.outcome->body;
  const failure& failed = seen.outcome.error();
  return verdict + std::string(to_string(failed.code)) + ' ' +
         std::to_string(static_cast<int>(failed.kind)) + (failed.unreadable ? " unreadable" : "");
}

TEST(StreamOfRepeatedChunks, GivesTheSameVerdictWithRandomPieces) {
  const std::vector<std::string> pieces{
      "a", " the",      R"(\n)", R"(\")", "\xE4", "\xBD\xA0", "{", "}", R"("})", "0123456789abcdef",
      "é", R"(\u00e9)", ""};
  const std::vector<std::string> others{said(R"({"reasoning":"TEXT"})"),
                                        said("{}", "\"stop\""),
                                        chunk("", counts),
                                        R"({"error":{"message":"overloaded"}})",
                                        "ping",
                                        R"({"unknown":"TEXT"})",
                                        said(R"({"content":"TEXT"})").substr(0, 60)};
  std::mt19937 random(7);
  unsigned replies = 0;
  constexpr unsigned rounds = 2000;
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<std::string> chunks{said(R"({"role":"assistant","content":""})")};
    for (int i = 0; i < 12; ++i) {
      const bool other = random() % 16 == 0;
      const std::string form =
          other ? others[random() % others.size()] : said(R"({"content":"TEXT"})");
      chunks.push_back(with_text(form, pieces[random() % pieces.size()]));
    }
    if (random() % 2 == 0) chunks.push_back(said("{}", "\"stop\""));
    const bool cut = random() % 4 == 0;
    if (cut) chunks.back().resize(random() % chunks.back().size());
    if (!cut && random() % 2 == 0) chunks.emplace_back("[DONE]");
    const auto how = random() % 2 == 0 ? reply_reader::ending::complete : reply_reader::ending::cut;
    const auto response = [&](std::string body) {
      if (cut) body.resize(body.size() - 2);  // the end of the event
      return test::response{.body = std::move(body), .how = how};
    };
    const std::string expected = verdict_on(response(with_spaces(chunks)));
    EXPECT_EQ(verdict_on(response(test::events(chunks))), expected) << test::events(chunks);
    if (expected.find('{') != std::string::npos) ++replies;
  }
  EXPECT_GT(replies, rounds / 20);
  EXPECT_LT(replies, rounds - rounds / 20);
}

}  // namespace
}  // namespace sluice::openai
