#include "http/server/request_reader.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::http_server {
namespace {

struct read_request {
  int refused = 0;  // status of the refusal; 0: not refused
  bool incomplete = false;
  request_head head;
  std::string body;
  bool body_failed = false;
  bool body_done = false;
  bool keep_alive = false;
  std::size_t taken = 0;
};

// Reads one request that arrives in pieces of this length.
read_request read(std::string_view bytes, std::size_t length = 1'000'000) {
  read_request found;
  request_reader reader(2000);
  std::string buffer;
  std::size_t at = 0;
  const auto more = [&] {
    if (at >= bytes.size()) return false;
    buffer += bytes.substr(at, length);
    at += length;
    return true;
  };
  const auto take = [&](std::size_t size) {
    buffer.erase(0, size);
    found.taken += size;
  };
  std::optional<std::variant<std::size_t, request_reader::refusal>> head;
  while (!head) {
    if (!more()) {
      found.incomplete = true;
      return found;
    }
    head = reader.read_head(buffer);
  }
  if (const auto* why = std::get_if<request_reader::refusal>(&*head)) {
    found.refused = why->status;
    EXPECT_FALSE(why->message.empty());
    return found;
  }
  take(std::get<std::size_t>(*head));
  found.head = reader.head();
  found.keep_alive = reader.keep_alive();
  std::vector<char> piece(50);
  while (!reader.body_is_done()) {
    const auto step = reader.read_body(buffer, piece.data(), piece.size());
    take(step.taken);
    found.body.append(piece.data(), step.produced);
    found.body_failed = step.failed;
    if (step.failed) return found;
    if (step.taken + step.produced == 0 && !more()) return found;
  }
  found.body_done = true;
  return found;
}

const std::string host = "Host: localhost\r\n";

TEST(RequestReader, ReadsTheHead) {
  const auto found = read("GET /v1/files/a%20b?limit=2&after=x HTTP/1.1\r\n" + host +
                          "Authorization: Bearer key\r\n\r\n");
  EXPECT_EQ(found.refused, 0);
  EXPECT_EQ(found.head.method, "GET");
  EXPECT_EQ(found.head.path, "/v1/files/a b");
  EXPECT_EQ(found.head.query, "limit=2&after=x");
  EXPECT_EQ(found.head.fields.last("authorization"), "Bearer key");
  EXPECT_TRUE(found.body_done);
  EXPECT_TRUE(found.keep_alive);
}

TEST(RequestReader, ReadsBodiesInAnyPieces) {
  const std::string counted =
      "POST /x HTTP/1.1\r\n" + host + "Content-Length: 11\r\n\r\nhello world";
  const std::string chunked =
      "POST /x HTTP/1.1\r\n" + host +
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n"
      "0\r\nTrailer: x\r\n\r\n";
  for (const std::string& whole : {counted, chunked}) {
    for (std::size_t length = 1; length < 60; ++length) {
      const auto found = read(whole + "GET /next", length);
      EXPECT_EQ(found.refused, 0);
      EXPECT_EQ(found.body, "hello world") << length;
      EXPECT_TRUE(found.body_done);
      EXPECT_EQ(found.taken, whole.size()) << "the next request is left alone";
    }
  }
}

TEST(RequestReader, AWholeUrlCountsByItsPath) {
  EXPECT_EQ(read("GET http://host:1/a/b?c HTTP/1.1\r\n" + host + "\r\n").head.path, "/a/b");
  EXPECT_EQ(read("GET http://host HTTP/1.1\r\n" + host + "\r\n").head.path, "/");
}

TEST(RequestReader, WhatCouldBeReadInTwoWaysIsRefused) {
  const std::string post = "POST /x HTTP/1.1\r\n";
  for (const auto& [text, status] : std::vector<std::pair<std::string, int>>{
           {post + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           {post + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
           {post + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
           {post + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400},
           {post + host + "Content-Length: 3, 3\r\n\r\nabc", 400},
           {post + host + "Content-Length: +3\r\n\r\nabc", 400},
           {post + host + "Content-Length: -3\r\n\r\nabc", 400},
           {post + host + "Content-Length: 0x3\r\n\r\nabc", 400},
           {post + host + "Transfer-Encoding: gzip\r\n\r\n", 400},
           {post + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
           {post + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
           {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
           {post + host + "X: a\r\n b\r\n\r\n", 400},
           {post + "Host : localhost\r\n\r\n", 400},
           {post + host + "Host: other\r\n\r\n", 400},
           {post + "\r\n", 400},
           {"GET /x HTTP/1.1\nHost: a\n\n\r\n\r\n", 400},
           {"GET /a%00b HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET /a%zz HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET /a%2 HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET * HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET relative HTTP/1.1\r\n" + host + "\r\n", 400},
           {"GET /x HTTP/2.0\r\n" + host + "\r\n", 505},
           {"GET /x HTTP/9\r\n\r\n", 505},
           {"\x16\x03\x01 is TLS\r\n\r\n", 400},
           {"GET /" + std::string(3000, 'x') + " HTTP/1.1\r\n" + host + "\r\n", 431}}) {
    for (const std::size_t length : {1U, 7U, 100'000U}) {
      const auto found = read(text, length);
      EXPECT_EQ(found.refused, status) << text.substr(0, 100);
    }
  }
}

TEST(RequestReader, ABodyThatIsNotWellFramedFails) {
  const std::string head = "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"zz\r\n", "5\r\nhelloXX\r\n", "-1\r\n", "5 5\r\nhello\r\n",
                           "fffffffffffffffffff\r\n", "5\nhello\n0\n\n\r\n"}) {
    EXPECT_TRUE(read(head + body).body_failed) << body;
  }
}

TEST(RequestReader, OlderClientsCloseUnlessTheySayOtherwise) {
  EXPECT_FALSE(read("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
  EXPECT_FALSE(read("GET / HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n").keep_alive);
}

}  // namespace
}  // namespace sluice::http_server
