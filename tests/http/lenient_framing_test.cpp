#include "http/lenient_framing.hpp"

#include <gmock/gmock.h>

#include <string>

namespace sluice {
namespace {

TEST(lenient_framing, a_head_ends_with_an_empty_line) {
  const struct {
    const char* bytes;
    std::size_t length;
  } rows[] = {
      {"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}", 25},
      {"HTTP/1.1 200 OK\nA: b\n\n{}", 22},
      {"HTTP/1.1 200 OK\nA: b\n\r\n{}", 23},
      {"HTTP/1.1 200 OK\r\n\r\n", 19},
      {"HTTP/1.1 200 OK\r\nA: b\r\n\r", 0},
      {"HTTP/1.1 200 OK\r\nA: b\r\n", 0},
      {"", 0},
  };
  for (const auto& row : rows) EXPECT_EQ(head_length(row.bytes), row.length) << row.bytes;
}

TEST(lenient_framing, a_head_with_a_clear_meaning_is_repaired) {
  const std::string begin = "HTTP/1.1 200 OK\r\n";
  const std::string end = "Connection: close\r\n\r\n";
  const struct {
    const char* name;
    std::string head;
    std::string mended;
  } rows[] = {
      {"a length beside chunks", begin + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       begin + "Transfer-Encoding: chunked\r\n" + end},
      {"chunks beside a length", begin + "Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n\r\n",
       begin + "Transfer-Encoding: chunked\r\n" + end},
      {"chunked twice in one field", begin + "Transfer-Encoding: chunked, chunked\r\n\r\n",
       begin + "Transfer-Encoding: chunked\r\n" + end},
      {"chunked in two fields",
       begin + "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
       begin + "Transfer-Encoding: chunked\r\n" + end},
      {"chunked and identity", begin + "Transfer-Encoding: chunked, identity\r\n\r\n",
       begin + "Transfer-Encoding: chunked\r\n" + end},
      {"identity alone", begin + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n",
       begin + "Content-Length: 5\r\n" + end},
      {"gzip under the chunks", begin + "Transfer-Encoding: gzip, chunked\r\n\r\n",
       begin + "Transfer-Encoding: gzip, chunked\r\n" + end},
      {"the same length twice", begin + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
       begin + "Content-Length: 5\r\n" + end},
      {"two lengths stay two", begin + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
       begin + "Content-Length: 5\r\nContent-Length: 6\r\n" + end},
      {"an empty length is none", begin + "Content-Length:\r\n\r\n", begin + end},
      {"lines that end in LF", "HTTP/1.1 200 OK\nA: b\nContent-Length: 5\n\n",
       begin + "A: b\r\nContent-Length: 5\r\n" + end},
      {"a blank before the colon", begin + "Content-Length : 5\r\n\r\n",
       begin + "Content-Length: 5\r\n" + end},
      {"a folded line", begin + "A: b\r\n\tc\r\n\r\n", begin + "A: b c\r\n" + end},
      {"a line that is not a field", begin + "warning\r\nX Y: z\r\n\xe9: z\r\nA: b\r\n\r\n",
       begin + "A: b\r\n" + end},
      {"controls in a value", begin + std::string("A: b\x01\x7f") + "c\r\n\r\n",
       begin + "A: b  c\r\n" + end},
      {"a status without a reason", "HTTP/1.1 200\r\nA: b\r\n\r\n",
       "HTTP/1.1 200 \r\nA: b\r\n" + end},
      {"blanks before the status", "HTTP/1.1   200   OK\r\nA: b\r\n\r\n", begin + "A: b\r\n" + end},
      {"a Connection field of its own", begin + "Connection: keep-alive;\r\n\r\n", begin + end},
  };
  for (const auto& row : rows) EXPECT_EQ(mended_head(row.head), row.mended) << row.name;
  EXPECT_EQ(mended_head(""), "");
}

struct decoded {
  std::string body;
  std::string left;
  bool done = false;
  bool broken = false;
};

decoded decode(std::string_view bytes, std::size_t piece) {
  lenient_chunks chunks(bytes.starts_with("\r\n"));
  decoded result;
  while (!bytes.empty() && !chunks.done() && !chunks.broken()) {
    const std::string_view part = bytes.substr(0, piece);
    const std::size_t taken = chunks.put(part, [&](std::string_view text) { result.body += text; });
    EXPECT_TRUE(taken == part.size() || chunks.done() || chunks.broken());
    bytes.remove_prefix(taken);
  }
  result.left = bytes;
  result.done = chunks.done();
  result.broken = chunks.broken();
  return result;
}

TEST(lenient_framing, all_forms_of_chunks_are_decoded_however_they_are_cut) {
  const char* const rows[] = {
      "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
      "5  \r\nhello\r\n6\t\r\n world\r\n0 \r\n\r\n",
      "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
      "5;name=value\r\nhello\r\n6 ; \"odd\r\n world\r\n0;last\r\n\r\n",
      "5\nhello\n6\n world\n0\n\n",
      "00005\r\nhello\r\n006\r\n world\r\n000\r\n\r\n",
      "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 17\r\nodd trailer\r\n\r\n",
      "b\r\nhello world\r\n0\r\n\r\n",
      "B\r\nhello world\r\n0\r\n\r\n",
  };
  for (const std::string bytes : rows) {
    for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
      const decoded result = decode(bytes, piece);
      EXPECT_EQ(result.body, "hello world") << bytes;
      EXPECT_TRUE(result.done) << bytes;
      EXPECT_FALSE(result.broken) << bytes;
      EXPECT_EQ(result.left, "") << bytes;
    }
  }
  EXPECT_EQ(decode("0\r\n\r\nHTTP/1.1", 100).left, "HTTP/1.1")
      << "bytes after the body are not consumed";
}

TEST(lenient_framing, an_invalid_chunk_is_an_error) {
  for (const std::string& bytes :
       {std::string("zz\r\n"), std::string("-5\r\n"), std::string("0x5\r\n"), std::string("5g\r\n"),
        std::string(";x\r\n"), std::string("fffffffffffffffff\r\n"),
        std::string(std::size_t{1} << 20, 'f'), std::string("5\r\nhello\r\n!\r\n"),
        std::string("4\r\nhelloabc\r\n"), std::string("4\r\naaaaa\r\n")}) {
    EXPECT_TRUE(decode(bytes, 4096).broken) << bytes.substr(0, 20);
  }
  EXPECT_FALSE(decode("5\r\nhel", 100).done);
}

}  // namespace
}  // namespace sluice
