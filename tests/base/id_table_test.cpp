#include "base/id_table.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_OWN_MALLOC 0
#else
#include <malloc.h>
#define SLUICE_OWN_MALLOC 1
#endif

namespace sluice {
namespace {

struct nothing {};

TEST(id_table, keeps_a_million_ids_apart) {
  constexpr std::uint64_t ids = 1'000'000;
  id_table<std::uint32_t> table;
  const auto name = [](std::uint64_t i) { return hash_of("request-" + std::to_string(i)); };
  for (std::uint64_t i = 0; i < ids; ++i) {
    const auto [value, fresh] = table.insert(name(i));
    ASSERT_TRUE(fresh) << i;
    *value = static_cast<std::uint32_t>(i);
  }
  EXPECT_EQ(table.size(), ids);
  for (std::uint64_t i = 0; i < ids; ++i) {
    const auto* value = table.find(name(i));
    ASSERT_NE(value, nullptr) << i;
    ASSERT_EQ(*value, i);
  }
  for (std::uint64_t i = ids; i < ids + 100'000; ++i) ASSERT_EQ(table.find(name(i)), nullptr) << i;
  for (std::uint64_t i = 0; i < ids; i += 1000) EXPECT_FALSE(table.insert(name(i)).second);
  EXPECT_EQ(table.size(), ids);
  std::uint64_t seen = 0;
  std::uint64_t sum = 0;
  table.for_each([&](std::uint32_t value) {
    ++seen;
    sum += value;
  });
  EXPECT_EQ(seen, ids);
  EXPECT_EQ(sum, ids * (ids - 1) / 2);
}

TEST(id_table, an_empty_table_finds_nothing) {
  id_table<nothing> table;
  EXPECT_EQ(table.find(hash_of("a")), nullptr);
  EXPECT_EQ(table.size(), 0U);
}

TEST(id_table, holds_the_hash_of_all_zeros) {
  id_table<int> table;
  EXPECT_EQ(table.find({0, 0}), nullptr);
  EXPECT_TRUE(table.insert({0, 0}).second);
  EXPECT_FALSE(table.insert({0, 0}).second);
  EXPECT_NE(table.find({0, 0}), nullptr);
}

TEST(id_table, hashes_with_the_same_start_stay_apart) {
  id_table<int> table;
  for (int i = 1; i <= 500; ++i) {
    *table.insert({0x7700000000000000U, static_cast<std::uint64_t>(i)}).first = i;
  }
  for (int i = 1; i <= 500; ++i) {
    ASSERT_NE(table.find({0x7700000000000000U, static_cast<std::uint64_t>(i)}), nullptr);
    EXPECT_EQ(*table.find({0x7700000000000000U, static_cast<std::uint64_t>(i)}), i);
  }
}

TEST(id_table, every_stored_bit_of_a_hash_counts) {
  id_table<nothing> table;
  const hash128 first{0x123456789abcdef0U, 0x0fedcba987654321U};
  EXPECT_TRUE(table.insert(first).second);
  for (unsigned bit = 0; bit < 64; ++bit) {
    const std::uint64_t flip = std::uint64_t{1} << bit;
    EXPECT_TRUE(table.insert({first.high, first.low ^ flip}).second) << bit;
    if (bit >= 24) {
      EXPECT_TRUE(table.insert({first.high ^ flip, first.low}).second) << bit;
    }
  }
  EXPECT_EQ(table.size(), 1U + 64 + 40);
}

TEST(id_table, a_set_uses_at_most_20_bytes_per_id) {
#if SLUICE_OWN_MALLOC
  constexpr std::size_t ids = 1'000'000;
  const auto in_use = [] {
    const auto usage = mallinfo2();
    return usage.uordblks + usage.hblkhd;
  };
  const std::size_t before = in_use();
  id_table<nothing> table;
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < ids; ++i) table.insert({random(), random()});
  EXPECT_LE((in_use() - before) / ids, 20U);
#else
  GTEST_SKIP() << "the allocator of a sanitizer does not report its memory";
#endif
}

}  // namespace
}  // namespace sluice
