#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice {

/// One source and one sink for several engines that work on a job together. Thread safe: each
/// engine has a member, and uses it as its own source and sink.
///
/// The source gives each request to one member. The sink sees one call at a time, as from one
/// event loop. A member takes requests only while it has fewer than twice as many unfinished ones
/// as it may have in flight. So at the end of the job no member has many left while others have
/// none. Requests that wait before their next attempt do not count, since they need others: a
/// failure is judged by the requests after it. Each member knows which models have answered the
/// others.
class joint_job {
 public:
  /// `in_flight`: how many requests an engine may have in flight.
  joint_job(request_source& source, result_sink& sink, std::size_t in_flight)
      : source_(source), sink_(sink), in_flight_(in_flight) {}
  joint_job(const joint_job&) = delete;
  joint_job& operator=(const joint_job&) = delete;

  /// The job as one of the engines sees it. It must outlive the run of this engine.
  class member;
  /// `funds_changed` is called on any thread: result_sink::reserve() may now give another answer.
  std::unique_ptr<member> add(std::function<void()> funds_changed);

  /// Sets another number of requests that an engine may have in flight.
  void set_in_flight(std::size_t each) { in_flight_.store(each); }

  /// While the lock is held, no member uses the sink.
  std::unique_lock<std::recursive_mutex> hold() { return std::unique_lock(mutex_); }

 private:
  void note_success(const result& finished);

  request_source& source_;
  result_sink& sink_;
  std::atomic<std::size_t> in_flight_;
  std::mutex reading_;  // one next() at a time; it may block
  // For all other calls. Recursive, since a sink may call back at once, and the engine then may use
  // the sink.
  std::recursive_mutex mutex_;
  std::vector<member*> members_;
  // The models that have answered in this run, by job.
  std::map<std::size_t, std::set<std::string, std::less<>>> answered_;
};

class joint_job::member final : public request_source, public result_sink {
 public:
  member(joint_job& job, std::function<void()> funds_changed);
  member(const member&) = delete;
  member& operator=(const member&) = delete;
  ~member() override;

  std::optional<request> next() override;
  void cancel() override;
  void wait_began() override;
  void wait_ended() override;
  std::string_view identity(std::size_t job) const override { return job_.source_.identity(job); }
  std::size_t jobs() const override;
  bool has_several_models() const override;
  bool had_success(std::size_t job, std::string_view model) const override;
  void look_ahead(std::size_t job, std::size_t count,
                  const std::function<void(std::vector<request>)>& done) override;

  funds reserve(const request& next) override;
  void unreserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  bool must_be_recorded() const override;
  void record(const std::function<void(std::exception_ptr)>& done) override;
  bool may_send(const attempt_record& attempt) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  bool wants_text() const override;
  void text(const attempt_record& attempt, std::string_view more) override;
  bool examines_replies() const override;
  reply_verdict examine(request& asked, const result& finished) override;
  void left_pending(const request& left) override;
  void put(result&& finished) override;
  void flush() override;
  bool must_be_durable() const override;
  void make_durable(const std::function<void(std::exception_ptr)>& done) override;
  void sync() override;

 private:
  void tell_the_others();
  std::size_t at_work() const;
  bool has_much_room() const;
  bool wait_for_room();
  void finished_one();

  joint_job& job_;
  std::function<void()> funds_changed_;
  bool waits_for_funds_ = false;

  std::mutex stock_;  // for the members below; no other lock is taken while it is held
  std::condition_variable room_;
  std::size_t unfinished_ = 0;  // requests that next() gave and that have no end yet
  std::size_t resting_ = 0;     // of these, the ones that wait before their next attempt
  bool waits_for_room_ = false;
  bool cancelled_ = false;
};

}  // namespace sluice
