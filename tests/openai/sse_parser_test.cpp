#include "openai/sse_parser.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using events = std::vector<std::pair<std::string, std::string>>;  // type, data

/// The events of a text that is fed in pieces that end at `cuts`. Everything after the first raw
/// text is added to it, as the parser's caller would do.
events parse(std::string_view text, const std::vector<std::size_t>& cuts) {
  events seen;
  sse_parser parser;
  const auto keep = [&](const sse_parser::event& event) {
    seen.emplace_back(event.raw ? "raw" : event.type, event.data);
    return true;
  };
  std::size_t begin = 0;
  bool parsing = true;
  const auto feed = [&](std::size_t end) {
    const std::string piece(text.substr(begin, end - begin));  // a copy, freed after the call
    if (parsing) {
      parsing = parser.feed(piece, keep);
    } else {
      seen.back().second += piece;
    }
    begin = end;
  };
  for (const std::size_t cut : cuts) feed(cut);
  feed(text.size());
  parser.finish(keep);
  return seen;
}

struct sse_case {
  const char* name;
  std::string text;
  events expected;
};

std::ostream& operator<<(std::ostream& out, const sse_case& row) {
  return out << row.name;
}

class SseParser : public testing::TestWithParam<sse_case> {};

TEST_P(SseParser, ReadsTheSameEventsHoweverTheBytesAreCut) {
  const auto& [name, text, expected] = GetParam();
  EXPECT_EQ(parse(text, {}), expected) << "whole";

  std::vector<std::size_t> every;
  for (std::size_t i = 1; i < text.size(); ++i) every.push_back(i);
  EXPECT_EQ(parse(text, every), expected) << "one byte at a time";

  for (const std::size_t cut : every) {
    EXPECT_EQ(parse(text, {cut}), expected) << "cut in two at " << cut;
    EXPECT_EQ(parse(text, {cut, cut}), expected) << "an empty read at " << cut;
  }
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::size_t> cuts;
    for (const std::size_t cut : every) {
      if (random() % 4 == 0) cuts.push_back(cut);
    }
    EXPECT_EQ(parse(text, cuts), expected) << "random cuts, round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rules, SseParser,
    testing::Values(
        sse_case{"lines end with LF", "data: a\n\ndata: b\n\n", {{"", "a"}, {"", "b"}}},
        sse_case{"lines end with CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a"}, {"", "b"}}},
        sse_case{"lines end with CR", "data: a\r\rdata: b\r\r", {{"", "a"}, {"", "b"}}},
        sse_case{"line ends of all kinds mix",
                 "data: a\r\ndata: b\rdata: c\n\rdata: d\n\r\n",
                 {{"", "a\nb\nc"}, {"", "d"}}},
        sse_case{"an LF after a blank CR line is part of its end",
                 "data: a\r\r\ndata: b\n\n",
                 {{"", "a"}, {"", "b"}}},
        sse_case{"two LFs after a CR are one end and one blank line",
                 "data: a\r\n\ndata: b\r\n\n",
                 {{"", "a"}, {"", "b"}}},
        sse_case{"the space after the colon is optional", "data:a\n\n", {{"", "a"}}},
        sse_case{"only one space is taken", "data:  a \n\n", {{"", " a "}}},
        sse_case{
            "several data lines join with LF", "data: a\ndata:\ndata: c\n\n", {{"", "a\n\nc"}}},
        sse_case{"a data line without a colon is an empty one", "data\n\n", {{"", ""}}},
        sse_case{"comments are passed over",
                 ": PING\n\n:\n\ndata: a\n: in between\ndata: b\n\n",
                 {{"", "a\nb"}}},
        sse_case{"events without data are passed over",
                 "id: 1\n\nretry: 10\n\nevent: ping\n\n\n\ndata: a\n\n",
                 {{"", "a"}}},
        sse_case{"id, retry and unknown fields say nothing",
                 "id: 1\ndata: a\nretry: 10\nfoo: bar\ndatas: no\n\n",
                 {{"", "a"}}},
        sse_case{"the type belongs to one event",
                 "event: error\ndata: a\n\ndata: b\n\ndata: c\nevent:late\n\n",
                 {{"error", "a"}, {"", "b"}, {"late", "c"}}},
        sse_case{"a type without data does not pass to the next event",
                 "event: error\n\ndata: a\n\n",
                 {{"", "a"}}},
        sse_case{"a byte order mark at the start is passed over",
                 "\xEF\xBB\xBF"
                 "data: a\n\n",
                 {{"", "a"}}},
        sse_case{"a byte order mark further on is text",
                 "data: \xEF\xBB\xBF\n\n\xEF\xBB\xBF"
                 "data: b\n\n",
                 {{"", "\xEF\xBB\xBF"}}},
        sse_case{"half a byte order mark is text",
                 "\xEF\xBB"
                 "data: a\n\ndata: b\n\n",
                 {{"", "b"}}},
        sse_case{"U+0085, U+2028 and U+2029 end no line",
                 "data: a\xC2\x85"
                 "b\xE2\x80\xA8"
                 "c\xE2\x80\xA9"
                 "d\v\f\n\n",
                 {{"",
                   "a\xC2\x85"
                   "b\xE2\x80\xA8"
                   "c\xE2\x80\xA9"
                   "d\v\f"}}},
        sse_case{"the last event may lack its blank line",
                 "data: a\n\ndata: b\n",
                 {{"", "a"}, {"", "b"}}},
        sse_case{"the last line may lack its end", "data: a\ndata: b", {{"", "a\nb"}}},
        sse_case{"a line that begins with a brace is raw, with all behind it",
                 ": PING\n\n{\"error\":\n\ndata: a\n}\n",
                 {{"raw", "{\"error\":\n\ndata: a\n}\n"}}},
        sse_case{"so is one that begins a page, behind an event without its blank line",
                 "data: a\r\nevent: x\r\n<html>\r\n\r\n",
                 {{"x", "a"}, {"raw", "<html>\r\n\r\n"}}},
        sse_case{"a type alone before it is forgotten", "event: x\r{}", {{"raw", "{}"}}},
        sse_case{"a brace further on in a line is text",
                 "x{}\n {}\ndata:{}\ndata: <\n\n",
                 {{"", "{}\n<"}}},
        sse_case{"nothing gives nothing", "", {}},
        sse_case{"a colon in the value is text", "data: {\"a\":1}\n\n", {{"", "{\"a\":1}"}}}));

TEST(SseParserSink, StopsWhereTheSinkSaysSo) {
  sse_parser parser;
  std::vector<std::string> seen;
  const auto stop_at_b = [&](const sse_parser::event& event) {
    seen.emplace_back(event.data);
    return event.data != "b";
  };
  EXPECT_TRUE(parser.feed("data: a\n\n", stop_at_b));
  EXPECT_FALSE(parser.feed("data: b\n\ndata: c\n\nda", stop_at_b));
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "b"}));
}

TEST(SseParserSink, HandsOnAWholeEventWithoutACopy) {
  sse_parser parser;
  const std::string bytes = "data: some text that is longer than any small buffer\n\n";
  const char* seen = nullptr;
  parser.feed(bytes, [&](const sse_parser::event& event) {
    seen = event.data.data();
    return true;
  });
  EXPECT_EQ(seen, bytes.data() + 6);
}

/// The time to read one event of `size` bytes in reads of 512 bytes.
double seconds_to_read(std::size_t size, char line_end) {
  std::string text = "data: " + std::string(size, 'x');
  text.append(2, line_end);
  sse_parser parser;
  std::size_t read = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < text.size(); at += 512) {
    parser.feed(std::string_view(text).substr(at, 512), [&](const sse_parser::event& event) {
      read = event.data.size();
      return true;
    });
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(read, size);
  return took.count();
}

TEST(SseParserCost, GrowsLinearlyWithTheEvent) {
  // The text has sixteen times the bytes. A quadratic parser would take 256 times as long: seconds
  // instead of milliseconds. The margins are wide enough for a loaded machine.
  for (const char line_end : {'\n', '\r'}) {
    const double small = seconds_to_read(std::size_t{1} << 20, line_end);
    const double large = seconds_to_read(std::size_t{16} << 20, line_end);
    EXPECT_LT(large, 64 * small + 0.2);
  }
}

TEST(SseParserCost, ManyShortLinesInOneReadAreNoSearchOfTheWholeReadEach) {
  const auto seconds_for = [](std::size_t number) {
    std::string text;
    for (std::size_t i = 0; i < number; ++i) text += "data: x\r\r";
    sse_parser parser;
    std::size_t count = 0;
    const auto begin = std::chrono::steady_clock::now();
    parser.feed(text, [&](const sse_parser::event&) { return ++count > 0; });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(count, number);
    return took.count();
  };
  // As above, with eight times the events. If the parser searched the whole read for each event, it
  // would take 64 times as long.
  const double few = seconds_for(25'000);
  EXPECT_LT(seconds_for(200'000), 32 * few + 0.2);
}

}  // namespace
}  // namespace sluice
