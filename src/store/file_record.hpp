#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice::store {

/// The record of an uploaded file, or of a result file of a batch.
struct file_record {
  std::string id;     ///< "file-…"
  std::string owner;  ///< name of the API key to which it belongs
  std::string filename;
  std::string purpose;                     ///< "batch", "batch_output", …
  std::uint64_t bytes = 0;                 ///< size in bytes
  std::int64_t created_at = 0;             ///< Unix time
  std::optional<std::int64_t> expires_at;  ///< Unix time; nothing if it does not expire

  bool operator==(const file_record&) const = default;
};

/// Selects a part of a list. Lists are ordered by creation time. Records of the same second are in
/// the order in which they were added. If records are added or removed between two pages, other
/// records are neither repeated nor skipped.
struct page_request {
  std::size_t limit = 20;  ///< number of records
  /// Id of the last record of the previous page; empty: from the start. If the owner has no such
  /// record, for example because it was removed meanwhile, the page is empty.
  std::string after;
};

template <typename Record>
struct page {
  std::vector<Record> records;
  bool has_more = false;
};

struct file_filter {
  page_request part;
  std::string purpose;     ///< only files with this purpose; empty: all
  bool ascending = false;  ///< oldest first
};

}  // namespace sluice::store
