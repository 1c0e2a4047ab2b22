#include "json/same_key.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

TEST(same_key, texts_of_any_length_differ_in_any_byte) {
  for (std::size_t size = 0; size <= 40; ++size) {
    std::string one;
    for (std::size_t i = 0; i < size; ++i) one += static_cast<char>('a' + i % 26);
    const std::string same = one;
    EXPECT_TRUE(same_key(one, same)) << size;
    EXPECT_FALSE(same_key(one, one + "x")) << size;
    for (std::size_t i = 0; i < size; ++i) {
      std::string other = one;
      other[i] = '\xFF';
      EXPECT_FALSE(same_key(one, other)) << size << ", byte " << i;
      EXPECT_FALSE(same_key(other, one)) << size << ", byte " << i;
    }
  }
}

}  // namespace
}  // namespace sluice
