#include "loadtest/load_plan.hpp"

#include <algorithm>

namespace sluice::bench {

load_plan load_plan::sweep(const load& first, double most) {
  load_plan made({first});
  made.most_ = most;
  return made;
}

std::optional<std::size_t> load_plan::size() const {
  return most_ == 0 ? std::optional(list_.size()) : std::nullopt;
}

std::optional<load> load_plan::next() {
  if (at_ == list_.size()) return std::nullopt;
  return list_[at_++];
}

std::vector<load> load_plan::left() const {
  return {list_.begin() + static_cast<std::ptrdiff_t>(at_), list_.end()};
}

void load_plan::ended(const std::vector<outcome>& targets) {
  if (most_ == 0 || targets.empty()) return;
  const bool grew = before_.size() != targets.size() ||
                    !std::equal(before_.begin(), before_.end(), targets.begin(),
                                [](const outcome& before, const outcome& now) {
                                  return now.throughput <= before.throughput * least_growth;
                                });
  const auto all = [&targets](const auto& what) {
    return std::all_of(targets.begin(), targets.end(), what);
  };
  before_ = targets;
  load more = list_.back();
  const double now = more.open() ? more.rate : more.concurrency;
  if (all([](const outcome& one) { return one.refused; })) {
    why_ = "the relay refused the load as too many requests (429)";
  } else if (all([](const outcome& one) { return one.held_by_cap; })) {
    why_ = "sluice's own cap held it";
  } else if (all([](const outcome& one) { return one.held_by_budget; })) {
    why_ = "the budget held it";
  } else if (all([](const outcome& one) { return one.throughput == 0; })) {
    why_ = "no request succeeded";
  } else if (!grew) {
    why_ = "throughput no longer grows";
  } else if (now >= most_) {
    why_ = "the greatest load that was asked for is reached";
  } else {
    const double next = std::min(now * 2, most_);
    if (more.open()) {
      more.rate = next;
    } else {
      more.concurrency = static_cast<unsigned>(next);
    }
    list_.push_back(more);
  }
}

}  // namespace sluice::bench
