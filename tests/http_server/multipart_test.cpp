#include "http/server/multipart.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::http_server {
namespace {

struct read_part {
  std::string name;
  std::optional<std::string> filename;
  std::string content_type;
  std::string content;
  bool ended = false;
  friend bool operator==(const read_part&, const read_part&) = default;
};

struct outcome {
  std::vector<read_part> parts;
  bool whole = false;
  std::string fault;
};

// Reads the body in pieces of these lengths. The last length repeats.
outcome read(std::string_view body, const std::vector<std::size_t>& lengths,
             std::string_view boundary = "frontier") {
  outcome found;
  multipart_parser parser(
      boundary,
      {.on_part =
           [&](const multipart_parser::part_head& head) {
             found.parts.push_back({head.name, head.filename, head.content_type, {}, false});
           },
       .on_bytes = [&](std::string_view piece) { found.parts.back().content += piece; },
       .on_part_end = [&] { found.parts.back().ended = true; }});
  bool good = true;
  for (std::size_t i = 0, at = 0; good && at < body.size(); ++i) {
    const std::size_t length = lengths[std::min(i, lengths.size() - 1)];
    good = parser.feed(body.substr(at, length));
    at += length;
  }
  found.whole = good && parser.finish();
  found.fault = parser.fault();
  return found;
}

const std::string two_parts =
    "--frontier\r\n"
    "Content-Disposition: form-data; name=\"purpose\"\r\n\r\n"
    "batch\r\n"
    "--frontier\r\n"
    "content-disposition: FORM-DATA ; filename=\"a b.jsonl\"; name=file\r\n"
    "Content-Type: application/jsonl\r\n\r\n"
    "{\"a\":1}\r\n--frontie\r\n\r\n-\r\n"
    "--frontier--\r\n";

TEST(Multipart, ReadsPartsWithTheirHeads) {
  const auto found = read(two_parts, {10'000});
  EXPECT_TRUE(found.whole) << found.fault;
  ASSERT_EQ(found.parts.size(), 2U);
  EXPECT_EQ(found.parts[0], (read_part{"purpose", {}, "", "batch", true}));
  EXPECT_EQ(found.parts[1], (read_part{"file", "a b.jsonl", "application/jsonl",
                                       "{\"a\":1}\r\n--frontie\r\n\r\n-", true}));
}

TEST(Multipart, AnyPiecesGiveTheSame) {
  const auto whole = read(two_parts, {10'000});
  for (std::size_t length = 1; length < 100; ++length) {
    const auto found = read(two_parts, {length});
    EXPECT_TRUE(found.whole) << length;
    EXPECT_EQ(found.parts, whole.parts) << length;
  }
  std::mt19937_64 dice(1);
  for (int i = 0; i < 500; ++i) {
    std::vector<std::size_t> lengths;
    for (int j = 0; j < 60; ++j) lengths.push_back(dice() % 9);
    lengths.push_back(1);
    const auto found = read(two_parts, lengths);
    EXPECT_EQ(found.parts, whole.parts);
  }
}

TEST(Multipart, ContentsThatLookLikeBoundariesAreKept) {
  for (const std::string content :
       {"", "\r\n", "\r", "\n", "\r\n--", "--frontie", "-", "\r\n--fronti", "\r\r\n",
        "x\r\n-\r\n--frontieR\r\n", "\r\n\r\n--x"}) {
    const std::string body = "--frontier\r\nContent-Disposition: form-data; name=a\r\n\r\n" +
                             content + "\r\n--frontier--";
    for (std::size_t length = 1; length < 70; ++length) {
      const auto found = read(body, {length});
      ASSERT_TRUE(found.whole) << content << " " << length << " " << found.fault;
      ASSERT_EQ(found.parts.size(), 1U);
      EXPECT_EQ(found.parts[0].content, content) << length;
    }
  }
}

TEST(Multipart, WhatStandsBeforeAndAfterTheBoundariesIsIgnored) {
  const auto found =
      read("a preamble\r\n--fron\r\n" + two_parts + "an epilogue\r\n--frontier\r\n", {7});
  EXPECT_TRUE(found.whole);
  EXPECT_EQ(found.parts, read(two_parts, {1000}).parts);
}

TEST(Multipart, NamesMayBeQuotedAndEscaped) {
  const auto name_of = [](const std::string& written) {
    const auto found =
        read("--frontier\r\nContent-Disposition: form-data; name=\"f\"; filename=" + written +
                 "\r\n\r\nx\r\n--frontier--",
             {1000});
    return found.parts.empty() ? "(none)" : found.parts[0].filename.value_or("(none)");
  };
  EXPECT_EQ(name_of("plain.txt"), "plain.txt");
  EXPECT_EQ(name_of(R"("semi;colon.txt")"), "semi;colon.txt");
  EXPECT_EQ(name_of(R"("quo\"te.txt")"), "quo\"te.txt");
  EXPECT_EQ(name_of(R"("quo%22te.txt")"), "quo\"te.txt");
  EXPECT_EQ(name_of(R"("C:\dir\file.txt")"), R"(C:\dir\file.txt)");
  EXPECT_EQ(name_of("\"汉字.jsonl\""), "汉字.jsonl");
  EXPECT_EQ(name_of(R"("a.txt"; filename*=UTF-8''b.txt)"), "a.txt");
  EXPECT_EQ(name_of(R"("never closed)"), "(none)");
}

TEST(Multipart, WhatIsNotWellFormedHasAFault) {
  const std::string head = "--frontier\r\nContent-Disposition: form-data; name=a\r\n\r\n";
  for (const std::string& body :
       {std::string(), std::string("nothing"), head, head + "x", head + "x\r\n--frontier",
        head + "x\r\n--frontierX\r\n\r\n--frontier--",
        std::string("--frontier\r\n\r\nx\r\n--frontier--"),
        std::string("--frontier\r\nContent-Type: text/plain\r\n\r\nx\r\n--frontier--"),
        std::string("--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n--frontier--"),
        std::string(
            "--frontier\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--frontier--"),
        std::string("--frontier\r\nno colon\r\n\r\nx\r\n--frontier--")}) {
    for (const std::size_t length : {1U, 5U, 1000U}) {
      const auto found = read(body, {length});
      EXPECT_FALSE(found.whole) << body;
      EXPECT_FALSE(found.fault.empty()) << body;
    }
  }
}

TEST(Multipart, HeadsAndPartsAreBounded) {
  const auto long_head = read("--frontier\r\nX: " + std::string(10'000, 'x'), {100});
  EXPECT_EQ(long_head.fault, "the head of a part is too long");
  std::string many;
  for (int i = 0; i < 70; ++i) {
    many += "--frontier\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
  }
  const auto found = read(many + "--frontier--", {100});
  EXPECT_EQ(found.fault, "it has too many parts");
  EXPECT_EQ(found.parts.size(), multipart_parser::max_parts);
  EXPECT_EQ(read("--frontier" + std::string(10'000, ' '), {100}).fault,
            "a boundary is not followed by a line end");
}

TEST(Multipart, TheBoundaryIsReadFromTheContentType) {
  const auto boundary = [](std::string_view type) {
    return multipart_parser::boundary_of(type).value_or("(none)");
  };
  EXPECT_EQ(boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(boundary("Multipart/Form-Data;charset=utf-8; Boundary=\"a b c\""), "a b c");
  EXPECT_EQ(boundary("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"),
            "----WebKitFormBoundary7MA4YWxkTrZu0gW");
  for (const std::string& wrong :
       {std::string(), std::string("application/json"), std::string("multipart/mixed; boundary=a"),
        std::string("multipart/form-data"), std::string("multipart/form-data; boundary="),
        std::string("multipart/form-data; boundary=\"a "),
        std::string("multipart/form-data; boundary=\"a \""),
        "multipart/form-data; boundary=" + std::string(71, 'x'),
        std::string("multipart/form-data; boundary=\"a\x01\"")}) {
    EXPECT_EQ(boundary(wrong), "(none)") << wrong;
  }
}

}  // namespace
}  // namespace sluice::http_server
