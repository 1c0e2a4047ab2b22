#include "jobs/line_rejections.hpp"

namespace sluice {

void line_rejections::add(const hash128& id, const stored_line& line, std::uint64_t offset,
                          job_totals& totals) {
  const auto& replies = line.facts.rejected;
  if (replies.empty()) return;
  const failure* const before = failures_.find(id);
  for (std::size_t i = before == nullptr ? 0 : before->replies; i < replies.size(); ++i) {
    totals.add_rejected(line.facts.model, replies[i]);
  }
  if (line.facts.succeeded) return;
  *failures_.insert(id).first = {.offset = offset,
                                 .replies = static_cast<std::uint32_t>(replies.size())};
}

}  // namespace sluice
