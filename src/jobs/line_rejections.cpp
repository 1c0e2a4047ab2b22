#include "jobs/line_rejections.hpp"

namespace sluice {

void line_rejections::add(const hash128& id, const stored_line& line, job_totals& totals) {
  const auto& replies = line.facts.rejected;
  if (replies.empty()) return;
  const id_key key(id.high, id.low);
  const auto before = failures_.find(key);
  for (std::size_t i = before == failures_.end() ? 0 : before->second.replies.size();
       i < replies.size(); ++i) {
    totals.add_rejected(line.facts.model, replies[i]);
  }
  if (!line.facts.succeeded) failures_[key] = {line.facts.model, replies};
}

std::vector<rejected_reply> line_rejections::of(const hash128& id) const {
  const auto found = failures_.find({id.high, id.low});
  return found == failures_.end() ? std::vector<rejected_reply>() : found->second.replies;
}

}  // namespace sluice
