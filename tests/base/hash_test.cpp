#include "base/hash.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace sluice {
namespace {

TEST(hash, is_xxh3_of_128_bits) {
  // The reference value for the empty text. Stored files contain digests, so another version of the
  // hash library must not change them.
  EXPECT_EQ(std::string_view(hex_digits(hash_of(""))), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_of("a"), hash_of(std::string("a")));
  EXPECT_NE(hash_of("a"), hash_of("b"));
}

TEST(hash, hex_digits_include_leading_zeros) {
  EXPECT_EQ(std::string_view(hex_digits({0x1, 0xab})), "000000000000000100000000000000ab");
}

TEST(hash, a_digest_depends_on_endpoint_and_body) {
  std::set<std::string> digests;
  for (const char* endpoint : {"/v1/chat/completions", "/v1/completions"}) {
    for (const char* body : {"{}", "{ }", ""}) digests.insert(digest_of(endpoint, body));
  }
  EXPECT_EQ(digests.size(), 6U);
  for (const auto& digest : digests) EXPECT_EQ(digest.size(), 32U);
  EXPECT_NE(digest_of("/a", "b\nc"), digest_of("/a\nb", "c"));
}

}  // namespace
}  // namespace sluice
