#include "tokens/vocabularies/embedded.hpp"

#include <cstddef>

#ifdef SLUICE_HAS_VOCABULARIES
// Defined in embedded_tables.S.
extern "C" {
extern const unsigned char sluice_cl100k_base[];
extern const unsigned char sluice_o200k_base[];
}
#endif

namespace sluice {

#ifdef SLUICE_HAS_VOCABULARIES
namespace {

vocabulary_tables read(const unsigned char* bytes) noexcept {
  const auto& header = *reinterpret_cast<const vocabulary_header*>(bytes);
  bytes += sizeof header;
  const auto next = [&]<typename Item>(std::span<const Item>& items, std::size_t size) {
    items = {reinterpret_cast<const Item*>(bytes), size};
    bytes += items.size_bytes();
  };
  vocabulary_tables tables;
  next(tables.trie, header.trie_nodes);
  next(tables.halves, header.ranks);
  next(tables.prefixes, header.ranks);
  next(tables.pairs, header.pair_slots);
  return tables;
}

}  // namespace

std::optional<vocabulary_tables> embedded_tables(vocabulary which) noexcept {
  return read(which == vocabulary::cl100k_base ? sluice_cl100k_base : sluice_o200k_base);
}
#else
std::optional<vocabulary_tables> embedded_tables(vocabulary /*which*/) noexcept {
  return std::nullopt;
}
#endif

}  // namespace sluice
