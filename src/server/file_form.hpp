#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/server/multipart.hpp"
#include "server/api_error.hpp"

namespace sluice::server {

/// After how many seconds a file may be deleted, as in OpenAI's API. The files of a batch are
/// deleted after the longest time if the client names no other.
inline constexpr std::int64_t shortest_file_life = 3600;
inline constexpr std::int64_t longest_file_life = std::int64_t{30} * 24 * 3600;

/// The size limits of files.
struct file_limits {
  std::uint64_t most_bytes = std::uint64_t{512} << 20;        ///< limit of any file
  std::uint64_t most_batch_bytes = std::uint64_t{200} << 20;  ///< limit for the purpose "batch"
};

/// Parses the form of POST /v1/files while it arrives: `file`, `purpose`, `expires_after[anchor]`
/// and `expires_after[seconds]`. It stores at most the last piece of the file. Pure; not thread
/// safe.
class file_form {
 public:
  file_form(std::string_view boundary, const file_limits& limits);

  /// Takes the next piece of the body. Returns an error if the form is refused.
  std::optional<api_error> feed(std::string_view piece);
  /// Ends the body. Returns an error if the form is refused.
  std::optional<api_error> finish();
  /// Returns the bytes of the file that have arrived since the last call.
  std::string take_bytes() { return std::exchange(bytes_, {}); }

  // The following functions may be called after finish().
  const std::string& filename() const noexcept { return filename_; }
  const std::string& purpose() const noexcept { return purpose_; }
  std::uint64_t size() const noexcept { return size_; }
  /// Returns the lifetime in seconds after the file's creation; nothing: the usual lifetime.
  std::optional<std::int64_t> expires_after_s() const noexcept { return expires_after_s_; }

 private:
  void begin_part(const http_server::multipart_parser::part_head& head);
  void take(std::string_view piece);
  std::optional<api_error> check_expiry();
  std::optional<api_error> check_size() const;

  file_limits limits_;
  // The field that is being read; null: the part is the file, or unknown.
  std::string* field_ = nullptr;
  bool in_file_ = false;
  bool too_long_ = false;  // a field is too long
  bool has_file_ = false;
  std::string bytes_;
  std::uint64_t size_ = 0;
  std::string filename_;
  std::string purpose_;
  std::string anchor_;
  std::string seconds_;
  std::optional<std::int64_t> expires_after_s_;
  http_server::multipart_parser parser_;
};

}  // namespace sluice::server
