#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice::store {

/// What is known of an uploaded file, or of a result file of a batch.
struct file_record {
  std::string id;     ///< "file-…"
  std::string owner;  ///< name of the API key it belongs to
  std::string filename;
  std::string purpose;                     ///< "batch", "batch_output", …
  std::uint64_t bytes = 0;                 ///< size
  std::int64_t created_at = 0;             ///< Unix time
  std::optional<std::int64_t> expires_at;  ///< Unix time; nothing: it does not expire

  bool operator==(const file_record&) const = default;
};

/// A part of a list. Lists are ordered by time of creation, and records of the same second by the
/// order in which they were added. Records that are added or removed between two pages neither
/// repeat nor hide others.
struct page_request {
  std::size_t limit = 20;  ///< number of records
  /// Id of the last record of the page before; empty: from the start. If the owner has no such
  /// record, perhaps because it was removed meanwhile, the page is empty.
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
