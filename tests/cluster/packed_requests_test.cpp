#include "cluster/packed_requests.hpp"

#include <gtest/gtest.h>

#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

std::vector<request> some_requests() {
  std::vector<request> list;
  for (std::uint64_t line = 1; line <= 300; ++line) {
    request one;
    one.line = line;
    one.custom_id = "id " + std::to_string(line) + " \xED\xA0\x80";  // a lone surrogate
    one.target = line % 2 == 0 ? endpoint::embeddings : endpoint::chat_completions;
    one.model = "gpt-4";
    one.body = R"({"model":"gpt-4","n":")" + std::string(line, 'x') + "\"}";
    one.digest = "0123456789abcdef0123456789abcdef";
    one.choices = static_cast<unsigned>(line);
    one.streamed = line % 3 == 0;
    one.stream_fields = static_cast<std::uint32_t>(line % 50);
    list.push_back(std::move(one));
  }
  return list;
}

TEST(PackedRequests, ComeBackAsTheyWere) {
  const auto list = some_requests();
  const auto back = unpack(pack(list), 1, 300);
  ASSERT_EQ(back.size(), list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(back[i].line, list[i].line);
    EXPECT_EQ(back[i].custom_id, list[i].custom_id);
    EXPECT_EQ(back[i].target, list[i].target);
    EXPECT_EQ(back[i].model, list[i].model);
    EXPECT_EQ(back[i].body, list[i].body);
    EXPECT_EQ(back[i].digest, list[i].digest);
    EXPECT_EQ(back[i].choices, list[i].choices);
    EXPECT_EQ(back[i].streamed, list[i].streamed);
    EXPECT_EQ(back[i].stream_fields, list[i].stream_fields);
  }
}

TEST(PackedRequests, OnlyTheLinesAskedForComeBack) {
  const auto back = unpack(pack(some_requests()), 10, 12);
  ASSERT_EQ(back.size(), 3U);
  EXPECT_EQ(back.front().line, 10U);
  EXPECT_EQ(back.back().line, 12U);
}

TEST(PackedRequests, DamagedBytesAreRefused) {
  const std::string packed = pack(some_requests());
  for (std::size_t size : {std::size_t{0}, std::size_t{5}, packed.size() / 2, packed.size() - 1}) {
    EXPECT_THROW(unpack(packed.substr(0, size), 1, 300), store::store_error) << size;
  }
  std::string changed = packed;
  changed[packed.size() / 2] = static_cast<char>(changed[packed.size() / 2] ^ 0x55);
  try {
    // zstd without a checksum may not detect a changed byte.
    (void)unpack(changed, 1, 300);
  } catch (const store::store_error&) {
  }
  EXPECT_THROW(unpack("not packed at all", 1, 300), store::store_error);
}

}  // namespace
}  // namespace sluice::cluster
