#include "cluster/chunk_rules.hpp"

#include <algorithm>

namespace sluice::cluster {

work_counters& work_counters::operator+=(const work_counters& more) noexcept {
  succeeded += more.succeeded;
  failed += more.failed;
  attempts += more.attempts;
  retries += more.retries;
  maybe_billed += more.maybe_billed;
  cost += more.cost;
  kept += more.kept;
  return *this;
}

std::uint64_t usual_chunk_lines(std::uint64_t lines) noexcept {
  constexpr std::uint64_t chunks = 64;
  constexpr std::uint64_t most = 1000;
  return std::clamp<std::uint64_t>((lines + chunks - 1) / chunks, 1, most);
}

money_change take_lease(chunk_record& chunk, const std::string& worker,
                        const std::vector<usd>& open) {
  money_change change;
  for (const usd most : open) {
    ++chunk.sums.maybe_billed;
    chunk.sums.kept += most;
    change.spent += most;
  }
  change.released = chunk.reserved;
  chunk.reserved = usd{};
  chunk.state = chunk_state::leased;
  chunk.worker = worker;
  ++chunk.epoch;
  return change;
}

money_change apply(chunk_record& chunk, const chunk_changes& changes, bool has_budget) {
  money_change change;
  work_counters& sums = chunk.sums;
  const auto end_reservation = [&](usd most) {
    chunk.reserved -= most;
    change.released += most;
  };
  for (const started_attempt& one : changes.started) {
    ++sums.attempts;
    if (one.number > 1) ++sums.retries;
  }
  for (const ended_attempt& one : changes.ended) {
    if (one.how == attempt_end::unsent) {
      sums.attempts -= std::min<std::uint64_t>(sums.attempts, 1);
      if (one.number > 1) sums.retries -= std::min<std::uint64_t>(sums.retries, 1);
    }
    if (one.how == attempt_end::lost) ++sums.maybe_billed;
    if (!has_budget || !keeps_reservation(one.how)) continue;
    sums.kept += one.most;
    change.spent += one.most;
    end_reservation(one.most);
  }
  for (const new_result& one : changes.results) {
    ++chunk.finished;
    ++(one.line.succeeded ? sums.succeeded : sums.failed);
    sums.cost += one.cost;
    if (!has_budget) continue;
    sums.kept += one.kept;
    change.spent += one.cost + one.kept;
    end_reservation(one.most);
  }
  const bool done = chunk.finished >= chunk.lines();
  if (done || changes.release) {
    end_reservation(chunk.reserved);
    chunk.state = done ? chunk_state::done : chunk_state::free;
    chunk.worker.clear();
  }
  return change;
}

std::size_t lines_that_fit(const job_record& job, const std::vector<line_reserve>& lines) noexcept {
  if (!job.budget) return lines.size();
  usd taken = job.spent + job.reserved;
  std::size_t fit = 0;
  for (; fit < lines.size(); ++fit) {
    taken += lines[fit].most;
    if (taken > *job.budget) break;
  }
  return fit;
}

std::optional<usd> money_left(const job_record& job) noexcept {
  if (!job.budget) return std::nullopt;
  const usd taken = job.spent + job.reserved;
  if (taken > *job.budget) return usd{};
  usd left = *job.budget;
  left -= taken;
  return left;
}

std::size_t reserve_lines(chunk_record& chunk, job_record& job,
                          const std::vector<line_reserve>& lines,
                          std::optional<std::uint64_t>& rest) {
  rest.reset();
  const std::size_t fit = lines_that_fit(job, lines);
  for (std::size_t i = 0; i < fit; ++i) {
    chunk.reserved += lines[i].most;
    job.reserved += lines[i].most;
  }
  chunk.needs.reset();
  std::size_t next = fit;
  // The lines that are too expensive for now stay in this chunk, which waits for money. The cheaper
  // lines after them can run in another chunk.
  const std::optional<usd> left = money_left(job);
  while (fit == 0 && next < lines.size() && lines[next].most > *left) {
    chunk.needs = std::min(chunk.needs.value_or(lines[next].most), lines[next].most);
    ++next;
  }
  if (next > 0 && next < lines.size()) rest = lines[next].line;
  return fit;
}

chunk_record split(chunk_record& chunk, std::uint64_t first, std::int64_t number,
                   std::uint64_t finished) {
  chunk_record rest;
  rest.job = chunk.job;
  rest.number = number;
  rest.block = chunk.block;
  rest.epoch = chunk.epoch;  // shows that its lines may have attempts
  rest.first = first;
  rest.last = chunk.last;
  rest.finished = finished;
  if (finished >= rest.lines()) rest.state = chunk_state::done;
  chunk.last = first - 1;
  chunk.finished -= std::min(chunk.finished, finished);
  return rest;
}

}  // namespace sluice::cluster
