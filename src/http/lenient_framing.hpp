#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sluice {

// What curl and the SDKs take of a response although it is not HTTP/1.1 to the letter, and whose
// meaning is plain. Nobody but a client may be so lenient, and only on a connection that serves no
// other request: what one reads as the end of a body another reads as the middle of it.

/// How long the head is that `bytes` begin with, its blank line included; 0: it has not ended.
std::size_t head_length(std::string_view bytes);

/// A whole head as a strict parser takes it: lines that end in CRLF, no blanks before a colon, no
/// folded lines, one Transfer-Encoding, equal Content-Lengths once, and none beside `chunked`.
/// Lines that are no fields are left out. The connection is to be closed behind it.
std::string mended_head(std::string_view head);

/// Undoes the chunks of a body as curl does: a size may have blanks or an extension of any form
/// behind it, and lines may end in LF alone.
class lenient_chunks {
 public:
  /// `behind_chunk`: begins before the end of a line, not before a size.
  explicit lenient_chunks(bool behind_chunk) : state_(behind_chunk ? state::behind : state::size) {}

  /// Hands on what the bytes hold of the body. Returns how many were taken: all, unless the body
  /// ends before, or what came is no chunk.
  std::size_t put(std::string_view bytes, const std::function<void(std::string_view)>& take);
  bool done() const noexcept { return state_ == state::done; }
  bool broken() const noexcept { return state_ == state::broken; }

 private:
  enum class state : std::uint8_t { size, data, behind, trailer, done, broken };
  void read(std::string_view line);

  state state_;
  std::uint64_t left_ = 0;  // of the chunk
  std::string line_;        // as far as it has come
};

}  // namespace sluice
