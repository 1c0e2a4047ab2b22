#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/decompressor.hpp"

namespace sluice {

/// Undoes what a body's Content-Encoding names, or what its bytes show. Relays and proxies name
/// what they have undone already, name a charset in its place, or pass on compressed bytes without
/// a word: where a body begins as gzip, zlib or zstd do it is that, where it begins as JSON, a
/// stream of events or a page it is plain, whatever is named.
///
/// A few compressed bytes may hold gigabytes: what is put in stays packed until it is read, piece
/// by piece.
class content_decoder {
 public:
  /// What one header field names: a list, in the order in which the codings were applied.
  void add(std::string_view names);
  void put(std::string_view bytes);
  /// The body has ended: what was too short to tell what it is is plain.
  void finish();
  /// The next piece of the plain body, good until the next call of any kind; empty: none before
  /// more is put. Throws bad_compression.
  std::string_view read();
  /// There may be another piece.
  bool may_have_more() const noexcept { return may_have_more_; }
  /// Nothing is to be undone, and nothing is left to read: bytes may go past it.
  bool is_plain() const noexcept { return decided_ && !undo_ && !may_have_more_; }
  /// Bytes that it holds, its windows above all.
  std::size_t memory() const noexcept;

 private:
  void decide(std::string_view begin);
  bool names_one_of(std::initializer_list<std::string_view> codings) const;
  std::string_view take_all();
  std::string_view undo_next();

  std::vector<std::string> names_;  // the last one is undone first
  bool decided_ = false;
  bool ended_ = false;
  bool may_have_more_ = false;
  std::string input_;
  std::size_t done_ = 0;  // of the input
  std::string piece_;
  std::unique_ptr<decompressor> undo_;
  std::unique_ptr<content_decoder> inner_;  // for what was applied before
};

}  // namespace sluice
