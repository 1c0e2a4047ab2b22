#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/hash.hpp"

namespace sluice {

/// A hash table from ids to small values. Not thread safe.
///
/// It keeps only hashes of the ids: an entry takes 12 bytes and its value, and 70 to 85 % of the
/// slots are filled. Two ids are the same if 104 bits of their hashes are equal: 8 bits select the
/// shard, and 96 are stored. For different ids, the probability of this is below 10^-15 in a table
/// of 100 million. It grows one shard at a time, so growing never needs a second copy of the whole
/// table. With an empty struct as `Value` it is a set.
template <typename Value>
class id_table {
 public:
  /// Finds or adds the value of `id`. `.second` is true if it was added.
  std::pair<Value*, bool> insert(const hash128& id) {
    auto& home = shards_[id.high >> 56U];
    if (home.used * 20 >= home.slots.size() * 17) grow(home);
    const stored_hash key(id);
    slot& found = place(home.slots, key);
    const bool added = found.empty();
    if (added) {
      found.key = key;
      ++home.used;
      ++size_;
    }
    return {&found.value, added};
  }

  Value* find(const hash128& id) {
    auto& home = shards_[id.high >> 56U];
    if (home.used == 0) return nullptr;
    slot& found = place(home.slots, stored_hash(id));
    return found.empty() ? nullptr : &found.value;
  }

  std::size_t size() const noexcept { return size_; }

  template <typename Visit>
  void for_each(Visit&& visit) {
    for (auto& home : shards_) {
      for (auto& entry : home.slots) {
        if (!entry.empty()) visit(entry.value);
      }
    }
  }

 private:
  // In words of four bytes, so that a slot needs no padding.
  struct stored_hash {
    std::array<std::uint32_t, 3> words = {};  // all zeros: no hash

    stored_hash() = default;
    explicit stored_hash(const hash128& id)
        : words{static_cast<std::uint32_t>(id.low >> 32U), static_cast<std::uint32_t>(id.low),
                static_cast<std::uint32_t>(id.high >> 24U)} {
      if (is_none()) words[1] = 1;
    }
    bool is_none() const noexcept { return (words[0] | words[1] | words[2]) == 0; }
    // Not the default comparison, which calls memcmp() for each slot that is looked at.
    friend bool operator==(const stored_hash& one, const stored_hash& other) noexcept {
      return ((one.words[0] ^ other.words[0]) | (one.words[1] ^ other.words[1]) |
              (one.words[2] ^ other.words[2])) == 0;
    }
  };
  struct slot {
    stored_hash key;
    [[no_unique_address]] Value value{};
    bool empty() const noexcept { return key.is_none(); }
  };
  struct shard {
    std::vector<slot> slots;
    std::size_t used = 0;
  };

  // Linear probing: the slot that holds the id, or the empty slot where it belongs.
  static slot& place(std::vector<slot>& slots, const stored_hash& key) {
    std::size_t at = (key.words[0] * std::uint64_t{slots.size()}) >> 32U;
    while (!slots[at].empty() && slots[at].key != key) at = at + 1 == slots.size() ? 0 : at + 1;
    return slots[at];
  }

  static void grow(shard& full) {
    std::vector<slot> larger(full.slots.empty() ? 8 : full.slots.size() * 6 / 5 + 1);
    for (auto& entry : full.slots) {
      if (!entry.empty()) place(larger, entry.key) = entry;
    }
    full.slots = std::move(larger);
  }

  std::array<shard, 256> shards_;
  std::size_t size_ = 0;
};

/// A set of ids: a table whose entries hold no value.
struct no_value {};
using id_set = id_table<no_value>;

}  // namespace sluice
