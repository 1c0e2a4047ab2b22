#include "tokens/tokenizer.hpp"

#include <simdjson.h>

#include <array>
#include <limits>

#include "tokens/pretokenizer.hpp"
#include "tokens/vocabularies/embedded.hpp"

namespace sluice {
namespace {

/// The offsets in a piece from which the rest has no encoding. Allocates memory only for long
/// pieces, which are rare.
class dead_ends {
 public:
  explicit dead_ends(std::size_t places) {
    if (places < few_.size() * bits) return;
    many_.resize(places / bits + 1);
    words_ = many_.data();
  }
  dead_ends(const dead_ends&) = delete;
  dead_ends& operator=(const dead_ends&) = delete;

  bool contain(std::size_t place) const {
    return (words_[place / bits] >> (place % bits) & 1U) != 0;
  }
  void add(std::size_t place) { words_[place / bits] |= std::uint64_t{1} << (place % bits); }

 private:
  static constexpr std::size_t bits = 64;
  std::array<std::uint64_t, 4> few_{};
  std::vector<std::uint64_t> many_;
  std::uint64_t* words_ = few_.data();
};

}  // namespace

const tokenizer* tokenizer::of(vocabulary which) noexcept {
  const auto make = [](vocabulary each, splitter split) -> std::optional<tokenizer> {
    const auto tables = embedded_tables(each);
    if (!tables) return std::nullopt;
    return tokenizer(*tables, split);
  };
  static const auto cl100k = make(vocabulary::cl100k_base, cl100k_piece);
  static const auto o200k = make(vocabulary::o200k_base, o200k_piece);
  const auto& made = which == vocabulary::cl100k_base ? cl100k : o200k;
  return made ? &*made : nullptr;
}

tokenizer::tokenizer(const vocabulary_tables& tables, splitter split) noexcept
    : tables_(tables), piece_(split) {
  for (unsigned byte = 0; byte < byte_tokens; ++byte) {
    const trie_node& node = tables_.trie[tables_.trie[0].children ^ byte];
    bytes_[node.rank()] = static_cast<char>(byte);
  }
}

std::optional<std::uint64_t> tokenizer::count(std::string_view utf8) const {
  if (!simdjson::validate_utf8(utf8.data(), utf8.size())) return std::nullopt;
  std::uint64_t tokens = 0;
  std::vector<rank> merged;
  while (!utf8.empty()) {
    const std::string_view piece = utf8.substr(0, piece_(utf8));
    utf8.remove_prefix(piece.size());
    const match longest = longest_token(piece);
    if (longest.bytes == piece.size()) {
      ++tokens;
      continue;
    }
    merged.clear();
    encode_piece(piece, longest, merged);
    tokens += merged.size();
  }
  return tokens;
}

std::optional<std::vector<tokenizer::rank>> tokenizer::encode(std::string_view utf8) const {
  if (!simdjson::validate_utf8(utf8.data(), utf8.size())) return std::nullopt;
  std::vector<rank> tokens;
  while (!utf8.empty()) {
    const std::string_view piece = utf8.substr(0, piece_(utf8));
    utf8.remove_prefix(piece.size());
    encode_piece(piece, longest_token(piece), tokens);
  }
  return tokens;
}

std::optional<std::string> tokenizer::bytes_of(rank token) const {
  if (token >= size()) return std::nullopt;
  std::string bytes;
  std::vector<rank> due{token};
  while (!due.empty()) {
    const rank next = due.back();
    due.pop_back();
    if (next < byte_tokens) {
      bytes += bytes_[next];
    } else {
      due.push_back(tables_.halves[next].right);
      due.push_back(tables_.halves[next].left);
    }
  }
  return bytes;
}

std::optional<tokenizer::rank> tokenizer::rank_of(std::string_view bytes) const noexcept {
  const match longest = longest_token(bytes);
  if (bytes.empty() || longest.bytes != bytes.size()) return std::nullopt;
  return longest.token;
}

tokenizer::match tokenizer::longest_token(std::string_view text) const noexcept {
  match longest;
  std::uint32_t children = tables_.trie[0].children;
  for (std::size_t at = 0; at < text.size() && children != 0;) {
    const unsigned byte = static_cast<unsigned char>(text[at]);
    const trie_node& node = tables_.trie[children ^ byte];
    if (node.label() != byte) break;
    ++at;
    if (node.rank() != trie_node::no_rank) longest = {node.rank(), at};
    children = node.children;
  }
  return longest;
}

std::optional<tokenizer::rank> tokenizer::merged(rank left, rank right) const noexcept {
  const pair_hash hash(left, right);
  const std::size_t slots = tables_.pairs.size();
  for (std::size_t at = hash.place(slots);; at = (at + 1) & (slots - 1)) {
    const pair_slot& slot = tables_.pairs[at];
    if (slot.hash_and_rank == pair_slot::empty) return std::nullopt;
    if (slot.hash() != hash.kept()) continue;
    const token_halves& halves = tables_.halves[slot.rank()];
    if (halves.left == left && halves.right == right) return slot.rank();
  }
}

// Whether the bytes of both tokens together are merged to exactly these two tokens. Undoes the
// merges of both, the latest first, and checks each time whether the two tokens at the border would
// have merged earlier than the merge that was just undone. If so, the two tokens cannot stay apart.
bool tokenizer::stay_apart(rank left, rank right) const noexcept {
  // All merges with this rank or a higher one are undone. Of equal ranks the left merge comes
  // first.
  rank limit = std::numeric_limits<rank>::max();
  for (;;) {
    if (const auto across = merged(left, right); across && *across < limit) return false;
    const rank left_part = tables_.halves[left].right;
    const rank right_part = tables_.halves[right].left;
    const bool left_whole = left_part == left;
    const bool right_whole = right_part == right;
    if (left_whole && right_whole) return true;
    if (right_whole || (!left_whole && left > right)) {
      limit = left;
      left = left_part;
    } else {
      limit = right + 1;
      right = right_part;
    }
  }
}

// A sequence of tokens is the encoding of its text exactly if each pair of neighbours is the
// encoding of its own text (proof: https://github.com/github/rust-gems, crate bpe). So no merging
// is needed: from left to right, take the longest token that stays apart from the one before it. If
// there is none, go back by one token and mark this place as a dead end.
void tokenizer::encode_piece(std::string_view piece, match longest, std::vector<rank>& out) const {
  const std::size_t first = out.size();
  dead_ends dead(piece.size());
  std::size_t at = 0;
  rank next = longest.token;
  for (;;) {
    const token_prefix token = tables_.prefixes[next];
    const std::size_t end = at + token.length();
    if (!dead.contain(end) && (out.size() == first || stay_apart(out.back(), next))) {
      out.push_back(next);
      if (end == piece.size()) return;
      at = end;
      next = longest_token(piece.substr(at)).token;
    } else if (token.prefix() != token_prefix::none) {
      next = token.prefix();
    } else {
      dead.add(at);
      next = out.back();
      out.pop_back();
      at -= tables_.prefixes[next].length();
      // It is not tried again, since its end is now a dead end.
    }
  }
}

}  // namespace sluice
