#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/result.hpp"
#include "sluice/totals.hpp"

namespace sluice {

/// Counts the rejected replies that the lines of a job contain. A later line of a request contains
/// the replies of its earlier line, and more. Pure; not thread safe.
class line_rejections {
 public:
  using id_key = std::pair<std::uint64_t, std::uint64_t>;  ///< the halves of the id's hash
  /// Of a line in the errors file.
  struct of_failure {
    std::string model;
    std::vector<rejected_reply> replies;
  };

  /// Adds the replies of the line to the totals, except those that are already counted.
  void add(const hash128& id, const stored_line& line, job_totals& totals);
  /// The replies in the request's line in the errors file. Its next line contains them, too.
  std::vector<rejected_reply> of(const hash128& id) const;
  const std::map<id_key, of_failure>& failures() const noexcept { return failures_; }
  void clear() noexcept { failures_.clear(); }

 private:
  std::map<id_key, of_failure> failures_;
};

}  // namespace sluice
