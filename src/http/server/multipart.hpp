#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::http_server {

/// Splits a multipart/form-data body (RFC 7578) that arrives in pieces. It buffers at most the head
/// of one part and one boundary, however large the body is. Pure; not thread safe.
class multipart_parser {
 public:
  struct part_head {
    std::string name;
    std::optional<std::string> filename;  ///< nothing if the part is a field, not a file
    std::string content_type;             ///< empty if the part has none
  };
  /// Receives the parts, in the order of the body.
  struct receiver {
    std::function<void(const part_head&)> on_part;
    std::function<void(std::string_view)> on_bytes;  ///< a piece of the current part
    std::function<void()> on_part_end;
  };

  static constexpr std::size_t max_part_head = std::size_t{8} * 1024;
  static constexpr std::size_t max_parts = 64;

  /// Returns the boundary of a Content-Type. Nothing if it is not multipart/form-data or has no
  /// boundary.
  static std::optional<std::string> boundary_of(std::string_view content_type);

  multipart_parser(std::string_view boundary, receiver to);
  /// Takes the next piece of the body. Returns false if the body is not well formed (see fault());
  /// the parser then takes no more pieces.
  bool feed(std::string_view piece);
  /// Ends the body. Returns false if it ended too early.
  bool finish();
  /// What is wrong with the body: one sentence without its full stop. Empty if there is no fault.
  const std::string& fault() const noexcept { return fault_; }

 private:
  enum class state : std::uint8_t { preamble, after_boundary, head, content, epilogue };

  bool step();
  bool skip_preamble();
  bool read_after_boundary();
  bool read_head();
  bool read_content();
  void give(std::size_t size);
  bool fail(std::string why);

  const std::string delimiter_;  // CRLF, two dashes and the boundary
  receiver to_;
  state state_ = state::preamble;
  std::string pending_;      // bytes that were not processed yet
  std::size_t to_skip_ = 0;  // bytes at the start of pending_ that are not content
  std::size_t parts_ = 0;
  std::string fault_;
};

}  // namespace sluice::http_server
