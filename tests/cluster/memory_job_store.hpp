#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cluster/chunk_rules.hpp"
#include "cluster/grant_rules.hpp"
#include "cluster/job_store.hpp"

namespace sluice::test {

/// A job store in memory, for tests in virtual time. It is also the model for other stores. Each
/// call is one transaction. Thread safe.
class memory_job_store : public cluster::job_store {
  using lock = std::lock_guard<std::recursive_mutex>;
  using chunk_record = cluster::chunk_record;

 public:
  /// Microseconds since the epoch, by the clock of the store.
  std::function<std::int64_t()> now = [] { return std::int64_t{1'000'000'000'000}; };
  /// Called before and after each transaction. It may throw, to simulate a lost connection.
  std::function<void(const char* call)> before = [](const char*) {};
  std::function<void(const char* call)> after = [](const char*) {};

  cluster::job_record add_job(const cluster::new_job& job) override {
    return transact("add_job", [&] {
      for (const auto& [id, one] : jobs_) {
        if (one.record.name == job.name) return one.record;
      }
      entry& made = jobs_[++last_job_];
      made.record.id = last_job_;
      made.record.name = job.name;
      made.record.identity = job.identity;
      made.record.fingerprint = job.fingerprint;
      made.record.lines = job.lines;
      made.record.budget = job.budget;
      made.record.created_at = seconds();
      return made.record;
    });
  }
  void add_block(cluster::job_id job, const cluster::line_block& block) override {
    transact("add_block", [&] {
      entry& of = jobs_.at(job);
      if (of.blocks.contains(static_cast<std::int64_t>(block.number))) return 0;
      const auto number = static_cast<std::int64_t>(block.number);
      of.blocks[number] = block.requests;
      chunk_record chunk;
      chunk.job = job;
      chunk.number = number;
      chunk.block = number;
      chunk.first = block.first;
      chunk.last = block.last;
      chunk.finished = chunk.sums.failed = block.bad_lines.size();
      if (chunk.finished >= chunk.lines()) chunk.state = cluster::chunk_state::done;
      for (const auto& bad : block.bad_lines) of.results[bad.line] = bad;
      of.chunks[number] = {chunk, 0, {}};
      of.record.blocks = of.blocks.size();
      return 0;
    });
  }
  void make_ready(cluster::job_id job) override {
    transact("make_ready", [&] {
      jobs_.at(job).record.ready = true;
      finish_if_done(jobs_.at(job));
      return 0;
    });
  }
  bool set_budget(cluster::job_id job, std::optional<usd> budget) override {
    return transact("set_budget", [&] {
      entry& of = jobs_.at(job);
      const auto has_no_budget = [&](const auto& one) {
        return !of.record.budget && one.second.record.state == cluster::chunk_state::leased;
      };
      for (const auto& one : of.chunks) {
        if (has_no_budget(one) && one.second.until > now()) return false;
      }
      of.record.spent = usd{};
      for (auto& one : of.chunks) {
        if (has_no_budget(one)) ++one.second.record.epoch;
        one.second.record.needs.reset();
        of.record.spent += one.second.record.sums.cost + one.second.record.sums.kept;
      }
      of.record.budget = budget;
      of.record.exhausted = false;
      return true;
    });
  }
  std::optional<cluster::job_record> find_job(std::string_view name) override {
    return transact("find_job", [&]() -> std::optional<cluster::job_record> {
      for (const auto& [id, one] : jobs_) {
        if (one.record.name == name) return one.record;
      }
      return std::nullopt;
    });
  }
  std::vector<listed_job> list_jobs() override {
    return transact("list_jobs", [&] {
      std::vector<listed_job> all;
      for (const auto& [id, one] : jobs_) {
        listed_job listed{.job = one.record, .sums = {}};
        std::set<std::string> workers;
        for (const auto& [number, chunk] : one.chunks) {
          listed.sums += chunk.record.sums;
          if (chunk.record.state != cluster::chunk_state::done) ++listed.open_chunks;
          if (chunk.record.state != cluster::chunk_state::leased || chunk.until <= now()) continue;
          ++listed.leased_chunks;
          workers.insert(chunk.record.worker);
        }
        listed.workers = workers.size();
        all.push_back(std::move(listed));
      }
      return all;
    });
  }
  cluster::work_counters counters(cluster::job_id job) override {
    return transact("counters", [&] {
      cluster::work_counters sums;
      for (const auto& [number, chunk] : jobs_.at(job).chunks) sums += chunk.record.sums;
      return sums;
    });
  }
  std::vector<cluster::finished_line> read_results(cluster::job_id job, std::uint64_t from,
                                                   std::size_t most) override {
    return transact("read_results", [&] {
      std::vector<cluster::finished_line> found;
      const auto& results = jobs_.at(job).results;
      for (auto one = results.lower_bound(from); one != results.end() && found.size() < most; ++one)
        found.push_back(one->second);
      return found;
    });
  }
  std::uint64_t most_in_a_minute(cluster::job_id) override { return 0; }
  void remove_job(cluster::job_id job) override {
    transact("remove_job", [&] { return jobs_.erase(job); });
  }

  cluster::claim_answer claim(const cluster::claim_request& request) override {
    return transact("claim", [&] {
      cluster::claim_answer answer;
      answer.now = now();
      std::vector<entry*> order;
      for (auto& [id, one] : jobs_) {
        if (id > request.after) order.push_back(&one);
      }
      for (auto& [id, one] : jobs_) {
        if (id <= request.after) order.push_back(&one);
      }
      for (entry* each : order) {
        entry& of = *each;
        cluster::job_record& job = of.record;
        if (!job.ready || job.finished) continue;
        if (std::ranges::find(request.skipped_jobs, job.id) != request.skipped_jobs.end()) continue;
        if (job.simulated && *job.simulated != request.simulated) continue;
        if (job.exhausted) {
          answer.exhausted.push_back(job.name);
          continue;
        }
        chunk_entry* best = nullptr;
        bool others = false;
        std::vector<cluster::leased_chunk> listed;
        for (auto& [number, chunk] : of.chunks) {
          if (chunk.record.state == cluster::chunk_state::done) continue;
          const bool leased = chunk.record.state == cluster::chunk_state::leased;
          const bool skipped =
              std::ranges::find(request.skipped_chunks, std::pair(job.id, number)) !=
              request.skipped_chunks.end();
          if (skipped && !leased) continue;
          const cluster::lease_key key{job.id, number, chunk.record.epoch};
          const auto is_it = [&](const cluster::leased_chunk& one) {
            return one.key == key && one.until == chunk.until;
          };
          if (leased) listed.push_back({key, chunk.until, chunk.length});
          if (leased && std::ranges::find(request.held, key) != request.held.end()) continue;
          if (leased && chunk.until >= std::min(request.over_before.value_or(now()), now()) &&
              std::ranges::none_of(request.silent, is_it)) {
            others = others || !skipped;
          } else if (is_too_dear(of, chunk.record)) {
            others = others || !skipped;
          } else if (best == nullptr || (request.relieve_first && leased &&
                                         best->record.state == cluster::chunk_state::free)) {
            best = &chunk;
          }
        }
        if (best == nullptr && note_exhausted(of)) {
          answer.exhausted.push_back(job.name);
          continue;
        }
        if (best == nullptr) {
          answer.more_to_come = answer.more_to_come || others;
          answer.leased.insert(answer.leased.end(), listed.begin(), listed.end());
          continue;
        }
        answer.relieved_attempts = take(of, *best, request);
        answer.got = lease_of(of, best->record);
        return answer;
      }
      return answer;
    });
  }
  cluster::reserve_answer reserve(const cluster::lease_key& key,
                                  const std::vector<cluster::line_reserve>& lines,
                                  bool split) override {
    return transact("reserve", [&] {
      cluster::reserve_answer answer;
      entry& of = jobs_.at(key.job);
      chunk_entry& chunk = of.chunks.at(key.chunk);
      if (chunk.record.epoch != key.epoch || chunk.record.state != cluster::chunk_state::leased) {
        answer.lost = true;
        return answer;
      }
      cluster::job_record& job = of.record;
      std::optional<std::uint64_t> rest;
      answer.lines = cluster::reserve_lines(chunk.record, job, lines, rest);
      if (!split) chunk.record.needs.reset();
      if (split && rest) {
        const std::uint64_t first = *rest;
        const auto finished = static_cast<std::uint64_t>(std::distance(
            of.results.lower_bound(first), of.results.upper_bound(chunk.record.last)));
        const std::int64_t number = of.chunks.rbegin()->first + 1;
        of.chunks[number] = {cluster::split(chunk.record, first, number, finished), 0, {}};
      }
      if (answer.lines == 0 && !lines.empty()) answer.exhausted = note_exhausted(of);
      return answer;
    });
  }
  cluster::commit_answer commit(const cluster::change_batch& batch) override {
    return transact("commit", [&] {
      cluster::commit_answer answer;
      answer.now = now();
      const bool again = sequences_[batch.worker] >= batch.sequence;
      sequences_[batch.worker] = batch.sequence;
      for (const auto& changes : batch.chunks) {
        const auto of = jobs_.find(changes.key.job);
        chunk_entry* const chunk =
            of == jobs_.end() ? nullptr : &of->second.chunks.at(changes.key.chunk);
        if (chunk == nullptr || chunk->record.epoch != changes.key.epoch ||
            chunk->record.state != cluster::chunk_state::leased) {
          answer.lost.push_back(changes.key);
          continue;
        }
        if (!again) store(of->second, *chunk, changes, batch);
      }
      return answer;
    });
  }
  cluster::window_answer call_window(const cluster::window_call& call) override {
    return transact("call_window", [&] {
      std::string& text = windows_[call.window];
      cluster::shared_grants grants =
          text.empty() ? cluster::shared_grants() : cluster::shared_grants(text);
      const auto answer = grants.call(call, now());
      text = grants.text();
      return answer;
    });
  }

 private:
  struct chunk_entry {
    chunk_record record;
    std::int64_t until = 0;
    duration length{};
  };
  struct attempt_entry {
    usd most;
    bool open = false;
    bool recorded = false;
  };
  struct entry {
    cluster::job_record record;
    std::map<std::int64_t, std::string> blocks;
    std::map<std::int64_t, chunk_entry> chunks;
    std::map<std::uint64_t, cluster::finished_line> results;
    std::map<std::pair<std::uint64_t, std::uint32_t>, attempt_entry> attempts;
  };

  template <typename Work>
  std::invoke_result_t<Work&> transact(const char* call, Work work) {
    const lock held(mutex_);
    before(call);
    auto answer = work();
    after(call);
    return answer;
  }
  double seconds() const { return static_cast<double>(now()) / 1e6; }
  static void move_money(entry& of, const cluster::money_change& change) {
    of.record.spent += change.spent;
    of.record.reserved -= change.released;
  }
  static bool is_too_dear(const entry& of, const chunk_record& chunk) {
    const auto left = cluster::money_left(of.record);
    return left && chunk.needs && *chunk.needs > *left;
  }
  static bool note_exhausted(entry& of) {
    cluster::job_record& job = of.record;
    if (!job.budget || job.finished || job.reserved != usd{}) return false;
    job.exhausted = std::ranges::all_of(of.chunks, [&](const auto& one) {
      const chunk_record& chunk = one.second.record;
      return chunk.state == cluster::chunk_state::done || is_too_dear(of, chunk);
    });
    return job.exhausted;
  }
  void finish_if_done(entry& of) {
    if (!of.record.ready || of.record.finished) return;
    for (const auto& [number, chunk] : of.chunks) {
      if (chunk.record.state != cluster::chunk_state::done) return;
    }
    of.record.finished = true;
    of.record.finished_at = seconds();
  }
  std::uint64_t take(entry& of, chunk_entry& chunk, const cluster::claim_request& request) {
    std::vector<usd> open;
    for (auto& [key, attempt] : of.attempts) {
      if (!attempt.open || key.first < chunk.record.first || key.first > chunk.record.last)
        continue;
      attempt.open = false;
      open.push_back(attempt.most);
    }
    move_money(of, cluster::take_lease(chunk.record, request.worker, open));
    lease(chunk, request.lease);
    of.record.simulated = request.simulated;
    if (!of.record.started_at) of.record.started_at = seconds();
    return open.size();
  }
  void lease(chunk_entry& chunk, duration length) {
    chunk.length = length;
    chunk.until = now() + std::chrono::duration_cast<std::chrono::microseconds>(length).count();
  }
  static cluster::lease lease_of(const entry& of, const chunk_record& chunk) {
    cluster::lease got;
    got.key = {chunk.job, chunk.number, chunk.epoch};
    got.job = of.record;
    got.first = chunk.first;
    got.last = chunk.last;
    got.requests = of.blocks.at(chunk.block);
    got.had_success = std::ranges::any_of(
        of.chunks, [](const auto& one) { return one.second.record.sums.succeeded > 0; });
    for (auto one = of.results.lower_bound(chunk.first);
         one != of.results.end() && one->first <= chunk.last; ++one) {
      got.finished.push_back(one->first);
    }
    for (const auto& [key, attempt] : of.attempts) {
      if (key.first >= chunk.first && key.first <= chunk.last)
        got.attempts[key.first] = std::max(got.attempts[key.first], key.second);
    }
    return got;
  }
  void store(entry& of, chunk_entry& chunk, const cluster::chunk_changes& changes,
             const cluster::change_batch& batch) {
    for (const auto& one : changes.started) {
      attempt_entry& attempt = of.attempts[{one.line, one.number}];
      if (attempt.recorded && attempt.open) throw std::logic_error("an attempt is recorded twice");
      attempt = {.most = one.most, .open = true, .recorded = true};
    }
    for (const auto& one : changes.ended) of.attempts.at({one.line, one.number}).open = false;
    for (const auto& one : changes.results) {
      if (!of.results.emplace(one.line.line, one.line).second)
        throw std::logic_error("a line has two results");
      for (auto& [key, attempt] : of.attempts) {
        if (key.first == one.line.line) attempt.open = false;
      }
    }
    lease(chunk, batch.lease);
    move_money(of, cluster::apply(chunk.record, changes, of.record.budget.has_value()));
    finish_if_done(of);
  }

  std::recursive_mutex mutex_;
  cluster::job_id last_job_ = 0;
  std::map<cluster::job_id, entry> jobs_;
  std::map<std::string, std::uint64_t> sequences_;
  std::map<std::string, std::string> windows_;
};

}  // namespace sluice::test
