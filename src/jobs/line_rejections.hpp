#pragma once

#include <cstdint>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Counts the rejected replies that the lines of a job contain. A later line of a request contains
/// the replies of its earlier line, and more. It keeps only the places of the lines, because there
/// may be ten million. Not thread safe.
class line_rejections {
 public:
  /// The last line of a request in the errors file.
  struct failure {
    std::uint64_t offset = 0;  ///< where the line begins
    std::uint32_t replies = 0;
  };

  /// Adds the replies of the line to the totals, except those that are already counted. `offset`:
  /// where the line begins in its file.
  void add(const hash128& id, const stored_line& line, std::uint64_t offset, job_totals& totals);
  /// The request's line in the errors file; null if it has none with rejected replies.
  const failure* find(const hash128& id) { return failures_.find(id); }
  bool has_failures() const noexcept { return failures_.size() > 0; }
  void clear() { failures_ = {}; }

 private:
  id_table<failure> failures_;
};

}  // namespace sluice
