// Makes the tables of a vocabulary (tables.hpp) from its rank file. The rank file has one line per
// token: its bytes in base64, a space, its rank. Runs during the build.
// Usage: make_vocabulary_tables RANK-FILE TABLE-FILE

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokens/vocabularies/tables.hpp"

namespace sluice {
namespace {

using tokens = std::vector<std::string>;  // by rank
using ranks = std::unordered_map<std::string_view, std::uint32_t>;

std::string from_base64(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int available = 0;  // number of bits that are not in `bytes` yet
  for (const char c : text.substr(0, text.find('='))) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) throw std::runtime_error("a token is not in base64");
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    available += 6;
    if (available < 8) continue;
    available -= 8;
    bytes += static_cast<char>(bits >> available & 0xFFU);
  }
  return bytes;
}

tokens read_tokens(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot be opened");
  tokens all;
  std::string base64;
  for (std::size_t rank = 0; file >> base64 >> rank;) {
    if (rank != all.size()) throw std::runtime_error("the ranks are not in ascending order");
    all.push_back(from_base64(base64));
    if (all.back().empty() || all.back().size() > token_prefix::longest) {
      throw std::runtime_error("a token is empty or too long");
    }
  }
  if (!file.eof() || all.size() < byte_tokens) throw std::runtime_error("is not a rank file");
  if (all.size() >= std::size_t{1} << pair_slot::rank_bits) {
    throw std::runtime_error("has more tokens than a slot can number");
  }
  return all;
}

// Merges the bytes of a token like any text (the pair with the lowest rank first, of equal ranks
// the leftmost) until two parts remain. Only these two parts can become this token. The tokenizer
// relies on this: every token must be the merge of two tokens with lower ranks.
token_halves halves_of(std::string_view token, std::uint32_t rank, const ranks& all) {
  if (token.size() == 1) return {rank, rank};
  const auto find = [&](std::string_view bytes) {
    const auto found = all.find(bytes);
    return found == all.end() ? UINT32_MAX : found->second;
  };
  std::vector<std::size_t> cuts(token.size() + 1);
  for (std::size_t i = 0; i < cuts.size(); ++i) cuts[i] = i;
  const auto part = [&](std::size_t from, std::size_t count) {
    return token.substr(cuts[from], cuts[from + count] - cuts[from]);
  };
  while (cuts.size() > 3) {
    std::pair<std::uint32_t, std::size_t> best{UINT32_MAX, 0};
    for (std::size_t i = 0; i + 2 < cuts.size(); ++i) best = std::min(best, {find(part(i, 2)), i});
    if (best.first >= rank) throw std::runtime_error("a token is not merged from lower ranks");
    cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(best.second) + 1);
  }
  const token_halves halves{find(part(0, 1)), find(part(1, 1))};
  if (std::max(halves.left, halves.right) >= rank) {
    throw std::runtime_error("a token is not merged from lower ranks");
  }
  return halves;
}

// Builds the trie as a double array: the children of all nodes share one array without overlap.
class trie_builder {
 public:
  explicit trie_builder(const tokens& all) {
    for (std::uint32_t rank = 0; rank < all.size(); ++rank) sorted_.emplace_back(all[rank], rank);
    std::sort(sorted_.begin(), sorted_.end());
    grow();
    take(0);
  }

  std::vector<trie_node> build() {
    // Level by level, so that the nodes with the most children come first.
    std::vector<family> level{{0, 0, sorted_.size(), 0}};
    while (!level.empty()) {
      std::vector<family> next;
      for (const family& each : level) place(each, next);
      level = std::move(next);
    }
    while (nodes_.back().label() == trie_node::no_label) nodes_.pop_back();
    // With whole blocks, the tokenizer can read any child without checking the array's end.
    nodes_.resize((nodes_.size() + 255) / 256 * 256);
    return std::move(nodes_);
  }

 private:
  /// A node and the tokens below it, which share `depth` bytes.
  struct family {
    std::uint32_t node;
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
  };

  void place(const family& parent, std::vector<family>& next) {
    std::size_t at = parent.begin;
    trie_node& node = nodes_[parent.node];
    if (sorted_[at].first.size() == parent.depth) {
      const std::uint32_t label = parent.depth == 0 ? 0 : node.label();
      node.rank_and_label = sorted_[at].second << trie_node::label_bits | label;
      ++at;
    }
    if (at == parent.end) return;
    const std::size_t first = next.size();
    std::vector<unsigned char> labels;
    for (; at < parent.end; ++at) {
      const auto label = static_cast<unsigned char>(sorted_[at].first[parent.depth]);
      if (labels.empty() || labels.back() != label) {
        labels.push_back(label);
        next.push_back({0, at, at, parent.depth + 1});
      }
      next.back().end = at + 1;
    }
    const std::uint32_t children = room_for(labels);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::uint32_t child = children ^ labels[i];
      next[first + i].node = child;
      take(child);
      nodes_[child].rank_and_label = trie_node::no_rank << trie_node::label_bits | labels[i];
    }
    nodes_[parent.node].children = children;
    is_children_[children] = true;
  }

  // The first base where the places of all these labels are free. Two nodes never have the same
  // base, so that the label is enough to check whether a place is a child of a node.
  std::uint32_t room_for(const std::vector<unsigned char>& labels) {
    for (std::uint32_t free = first_free_;; free = next_free_[free]) {
      if (free == none) free = grow();
      const std::uint32_t children = free ^ labels.front();
      if (children == 0 || is_children_[children]) continue;
      if (std::all_of(labels.begin(), labels.end(),
                      [&](unsigned char label) { return is_free_[children ^ label]; })) {
        return children;
      }
    }
  }

  void take(std::uint32_t place) {
    is_free_[place] = false;
    const std::uint32_t before = before_[place];
    const std::uint32_t after = next_free_[place];
    (before == none ? first_free_ : next_free_[before]) = after;
    (after == none ? last_free_ : before_[after]) = before;
  }

  // Adds a block of 256 places and returns the first one.
  std::uint32_t grow() {
    const auto begin = static_cast<std::uint32_t>(nodes_.size());
    const std::uint32_t end = begin + 256;
    nodes_.resize(end);
    is_free_.resize(end, true);
    is_children_.resize(end, false);
    for (std::uint32_t place = begin; place < end; ++place) {
      before_.push_back(place == begin ? last_free_ : place - 1);
      next_free_.push_back(place + 1 == end ? none : place + 1);
    }
    (last_free_ == none ? first_free_ : next_free_[last_free_]) = begin;
    last_free_ = end - 1;
    return begin;
  }

  static constexpr std::uint32_t none = UINT32_MAX;

  std::vector<std::pair<std::string_view, std::uint32_t>> sorted_;
  std::vector<trie_node> nodes_;
  std::vector<bool> is_free_;
  std::vector<bool> is_children_;         ///< whether it is the `children` of a node
  std::vector<std::uint32_t> next_free_;  ///< the linked list of free places
  std::vector<std::uint32_t> before_;
  std::uint32_t first_free_ = none;
  std::uint32_t last_free_ = none;
};

std::vector<token_prefix> prefixes_of(const tokens& all, const ranks& by_bytes) {
  std::vector<token_prefix> prefixes;
  for (const std::string& token : all) {
    std::uint32_t prefix = token_prefix::none;
    for (std::size_t size = token.size() - 1; size > 0 && prefix == token_prefix::none; --size) {
      const auto found = by_bytes.find(std::string_view(token).substr(0, size));
      if (found != by_bytes.end()) prefix = found->second;
    }
    prefixes.push_back(
        {prefix << token_prefix::length_bits | static_cast<std::uint32_t>(token.size())});
  }
  return prefixes;
}

std::vector<pair_slot> pairs_of(const std::vector<token_halves>& halves, const tokens& all) {
  std::vector<pair_slot> slots(std::bit_ceil(all.size() * 2));
  for (std::uint32_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].size() == 1) continue;
    const pair_hash hash(halves[rank].left, halves[rank].right);
    std::size_t at = hash.place(slots.size());
    while (slots[at].hash_and_rank != pair_slot::empty) at = (at + 1) & (slots.size() - 1);
    slots[at].hash_and_rank = hash.kept() << pair_slot::rank_bits | rank;
  }
  return slots;
}

template <typename Item>
void write(std::ofstream& file, const std::vector<Item>& items) {
  file.write(reinterpret_cast<const char*>(items.data()),
             static_cast<std::streamsize>(items.size() * sizeof(Item)));
}

void make(const std::string& rank_file, const std::string& table_file) {
  const tokens all = read_tokens(rank_file);
  ranks by_bytes;
  for (std::uint32_t rank = 0; rank < all.size(); ++rank) by_bytes.emplace(all[rank], rank);
  if (by_bytes.size() != all.size()) throw std::runtime_error("contains a token twice");
  if (!std::all_of(all.begin(), all.begin() + byte_tokens,
                   [](const std::string& token) { return token.size() == 1; })) {
    throw std::runtime_error("its first tokens are not the single bytes");
  }
  std::vector<token_halves> halves;
  for (std::uint32_t rank = 0; rank < all.size(); ++rank) {
    halves.push_back(halves_of(all[rank], rank, by_bytes));
  }
  const auto trie = trie_builder(all).build();
  const auto pairs = pairs_of(halves, all);
  const vocabulary_header header{.ranks = static_cast<std::uint32_t>(all.size()),
                                 .trie_nodes = static_cast<std::uint32_t>(trie.size()),
                                 .pair_slots = static_cast<std::uint32_t>(pairs.size()),
                                 .reserved = 0};
  std::ofstream file(table_file, std::ios::binary | std::ios::trunc);
  write(file, std::vector<vocabulary_header>{header});
  write(file, trie);
  write(file, halves);
  write(file, prefixes_of(all, by_bytes));
  write(file, pairs);
  file.close();
  if (!file) throw std::runtime_error("its tables could not be written to " + table_file);
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("Usage: make_vocabulary_tables RANK-FILE TABLE-FILE\n", stderr);
    return 2;
  }
  try {
    sluice::make(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_vocabulary_tables: %s: %s\n", argv[1], error.what());
    return 1;
  }
}
