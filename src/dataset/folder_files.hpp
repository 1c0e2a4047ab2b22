#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::dataset {

/// The files in one folder and its subfolders that the cells of a table may name. A table from
/// someone else must not reach any other file, so names with `..`, absolute names and links in the
/// path are refused. Not thread safe.
class folder_files {
 public:
  /// Throws fatal_error if the folder cannot be read. `largest`: the largest file, in bytes.
  folder_files(const std::string& folder, std::uint64_t largest);
  folder_files(const folder_files&) = delete;
  folder_files& operator=(const folder_files&) = delete;
  ~folder_files();

  /// Adds the image or PDF as a data URL. Returns the reason if it cannot, as the rest of a
  /// sentence; empty: success.
  std::string append_data_url(std::string& out, std::string_view name);

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  std::uint64_t largest_bytes() const noexcept { return largest_bytes_; }
  const std::string& largest_name() const noexcept { return largest_name_; }

 private:
  const std::string folder_;
  const std::uint64_t limit_;
  int root_ = -1;
  std::string content_;
  std::uint64_t count_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t largest_bytes_ = 0;
  std::string largest_name_;
};

/// The media type of an image or PDF, from its first bytes; empty for other files.
std::string_view media_type(std::string_view begin);
/// Appends the bytes in base64 (RFC 4648), with padding.
void append_base64(std::string& out, std::string_view bytes);

}  // namespace sluice::dataset
