#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/server/multipart.hpp"
#include "server/api_error.hpp"

namespace sluice::server {

/// After how many seconds a file may be deleted, as in OpenAI's API. A batch's files are deleted
/// after the longest time if the client names no other.
inline constexpr std::int64_t shortest_file_life = 3600;
inline constexpr std::int64_t longest_file_life = std::int64_t{30} * 24 * 3600;

/// How large files may be.
struct file_limits {
  std::uint64_t most_bytes = std::uint64_t{512} << 20;        ///< any file
  std::uint64_t most_batch_bytes = std::uint64_t{200} << 20;  ///< purpose "batch"
};

/// The form of POST /v1/files, read while it arrives: `file`, `purpose`, `expires_after[anchor]`
/// and `expires_after[seconds]`. It stores no more of the file than the last piece. Pure; not
/// thread safe.
class file_form {
 public:
  file_form(std::string_view boundary, const file_limits& limits);

  /// The next piece of the body. Returns why the form is refused.
  std::optional<api_error> feed(std::string_view piece);
  /// The body has ended.
  std::optional<api_error> finish();
  /// The bytes of the file that have arrived since the last call.
  std::string take_bytes() { return std::exchange(bytes_, {}); }

  // After finish().
  const std::string& filename() const noexcept { return filename_; }
  const std::string& purpose() const noexcept { return purpose_; }
  std::uint64_t size() const noexcept { return size_; }
  /// Seconds after its creation; nothing: the usual time.
  std::optional<std::int64_t> expires_after_s() const noexcept { return expires_after_s_; }

 private:
  void begin_part(const http_server::multipart_parser::part_head& head);
  void take(std::string_view piece);
  std::optional<api_error> check_expiry();
  std::optional<api_error> check_size() const;

  file_limits limits_;
  std::string* field_ = nullptr;  // of the part that is being read; null: the file, or unknown
  bool in_file_ = false;
  bool too_long_ = false;  // a field
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
