#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// The first tokens are the 256 single bytes, in any order.
constexpr std::uint32_t byte_tokens = 256;

/// The header of a vocabulary's tables. make_tables writes them, and the tokenizer reads them in
/// place. After the header come the arrays in the order of the members of vocabulary_tables. Ranks
/// are token ids, starting at 0. Numbers have the machine's byte order.
struct vocabulary_header {
  std::uint32_t ranks;
  std::uint32_t trie_nodes;
  std::uint32_t pair_slots;  ///< a power of two
  std::uint32_t reserved;
};

/// A node of the trie of all tokens. The child for byte `b` is node `children ^ b`, if the label of
/// that node is `b`. Node 0 is the root; `children` of 0 means no children.
struct trie_node {
  static constexpr std::uint32_t label_bits = 9;
  static constexpr std::uint32_t no_label = (1U << label_bits) - 1;  ///< a free place
  static constexpr std::uint32_t no_rank = (1U << (32U - label_bits)) - 1;

  std::uint32_t children = 0;
  std::uint32_t rank_and_label = no_rank << label_bits | no_label;

  std::uint32_t label() const noexcept { return rank_and_label & no_label; }
  std::uint32_t rank() const noexcept { return rank_and_label >> label_bits; }
};

/// The two tokens that merge into a token. For a single byte: the token itself, twice.
struct token_halves {
  std::uint32_t left = 0;
  std::uint32_t right = 0;
};

/// The length of a token in bytes, and the longest other token that is a prefix of it.
struct token_prefix {
  static constexpr std::uint32_t length_bits = 9;
  static constexpr std::uint32_t longest = (1U << length_bits) - 1;
  static constexpr std::uint32_t none = (1U << (32U - length_bits)) - 1;

  std::uint32_t prefix_and_length = none << length_bits;

  std::uint32_t length() const noexcept { return prefix_and_length & longest; }
  std::uint32_t prefix() const noexcept { return prefix_and_length >> length_bits; }
};

/// A slot of the hash table that maps two tokens to the token that they merge into. It holds the
/// rank of that token and some bits of the hash, so that most other pairs are excluded without
/// reading the token's halves. Linear probing.
struct pair_slot {
  static constexpr std::uint32_t rank_bits = 20;
  static constexpr std::uint32_t empty = 0xFFFFFFFF;

  std::uint32_t hash_and_rank = empty;

  std::uint32_t rank() const noexcept { return hash_and_rank & ((1U << rank_bits) - 1); }
  std::uint32_t hash() const noexcept { return hash_and_rank >> rank_bits; }
};

struct pair_hash {
  pair_hash(std::uint32_t left, std::uint32_t right) noexcept
      : bits_((std::uint64_t{left} << 32U | right) * 0x9E3779B97F4A7C15U) {
    bits_ ^= bits_ >> 32U;
    bits_ *= 0xD6E8FEB86659FD93U;
  }
  /// Where probing begins.
  std::size_t place(std::size_t slots) const noexcept { return (bits_ >> 32U) & (slots - 1); }
  /// The bits of the hash that a slot keeps.
  std::uint32_t kept() const noexcept {
    return static_cast<std::uint32_t>(bits_) & ((1U << (32U - pair_slot::rank_bits)) - 1);
  }

 private:
  std::uint64_t bits_;
};

struct vocabulary_tables {
  std::span<const trie_node> trie;
  std::span<const token_halves> halves;    ///< by rank
  std::span<const token_prefix> prefixes;  ///< by rank
  std::span<const pair_slot> pairs;
};

}  // namespace sluice
