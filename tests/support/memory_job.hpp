#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "sluice/clock.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::test {

inline request make_request(std::size_t job, std::uint64_t line) {
  request made;
  made.job = job;
  made.line = line;
  made.custom_id = fmt::format("{}-{}", job, line);
  made.model = "m";
  made.body = fmt::format(R"({{"model":"m","messages":[],"user":"{}"}})", made.custom_id);
  made.digest = digest_of("/v1/chat/completions", made.body);
  made.streamed = false;
  return made;
}

/// A source with requests in memory.
class memory_source final : public request_source {
 public:
  std::vector<request> requests;
  std::exception_ptr fault;  ///< thrown after the last request

  std::size_t number_of_jobs = 1;
  bool several_models = false;
  std::set<std::pair<std::size_t, std::string>> earlier_successes;  ///< job and model
  bool looks_ahead = false;                                         ///< look_ahead() works

  std::optional<request> next() override {
    const std::lock_guard lock(mutex_);
    while (taken_.contains(at_)) ++at_;
    if (at_ < requests.size() && !cancelled_.load()) return requests[at_++];
    ended_.store(true);
    if (fault && !cancelled_.load()) std::rethrow_exception(fault);
    return std::nullopt;
  }
  void cancel() override { cancelled_.store(true); }
  std::string_view identity(std::size_t job) const override {
    return job == 0 ? "first job" : "other job";
  }
  std::size_t jobs() const override { return number_of_jobs; }
  bool has_several_models() const override { return several_models; }
  bool had_success(std::size_t job, std::string_view model) const override {
    return std::any_of(earlier_successes.begin(), earlier_successes.end(), [&](const auto& one) {
      return one.first == job && (model.empty() || one.second == model);
    });
  }
  /// Takes requests from the end of the job.
  void look_ahead(std::size_t job, std::size_t count,
                  const std::function<void(std::vector<request>)>& done) override {
    std::vector<request> found;
    if (looks_ahead) {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = requests.size(); i-- > at_ && found.size() < count;) {
        if (requests[i].job == job && taken_.insert(i).second) found.push_back(requests[i]);
      }
    }
    done(std::move(found));
  }

  /// True if the source will give no more requests.
  bool quiet() const { return ended_.load() || cancelled_.load(); }

 private:
  std::mutex mutex_;  // used by the reader thread and the event loop's thread
  std::size_t at_ = 0;
  std::set<std::size_t> taken_;  // requests that look_ahead() has taken
  std::atomic<bool> ended_{false};
  std::atomic<bool> cancelled_{false};
};

/// Stores the results of a run and their times.
class memory_sink final : public result_sink {
 public:
  explicit memory_sink(clock& time) : time_(time) {}

  std::vector<result> results;
  std::vector<time_point> put_at;
  std::uint64_t attempts = 0;
  std::uint64_t retries = 0;
  std::uint64_t lost = 0;
  std::vector<attempt_end> ends;
  std::uint64_t flushes = 0;
  std::exception_ptr put_fault;  ///< thrown by put() from result number `fault_from` on
  std::exception_ptr flush_fault;
  std::size_t fault_from = 0;
  std::exception_ptr record_fault;  ///< if set, records are needed, and every record() fails
  bool broken_records = false;      ///< every record() fails, whether it is needed or not
  std::exception_ptr ended_fault;   ///< thrown by attempt_ended() for an attempt that was not sent
  bool durable = false;
  std::function<void()> on_flush = [] {};
  /// If set, accepts or rejects each complete reply.
  std::function<reply_verdict(request&, const result&)> examiner;
  /// If set, answers reserve().
  std::function<funds(const request&)> purse;
  /// If set, answers may_send().
  std::function<bool(const attempt_record&)> permits;

  funds reserve(const request& next) override { return purse ? purse(next) : funds::reserved; }
  bool may_send(const attempt_record& attempt) override { return !permits || permits(attempt); }
  bool examines_replies() const override { return examiner != nullptr; }
  reply_verdict examine(request& asked, const result& finished) override {
    return examiner(asked, finished);
  }
  bool must_be_recorded() const override { return record_fault != nullptr; }
  void record(const std::function<void(std::exception_ptr)>& done) override {
    done(broken_records ? std::make_exception_ptr(std::runtime_error("broken")) : record_fault);
  }
  bool must_be_durable() const override { return durable; }
  void attempt_started(const attempt_record& attempt) override {
    ++attempts;
    if (attempt.number > 1) ++retries;
  }
  void attempt_ended(const attempt_record& attempt, attempt_end how) override {
    ends.push_back(how);
    if (how == attempt_end::lost) ++lost;
    if (how != attempt_end::unsent) return;
    if (ended_fault) std::rethrow_exception(ended_fault);
    --attempts;
    if (attempt.number > 1) --retries;
  }
  void put(result&& finished) override {
    if (put_fault && results.size() >= fault_from) std::rethrow_exception(put_fault);
    results.push_back(std::move(finished));
    put_at.push_back(time_.now());
  }
  void flush() override {
    ++flushes;
    on_flush();
    if (flush_fault) std::rethrow_exception(flush_fault);
  }

  std::map<std::string, int> times_by_id() const {
    std::map<std::string, int> times;
    for (const auto& one : results) ++times[one.custom_id];
    return times;
  }

 private:
  clock& time_;
};

}  // namespace sluice::test
