#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "decompressor.hpp"

namespace sluice {

/// Undoes what a body's Content-Encoding names, or what its bytes show. Relays and proxies name
/// what they have undone already, name a charset in its place, or pass on compressed bytes without
/// a word: where a body begins as gzip, zlib or zstd do it is that, where it begins as JSON, a
/// stream of events or a page it is plain, whatever is named.
class content_decoder {
 public:
  /// Takes a piece of the plain body; false: no more is wanted.
  using sink = std::function<bool(std::string_view)>;

  /// What one header field names: a list, in the order in which the codings were applied.
  void add(std::string_view names);
  /// Throws bad_compression.
  void put(std::string_view bytes, const sink& take);
  /// The body has ended: hands on what was too short to tell what it is.
  void finish(const sink& take);
  /// Nothing is to be undone: bytes may go past put().
  bool is_plain() const noexcept { return decided_ && !undo_; }

 private:
  void decide(std::string_view begin);
  bool names_one_of(std::initializer_list<std::string_view> codings) const;

  std::vector<std::string> names_;  // the last one is undone first
  bool decided_ = false;
  std::string held_;  // until enough has come to decide
  std::unique_ptr<decompressor> undo_;
  std::unique_ptr<content_decoder> inner_;  // for what was applied before
};

}  // namespace sluice
