#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sluice {

// Reads responses that are not strictly valid HTTP/1.1 but have a clear meaning, and that curl and
// the SDKs accept. Only a client may do this, and only on a connection that is not reused.
// Otherwise two programs could disagree about where a body ends (request smuggling).

/// The length of the head at the beginning of `bytes`, including its empty line; 0: incomplete.
std::size_t head_length(std::string_view bytes);

/// Repairs a complete head for a strict parser: lines end with CRLF, no blanks before a colon, no
/// folded lines, one Transfer-Encoding, equal Content-Lengths only once, and none with `chunked`.
/// Removes lines that are not header fields. The connection must be closed after the response.
std::string mended_head(std::string_view head);

/// Decodes a chunked body as curl does: after a size there may be blanks or any extension, and
/// lines may end with LF only. Not thread safe; one object for each body.
class lenient_chunks {
 public:
  /// `behind_chunk`: the input begins at the end of a chunk, not at a size.
  explicit lenient_chunks(bool behind_chunk) : state_(behind_chunk ? state::behind : state::size) {}

  /// Passes the decoded body to `take`. Returns the number of bytes consumed: all, unless the body
  /// ends or the input is not valid.
  std::size_t put(std::string_view bytes, const std::function<void(std::string_view)>& take);
  bool done() const noexcept { return state_ == state::done; }
  bool broken() const noexcept { return state_ == state::broken; }

 private:
  enum class state : std::uint8_t { size, data, behind, trailer, done, broken };
  void read(std::string_view line);

  state state_;
  std::uint64_t left_ = 0;  // bytes left in the chunk
  std::string line_;        // the incomplete line
};

}  // namespace sluice
