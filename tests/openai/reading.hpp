#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "openai/reply_reader.hpp"

namespace sluice::openai::test {

/// One HTTP response, for a row of a test table.
struct response {
  std::string body;
  endpoint target = endpoint::chat_completions;
  unsigned choices = 1;
  reply_reader::ending how = reply_reader::ending::complete;
  int status = 200;
  std::string content_type = "text/event-stream";
  std::string transport = {};
  std::uint64_t max_body_bytes = std::uint64_t{64} << 20;
  bool asked_for_stream = true;
};

/// Everything that a reader reports about a response.
struct reading {
  boost::system::result<reply, failure> outcome;
  reply_reader::need last_need;
  bool content_began;
  piece_count pieces;
};

inline reading read_in_pieces(const response& from, const std::vector<std::size_t>& cuts) {
  reply_reader reader({.target = from.target,
                       .choices = from.choices,
                       .streamed = from.asked_for_stream,
                       .max_body_bytes = from.max_body_bytes});
  reply_head head;
  head.status = from.status;
  head.content_type = from.content_type;
  head.request_id = "req_1";
  reader.head(head, 1'700'000'000);
  auto need = reply_reader::need::more;
  std::size_t begin = 0;
  const auto feed = [&](std::size_t end) {
    const std::string piece = from.body.substr(begin, end - begin);  // freed after the call
    if (need != reply_reader::need::nothing) need = reader.body(piece);
    begin = end;
  };
  for (const std::size_t cut : cuts) feed(cut);
  feed(from.body.size());
  const bool began = reader.content_began();
  const piece_count pieces = reader.pieces();
  return {reader.finish(from.how, from.transport), need, began, pieces};
}

/// All fields of a reading, as text for comparison.
inline std::string describe(const reading& seen) {
  std::ostringstream out;
  if (seen.outcome) {
    const reply& whole = *seen.outcome;
    out << "reply " << whole.http_status << ' ' << whole.request_id
        << (whole.streamed ? " streamed" : "") << '\n'
        << whole.body << '\n';
    if (whole.usage) {
      out << "usage " << whole.usage->prompt_tokens << ' ' << whole.usage->cached_tokens << ' '
          << whole.usage->completion_tokens << ' ' << whole.usage->reasoning_tokens << '\n';
    }
    if (whole.reported_cost) out << "cost " << whole.reported_cost->to_string() << '\n';
    for (const auto& [reason, count] : whole.finish_reasons) out << reason << 'x' << count << ' ';
  } else {
    const failure& failed = seen.outcome.error();
    out << to_string(failed.code) << " class " << static_cast<int>(failed.kind) << ' '
        << failed.http_status << ' ' << failed.request_id << '\n'
        << failed.message << (failed.unreadable ? " (unreadable)" : "") << '\n'
        << failed.body;
  }
  out << "\nneed " << static_cast<int>(seen.last_need) << (seen.content_began ? " content" : "");
  return out.str();
}

/// Reads a response as a whole, byte by byte, and cut at random places. All ways must give the same
/// result.
inline reading read(const response& from) {
  reading whole = read_in_pieces(from, {});
  const std::string expected = describe(whole);

  std::vector<std::size_t> every;
  for (std::size_t i = 1; i < from.body.size(); ++i) every.push_back(i);
  EXPECT_EQ(describe(read_in_pieces(from, every)), expected) << "one byte at a time";

  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::size_t> cuts;
    const auto rarity = 2 + random() % 60;
    for (const std::size_t cut : every) {
      if (random() % rarity == 0) cuts.push_back(cut);
    }
    EXPECT_EQ(describe(read_in_pieces(from, cuts)), expected) << "random cuts, round " << round;
  }
  return whole;
}

/// A chat chunk with the given choices, followed by the members in `more`.
inline std::string chunk(const std::string& choices, const std::string& more = "") {
  return R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":17,"model":"m","choices":[)" +
         choices + "]" + more + "}";
}

/// One choice with a delta.
inline std::string piece(const std::string& delta, const std::string& finish = "null",
                         int index = 0) {
  return R"({"index":)" + std::to_string(index) + R"(,"delta":)" + delta + R"(,"finish_reason":)" +
         finish + "}";
}

/// A chat chunk of one choice.
inline std::string said(const std::string& delta, const std::string& finish = "null",
                        int index = 0) {
  return chunk(piece(delta, finish, index));
}

/// The whole object for the given choices.
inline std::string whole(const std::string& choices, const std::string& more = "") {
  return R"({"id":"chatcmpl-1","object":"chat.completion","created":17,"model":"m","choices":[)" +
         choices + "]" + more + "}";
}

inline std::string answer(const std::string& message, const std::string& finish = "\"stop\"",
                          int index = 0) {
  return R"({"index":)" + std::to_string(index) + R"(,"message":)" + message +
         R"(,"logprobs":null,"finish_reason":)" + finish + "}";
}

/// A stream of `data:` events.
inline std::string events(const std::vector<std::string>& data) {
  std::string text;
  for (const std::string& each : data) text += "data: " + each + "\n\n";
  return text;
}

}  // namespace sluice::openai::test
