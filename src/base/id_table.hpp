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
/// It keeps only the 128-bit hashes of the ids: an entry takes 16 bytes and its value, and 70 to 85
/// % of the slots are filled. It grows one shard at a time, so growing never needs a second copy of
/// the whole table. With an empty struct as `Value` it is a set.
template <typename Value>
class id_table {
 public:
  /// Finds or adds the value of `id`. `.second` is true if it was added.
  std::pair<Value*, bool> insert(const hash128& id) {
    auto& home = shards_[id.high >> 56U];
    if (home.used * 20 >= home.slots.size() * 17) grow(home);
    slot& found = place(home.slots, id);
    const bool added = found.empty();
    if (added) {
      found.key = filled(id);
      ++home.used;
      ++size_;
    }
    return {&found.value, added};
  }

  Value* find(const hash128& id) {
    auto& home = shards_[id.high >> 56U];
    if (home.used == 0) return nullptr;
    slot& found = place(home.slots, id);
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
  struct slot {
    hash128 key;  // {0, 0} means empty
    [[no_unique_address]] Value value{};
    bool empty() const noexcept { return key == hash128{}; }
  };
  struct shard {
    std::vector<slot> slots;
    std::size_t used = 0;
  };

  static hash128 filled(hash128 id) noexcept { return id == hash128{} ? hash128{0, 1} : id; }

  // Linear probing: the slot that holds the id, or the empty slot where it belongs.
  static slot& place(std::vector<slot>& slots, const hash128& id) {
    const hash128 key = filled(id);
    std::size_t at = ((key.low >> 32U) * slots.size()) >> 32U;
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
