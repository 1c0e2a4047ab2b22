#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/decompressor.hpp"

namespace sluice {

/// Decompresses a body by its Content-Encoding and its first bytes. Not thread safe; use one object
/// for each body. The header cannot be trusted: relays and proxies name an encoding that they have
/// already removed, put a charset there, or send compressed bytes without a header. So a body that
/// begins like gzip, zlib or zstd is decompressed, whatever the header says. A body that begins
/// like JSON, an event stream or a web page is not decompressed.
///
/// A few compressed bytes may expand to gigabytes: input stays compressed until read() returns it
/// piece by piece.
class content_decoder {
 public:
  /// Adds the value of a Content-Encoding field: the encodings in the order in which the sender
  /// applied them.
  void add(std::string_view names);
  void put(std::string_view bytes);
  /// The body has ended; if it is too short to be recognized, it is plain.
  void finish();
  /// The next piece of the decompressed body, valid until the next call of any function; empty:
  /// more input is needed. Throws bad_compression.
  std::string_view read();
  /// Returns whether read() may return another piece.
  bool may_have_more() const noexcept { return may_have_more_; }
  /// Returns whether the body is plain and nothing is left to read, so that the caller can bypass
  /// the decoder with these bytes, which come next. Throws bad_compression.
  bool is_plain(std::string_view next);
  /// Bytes of memory in use, mostly for compression windows.
  std::size_t memory() const noexcept;

 private:
  void decide(std::string_view begin);
  bool names_one_of(std::initializer_list<std::string_view> codings) const;
  std::string_view take_all();
  std::string_view undo_next();

  std::vector<std::string> names_;  // encodings; the last one is removed first
  bool decided_ = false;
  bool ended_ = false;
  bool may_have_more_ = false;
  std::string input_;
  std::size_t done_ = 0;  // bytes of `input_` that are decompressed
  std::string piece_;
  std::unique_ptr<decompressor> undo_;
  std::unique_ptr<content_decoder> inner_;  // decodes the encodings that were applied before
};

}  // namespace sluice
