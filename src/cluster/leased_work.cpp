#include "cluster/leased_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "async/wait_queue.hpp"
#include "cluster/lease_watch.hpp"
#include "cluster/packed_requests.hpp"
#include "jobs/result_line.hpp"
#include "jobs/result_price.hpp"
#include "store/batch_record.hpp"

namespace sluice::cluster {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr duration after_failure = 500ms;     // pause before the next try to reach the database
constexpr std::size_t most_results = 2000;    // most results in one transaction
constexpr std::size_t most_resting = 4096;    // most requests that wait and take no place
constexpr std::size_t parts_of_unstored = 4;  // transactions that store options::most_unstored

// Passes requests from the event loop to the thread of the engine's reader.
class request_queue {
 public:
  void push(std::vector<request>&& more) {
    const std::lock_guard lock(mutex_);
    for (request& one : more) waiting_.push_back(std::move(one));
    changed_.notify_all();
  }
  /// Returns nothing if the queue is closed and empty, or was cancelled.
  std::optional<request> pop() {
    std::unique_lock lock(mutex_);
    waits_ = true;
    changed_.wait(lock, [this] { return cancelled_ || closed_ || !waiting_.empty(); });
    waits_ = false;
    if (cancelled_ || waiting_.empty()) return std::nullopt;
    request next = std::move(waiting_.front());
    waiting_.pop_front();
    return next;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  bool quiet() const {
    const std::lock_guard lock(mutex_);
    return waits_ && waiting_.empty() && !closed_ && !cancelled_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<request> waiting_;
  bool closed_ = false;
  bool cancelled_ = false;
  bool waits_ = false;
};

struct held_chunk {
  lease_key key;
  std::size_t job = 0;     // index of its job
  std::uint64_t open = 0;  // number of requests without a result
  bool has_budget = false;
  bool taking = true;     // its requests are still being unpacked
  bool lost = false;      // another worker has taken it over
  bool left = false;      // some of its requests stay pending
  chunk_changes changes;  // changes that are not stored yet
  time_point renewed{};
};

// A request that the engine has received.
struct open_request {
  std::shared_ptr<held_chunk> chunk;
  std::uint64_t line = 0;
  usd most;             // highest cost of an attempt
  usd reserved;         // reservation for the next attempt, or for the one in flight
  usd kept;             // reservations kept for attempts of unknown outcome
  bool denied = false;  // the budget has no money for it now
  bool asked = false;   // a request for money is pending
};

using request_key = std::pair<std::size_t, std::string>;

// The database may fail for some calls only: while its disk is full, it can still be read. `claim`:
// with the reservation for the lines of the chunk.
enum class call_kind : std::uint8_t { claim, commit };

}  // namespace

struct leased_work::parts {
  parts(setup given, options wanted) : with(std::move(given)), chosen(std::move(wanted)) {
    // So often that a slow machine does not take its own pauses for an outage.
    chosen.poll_interval = std::min<duration>(chosen.poll_interval, chosen.lease / 6);
  }

  setup with;
  options chosen;
  request_queue queue;
  std::map<job_id, std::size_t> job_index;
  std::deque<std::string> identities;                 // by index of the job; addresses stay valid
  std::vector<std::pair<job_id, std::string>> names;  // by index of the job
  std::map<job_id, std::string> given_up_jobs;        // with the reason
  std::set<std::string, std::less<>> given_up_models;
  // Chunks of which only requests for these models are left, or others that have no money.
  std::set<std::pair<job_id, std::int64_t>> skipped_chunks;
  std::size_t resting = 0;  // requests that wait before their next attempt
  mutable std::mutex identities_mutex;
  std::map<lease_key, std::shared_ptr<held_chunk>> held;
  std::set<std::size_t> succeeded;  // indexes of jobs with a success, at any worker
  std::map<request_key, open_request> open;
  lease_watch leases;
  job_id last_job = 0;
  std::uint64_t sequence = 0;
  totals sums;
  std::uint64_t unstored = 0;
  std::size_t waiting_bytes = 0;  // of results that are not stored yet
  end_reason reason = end_reason::none;
  std::string why;
  bool claiming = true;      // the worker leases more chunks
  bool claim_ended = false;  // claim_loop() has ended
  bool closing = false;      // the run has ended
  bool given_up = false;     // nothing more is stored
  bool complained = false;   // the user was informed that the database cannot be reached
  std::array<std::optional<time_point>, 2> away_since;  // by call_kind
  std::optional<time_point> close_by;                   // the end of the wait for the database
  std::vector<std::function<void(std::exception_ptr)>> to_tell;  // called after the next batch
  bool dirty = false;                                            // there are changes to store

  bool was_poor = false;       // the last claim got no money
  bool waits_for_end = false;  // all open lines are held by this worker
  wait_queue claimer;          // waits until there is room for more requests
  // Waits until the next claim; storing does not wake it.
  wait_queue poller;
  wait_queue storer;
  wait_queue idle;
  std::vector<request_key> want_money;

  // A request that waits takes no place, or those of one model that is out would take all places.
  bool is_full() const {
    const std::size_t at_rest = std::min({resting, open.size(), most_resting});
    return open.size() - at_rest >= chosen.in_hand || has_many_results();
  }
  bool has_many_results() const { return waiting_bytes > chosen.most_unstored; }
  bool is_given_up(const request& one) const {
    return given_up_models.contains(one.model) || given_up_jobs.contains(names.at(one.job).first);
  }
  std::string why_jobs_were_given_up() const {
    std::vector<std::string_view> all;
    for (const auto& [job, reason_of_it] : given_up_jobs) all.emplace_back(reason_of_it);
    return fmt::format("{}", fmt::join(all, "; "));
  }
  open_request* find(std::size_t job, std::string_view custom_id) {
    const auto found = open.find({job, std::string(custom_id)});
    return found == open.end() ? nullptr : &found->second;
  }
  std::size_t index_of(const job_record& job) {
    const std::lock_guard lock(identities_mutex);
    const auto [place, fresh] = job_index.try_emplace(job.id, identities.size());
    if (fresh) {
      identities.push_back(job.identity);
      names.emplace_back(job.id, job.name);
    }
    return place->second;
  }

  void end(end_reason by, std::string sentence) {
    if (reason != end_reason::none) return;
    reason = by;
    why = std::move(sentence);
  }
  void stop_claiming() {
    claiming = false;
    queue.close();
    claimer.wake_all();
    poller.wake_all();
    storer.wake_all();
  }
  void wait_at_most(duration patience) {
    const time_point by = with.time.now() + patience;
    close_by = std::min(close_by.value_or(by), by);
    idle.wake_all();
  }
  void changed() {
    if (!std::exchange(dirty, true)) storer.wake_all();
  }
  // The results are stored, or will never be.
  void forget(const chunk_changes& changes) {
    for (const new_result& one : changes.results) waiting_bytes -= one.line.text.size();
  }
  void drop(const std::shared_ptr<held_chunk>& chunk) {
    chunk->lost = true;
    forget(chunk->changes);
    chunk->changes = {};
    held.erase(chunk->key);
  }

  asio::awaitable<void> pause(wait_queue& line, duration how_long) {
    const auto timer = with.time.call_at(with.time.now() + how_long, [&line] { line.wake_all(); });
    co_await line.wait();
    with.time.cancel(timer);
  }

  std::optional<time_point>& away(call_kind call) {
    return away_since.at(static_cast<std::size_t>(call));
  }
  // Handles a call that the database did not answer. Returns false if the database has been away
  // for too long.
  bool may_try_again(call_kind call, const std::string& fault) {
    const time_point now = with.time.now();
    const time_point since = away(call).value_or(now);
    away(call) = since;
    if (!std::exchange(complained, true)) {
      with.say(severity::warning,
               fmt::format("{}; nothing new is sent until it answers again", fault));
    }
    const bool over = call == call_kind::commit && close_by && now >= *close_by;
    if (!over && now - since < chosen.give_up_after) return true;
    end(end_reason::database,
        fmt::format("the database has been away for {} s: {}",
                    std::chrono::duration_cast<std::chrono::seconds>(now - since).count(), fault));
    return false;
  }
  void answered(call_kind call) {
    away(call).reset();
    for (const auto& other : away_since) {
      if (other) return;
    }
    if (std::exchange(complained, false)) with.say(severity::info, "the database answers again");
  }
  void give_up() {
    if (std::exchange(given_up, true)) return;
    for (const auto& [key, chunk] : held) unstored += chunk->changes.results.size();
    stop_claiming();
    for (const auto& [key, chunk] : std::map(held)) drop(chunk);
    tell_all();
    with.stop_run();
    with.funds_changed();
  }
  void tell_all() {
    for (const auto& done : std::exchange(to_tell, {})) done(nullptr);
  }

  asio::awaitable<void> claim_loop();
  asio::awaitable<bool> claim_one();
  asio::awaitable<void> take(lease got);
  asio::awaitable<void> store_loop();
  asio::awaitable<void> store_batch();
  asio::awaitable<void> ask_for_money();
  change_batch next_batch(bool starts);
};

leased_work::leased_work(setup given, options chosen)
    : parts_(std::make_unique<parts>(std::move(given), std::move(chosen))) {}
leased_work::~leased_work() = default;

// Returns true if a chunk was leased, or if another claim may succeed at once.
asio::awaitable<bool> leased_work::parts::claim_one() {
  waits_for_end = false;
  claim_request wanted{.worker = chosen.worker,
                       .lease = chosen.lease,
                       .simulated = chosen.simulated,
                       .after = last_job,
                       .held = {},
                       .relieve_first = was_poor};
  const time_point begun = with.time.now();
  leases.ask(wanted, begun);
  bool may_return = false;  // lines that are held here may go back to the queue for lack of money
  for (const auto& [key, chunk] : held) {
    wanted.held.push_back(key);
    may_return = may_return || chunk->has_budget;
  }
  for (const auto& [job, why_not] : given_up_jobs) wanted.skipped_jobs.push_back(job);
  wanted.skipped_chunks.assign(skipped_chunks.begin(), skipped_chunks.end());
  std::optional<claim_answer> answer;
  std::string fault;
  try {
    answer = co_await with.threads.run([&] { return with.store.claim(wanted); });
  } catch (const store::store_error& error) {
    fault = error.what();
  } catch (const other_version& error) {
    end(end_reason::version, error.what());
    give_up();
    co_return false;
  }
  if (!answer) {
    if (!may_try_again(call_kind::claim, fault)) give_up();
    co_return false;
  }
  if (!answer->got) answered(call_kind::claim);  // otherwise take() calls the database, too
  leases.learn(wanted, *answer, begun, with.time.now());
  if (answer->got) {
    if (answer->relieved_attempts > 0) {
      sums.relieved += answer->relieved_attempts;
      with.say(severity::warning,
               fmt::format("{}: took over a chunk whose worker fell silent; {} attempt(s) that it "
                           "had in flight may have been billed",
                           answer->got->job.name, answer->relieved_attempts));
    }
    co_await take(std::move(*answer->got));
    co_return true;
  }
  const bool gave_up_some = !given_up_jobs.empty() || !given_up_models.empty();
  // A restart tries again what was given up, so not even forever does the worker wait then.
  if (answer->more_to_come || (chosen.forever && !gave_up_some)) co_return false;
  // All remaining lines are held here, or wait for money that cannot be freed.
  if (may_return) {
    waits_for_end = true;
    co_return false;
  }
  std::string sentence = why_jobs_were_given_up();
  if (!answer->exhausted.empty()) {
    sentence += fmt::format("{}the budget is used up: {}; give more with sluice enqueue --budget",
                            sentence.empty() ? "" : "; ", fmt::join(answer->exhausted, ", "));
  }
  if (!given_up_jobs.empty()) {
    end(end_reason::left_pending, std::move(sentence));
  } else if (!answer->exhausted.empty()) {
    end(end_reason::budget, std::move(sentence));
  }
  stop_claiming();
  co_return false;
}

// Unpacks the requests, reserves money for them, and gives them to the engine.
asio::awaitable<void> leased_work::parts::take(lease got) {
  last_job = got.key.job;
  auto chunk = std::make_shared<held_chunk>();
  chunk->key = got.key;
  chunk->job = index_of(got.job);
  chunk->has_budget = got.job.budget.has_value();
  chunk->renewed = with.time.now();
  held[chunk->key] = chunk;
  const auto release = [&] {
    chunk->changes.release = true;
    changed();
  };
  std::vector<request> requests;
  std::vector<line_reserve> wanted;
  std::string fault;
  bool unbounded = false;
  bool skipped = false;  // some lines are left to other workers
  const auto models = given_up_models;
  std::optional<reserve_answer> reserved;
  try {
    co_await with.threads.run([&] {
      for (request& one : unpack(got.requests, got.first, got.last)) {
        if (std::ranges::binary_search(got.finished, one.line)) continue;
        if (models.contains(one.model)) {
          skipped = true;
          continue;
        }
        const auto before = got.attempts.find(one.line);
        if (before != got.attempts.end()) one.attempts = before->second;
        if (chunk->has_budget) {
          if (const auto none = set_cost_bound(one, with.prices, std::nullopt, chosen.bounds)) {
            fault = fmt::format("{} line {}: {}", got.job.name, one.line, none->why);
            unbounded = true;
            return;
          }
          wanted.push_back({one.line, one.most});
        }
        requests.push_back(std::move(one));
      }
      // The chunk must not wait for money that its skipped lines may not need. So it is not split,
      // and goes back to the queue with the lines that get none.
      if (!wanted.empty()) reserved = with.store.reserve(chunk->key, wanted, !skipped);
    });
  } catch (const store::store_error& error) {
    fault = error.what();
  } catch (const other_version& error) {
    end(end_reason::version, error.what());
    give_up();
    co_return;
  }
  if (!fault.empty()) {
    release();
    if (unbounded) {
      with.say(severity::warning, fault);
      end(end_reason::unbounded, fault);
      stop_claiming();
    } else if (may_try_again(call_kind::claim, fault)) {
      co_await pause(poller, chosen.poll_interval);
    } else {
      give_up();
    }
    co_return;
  }
  answered(call_kind::claim);
  if (chunk->lost) co_return;
  bool poor = false;
  if (reserved) {
    if (reserved->lost) co_return drop(chunk);
    poor = reserved->lines == 0;
    requests.resize(reserved->lines);
    if (poor && skipped) skipped_chunks.emplace(chunk->key.job, chunk->key.chunk);
  }
  const bool poor_before = std::exchange(was_poor, poor);
  if (poor) {
    release();
    // The next claim may get a chunk of another job that has money.
    if (poor_before) co_await pause(poller, chosen.poll_interval);
    co_return;
  }
  if (!claiming || given_up_jobs.contains(got.job.id)) co_return release();
  if (requests.empty()) {
    if (skipped) skipped_chunks.emplace(chunk->key.job, chunk->key.chunk);
    co_return release();
  }
  chunk->left = skipped;
  ++sums.chunks;
  const auto is_here = [&](const request& one) {
    return open.contains({chunk->job, one.custom_id});
  };
  // This worker had lost the chunk, and leased it again before its old requests were dropped.
  if (std::ranges::any_of(requests, is_here)) {
    job_index.erase(got.job.id);
    chunk->job = index_of(got.job);
  }
  if (got.had_success) succeeded.insert(chunk->job);
  for (request& one : requests) {
    one.job = chunk->job;
    ++chunk->open;
    open_request entry;
    entry.chunk = chunk;
    entry.line = one.line;
    entry.most = entry.reserved = one.most;
    open.emplace(request_key{one.job, one.custom_id}, std::move(entry));
  }
  chunk->taking = false;
  queue.push(std::move(requests));
}

asio::awaitable<void> leased_work::parts::claim_loop() {
  while (claiming) {
    if (is_full()) {
      away(call_kind::claim).reset();  // no claim is waiting
      co_await claimer.wait();
      continue;
    }
    const bool again = co_await claim_one();
    if (claiming && !again) co_await pause(poller, chosen.poll_interval);
  }
  claim_ended = true;
  storer.wake_all();
}

// Collects the changes of all chunks, up to the limits of one transaction, and the leases to renew.
// Without `starts`, the records of attempts wait for a later transaction.
change_batch leased_work::parts::next_batch(bool starts) {
  change_batch batch{chosen.worker, sequence + 1, chosen.lease, {}};
  const std::size_t most_bytes = chosen.most_unstored / parts_of_unstored;
  const time_point now = with.time.now();
  std::size_t results = 0;
  std::size_t bytes = 0;
  dirty = false;
  for (const auto& [key, chunk] : held) {
    chunk_changes& all = chunk->changes;
    if (all.empty() && !all.release && now - chunk->renewed < chosen.lease / 3) continue;
    chunk_changes part;
    part.key = key;
    if (starts) part.started = std::exchange(all.started, {});
    part.ended = std::exchange(all.ended, {});
    std::size_t taken = 0;
    while (taken < all.results.size() && results < most_results && bytes < most_bytes) {
      ++results;
      bytes += all.results[taken++].line.text.size();
    }
    const auto end = all.results.begin() + static_cast<std::ptrdiff_t>(taken);
    std::move(all.results.begin(), end, std::back_inserter(part.results));
    all.results.erase(all.results.begin(), end);
    if (all.results.empty() && all.started.empty()) {
      part.release = all.release;
    } else {
      dirty = true;
    }
    batch.chunks.push_back(std::move(part));
  }
  return batch;
}

// Stores one batch, and repeats the call until the database answers. A different batch could not be
// sent, because it would be unknown whether this one was stored.
asio::awaitable<void> leased_work::parts::store_batch() {
  // While too many results wait, no attempt gets its record, so none is sent.
  const bool starts = !has_many_results();
  const change_batch batch = next_batch(starts);
  const auto waiting = starts ? std::exchange(to_tell, {}) : decltype(to_tell){};
  const auto tell = [&] {
    for (const auto& done : waiting) done(nullptr);
  };
  if (batch.chunks.empty()) co_return tell();
  std::optional<commit_answer> answer;
  while (!answer) {
    std::string fault;
    const time_point begun = with.time.now();
    try {
      answer = co_await with.threads.run([&] { return with.store.commit(batch); });
    } catch (const store::store_error& error) {
      fault = error.what();
    } catch (const other_version& error) {
      end(end_reason::version, error.what());
      fault.clear();
      break;
    }
    if (answer) {
      leases.learn_time(answer->now, batch.lease, begun, with.time.now());
      break;
    }
    if (!may_try_again(call_kind::commit, fault)) break;
    co_await pause(idle, after_failure);
  }
  for (const chunk_changes& one : batch.chunks) forget(one);
  if (!answer) {
    for (const chunk_changes& one : batch.chunks) unstored += one.results.size();
    give_up();
    co_return tell();
  }
  answered(call_kind::commit);
  ++sequence;
  const time_point now = with.time.now();
  for (const chunk_changes& one : batch.chunks) {
    const auto found = held.find(one.key);
    if (found == held.end()) continue;
    const auto chunk = found->second;
    chunk->renewed = now;
    const bool ended = one.release || (chunk->open == 0 && !chunk->taking);
    if (std::ranges::find(answer->lost, one.key) != answer->lost.end()) {
      // If the batch was already stored by an earlier call, a chunk that it completed is also
      // reported as lost.
      if (!ended) {
        ++sums.lost_chunks;
        with.say(severity::warning,
                 "a chunk was taken over by another worker, since this one fell silent; what it "
                 "still has in flight of it does not count");
      }
      drop(chunk);
    } else if (one.release || (ended && chunk->changes.empty() && !chunk->changes.release)) {
      drop(chunk);  // unless it has changed meanwhile
    }
  }
  tell();
  with.funds_changed();
  claimer.wake_all();
  if (held.empty() && std::exchange(waits_for_end, false)) poller.wake_all();
}

// Asks for money for requests with a kept reservation after a lost attempt. A request that gets no
// money does not wait here. It goes back to the queue with its chunk. If it waited, the money
// reserved for its chunk would never be freed, nor the money for chunks of dead workers that this
// worker could take over.
asio::awaitable<void> leased_work::parts::ask_for_money() {
  const auto wanted = std::exchange(want_money, {});
  for (const request_key& key : wanted) {
    const auto found = open.find(key);
    if (found == open.end() || found->second.chunk->lost) continue;
    const lease_key chunk = found->second.chunk->key;
    const line_reserve line{found->second.line, found->second.most};
    std::optional<reserve_answer> answer;
    try {
      answer = co_await with.threads.run([&] { return with.store.reserve(chunk, {line}, false); });
    } catch (const store::store_error&) {
      // The money may have been reserved. Releasing the chunk also releases that reservation.
    }
    const auto again = open.find(key);
    if (again == open.end()) continue;
    open_request& one = again->second;
    one.asked = false;
    if (answer && answer->lost) {
      drop(one.chunk);
    } else if (answer && answer->lines == 1) {
      one.reserved = one.most;
    } else {
      one.denied = true;
    }
  }
  with.funds_changed();
}

asio::awaitable<void> leased_work::parts::store_loop() {
  for (;;) {
    if (given_up) co_return;
    if (closing && claim_ended && !dirty && to_tell.empty() && held.empty()) co_return;
    if (!dirty && to_tell.empty() && want_money.empty()) {
      // Short enough that a lease is renewed before half of its length has passed.
      co_await pause(storer, chosen.lease / 12);
    } else if (!closing && chosen.gather > duration{}) {
      co_await pause(idle, chosen.gather);
    }
    if (given_up) co_return;
    co_await store_batch();  // first, because it may free money
    if (closing) want_money.clear();
    if (!want_money.empty() && !given_up) co_await ask_for_money();
  }
}

asio::awaitable<void> leased_work::work() {
  parts& mine = *parts_;
  std::size_t left = 2;
  wait_queue ended;
  const auto over = [&](const std::exception_ptr& fault) {
    if (fault) {
      try {
        std::rethrow_exception(fault);
      } catch (const std::exception& error) {
        mine.end(end_reason::database, error.what());
      }
      mine.give_up();
    }
    --left;
    ended.wake_all();
  };
  asio::co_spawn(mine.with.loop, mine.claim_loop(), over);
  asio::co_spawn(mine.with.loop, mine.store_loop(), over);
  while (left > 0) co_await ended.wait();
}

void leased_work::stop(duration patience) {
  parts_->end(end_reason::stopped, "");
  parts_->stop_claiming();
  parts_->wait_at_most(patience);
}

void leased_work::close(duration patience) {
  parts& mine = *parts_;
  if (!mine.given_up_jobs.empty())
    mine.end(end_reason::left_pending, mine.why_jobs_were_given_up());
  mine.stop_claiming();
  mine.wait_at_most(patience);
  for (const auto& [key, chunk] : mine.held) chunk->changes.release = true;
  mine.dirty = true;
  mine.closing = true;
  mine.storer.wake_all();
}

leased_work::end_reason leased_work::ended_by() const noexcept {
  return parts_->reason;
}
const std::string& leased_work::why() const noexcept {
  return parts_->why;
}
leased_work::totals leased_work::sums() const {
  totals all = parts_->sums;
  all.unstored = parts_->unstored;
  return all;
}

void leased_work::wait_began() {
  ++parts_->resting;
  parts_->claimer.wake_all();
}
void leased_work::wait_ended() {
  --parts_->resting;
}
bool leased_work::gave_up_job(std::size_t job, std::string_view why) {
  const auto& [id, name] = parts_->names.at(job);
  std::string& sentence = parts_->given_up_jobs[id];
  sentence = fmt::format("{}: {}", name, why);
  parts_->with.say(
      severity::warning,
      fmt::format("{}; this worker gives the job up and continues with others", sentence));
  return true;
}
void leased_work::gave_up_model(std::string_view model) {
  parts_->given_up_models.emplace(model);
}

std::optional<request> leased_work::next() {
  return parts_->queue.pop();
}
void leased_work::cancel() {
  parts_->queue.cancel();
}
std::string_view leased_work::identity(std::size_t job) const {
  const std::lock_guard lock(parts_->identities_mutex);
  return parts_->identities.at(job);
}
bool leased_work::had_success(std::size_t job, std::string_view model) const {
  return model.empty() && parts_->succeeded.contains(job);
}
bool leased_work::quiet() const {
  return parts_->queue.quiet();
}

funds leased_work::reserve(const request& next) {
  open_request* const one = parts_->find(next.job, next.custom_id);
  if (one == nullptr || one->chunk->lost || one->denied) return funds::never;
  if (!one->chunk->has_budget || one->reserved >= one->most) return funds::reserved;
  if (!std::exchange(one->asked, true)) {
    parts_->want_money.emplace_back(next.job, next.custom_id);
    parts_->storer.wake_all();
  }
  return funds::wait;
}

void leased_work::attempt_started(const attempt_record& attempt) {
  open_request* const one = parts_->find(attempt.job, attempt.custom_id);
  if (one == nullptr || one->chunk->lost) return;
  ++parts_->sums.attempts;
  const usd most = one->chunk->has_budget ? one->most : usd{};
  // The last attempt was recorded but not sent. Its number and its record are used again.
  const auto unsent =
      std::ranges::find_if(one->chunk->changes.ended, [&](const ended_attempt& other) {
        return other.line == one->line && other.number == attempt.number;
      });
  if (unsent != one->chunk->changes.ended.end()) {
    one->chunk->changes.ended.erase(unsent);
    return;
  }
  one->chunk->changes.started.push_back({one->line, attempt.number, most});
  parts_->changed();
}

void leased_work::record(const std::function<void(std::exception_ptr)>& done) {
  if (parts_->given_up) return done(nullptr);
  parts_->to_tell.push_back(done);
  parts_->storer.wake_all();
}

bool leased_work::may_send(const attempt_record& attempt) {
  const open_request* const one = parts_->find(attempt.job, attempt.custom_id);
  return !parts_->given_up && one != nullptr && !one->chunk->lost;
}

void leased_work::attempt_ended(const attempt_record& attempt, attempt_end how) {
  open_request* const one = parts_->find(attempt.job, attempt.custom_id);
  if (one == nullptr || one->chunk->lost) return;
  if (how == attempt_end::unsent && parts_->sums.attempts > 0) --parts_->sums.attempts;
  const usd most = one->chunk->has_budget ? one->most : usd{};
  one->chunk->changes.ended.push_back({one->line, attempt.number, how, most});
  if (one->chunk->has_budget && keeps_reservation(how)) {
    one->kept += one->most;
    one->reserved = usd{};
  }
  parts_->changed();
}

void leased_work::left_pending(const request& left) {
  const auto found = parts_->open.find({left.job, left.custom_id});
  if (found == parts_->open.end()) return;
  const auto chunk = found->second.chunk;
  const bool denied = found->second.denied;
  parts_->open.erase(found);
  parts_->claimer.wake_all();
  if (chunk->lost) return;
  chunk->left = true;
  if (--chunk->open == 0) {  // all other requests of the chunk have their results
    chunk->changes.release = true;
    parts_->changed();
  }
  if (denied || parts_->closing || !parts_->claiming) return;
  if (parts_->is_given_up(left)) return;
  parts_->end(end_reason::left_pending, "");  // the run has stopped
  parts_->stop_claiming();
}

void leased_work::put(result&& finished) {
  const auto found = parts_->open.find({finished.job, finished.custom_id});
  if (found == parts_->open.end()) return;
  open_request one = std::move(found->second);
  parts_->open.erase(found);
  parts_->claimer.wake_all();
  if (one.chunk->lost) return;
  const bool succeeded = finished.outcome.has_value();
  const result_price priced = price_of(finished, parts_->with.prices);
  const usd cost = priced.cost.value_or(usd{});
  new_result stored;
  if (one.chunk->has_budget && succeeded) {
    stored.most = one.reserved;
    if (!priced.settles && one.most > cost) {
      stored.kept = one.most;
      stored.kept -= cost;
    }
  } else if (one.chunk->has_budget) {
    stored.most = one.reserved;
  }
  stored.cost = cost;
  std::string text = result_line(finished, priced.cost, parts_->chosen.simulated,
                                 one.kept + stored.kept, priced.cache_saved);
  text.pop_back();
  parts_->waiting_bytes += text.size();
  stored.line = {one.line, succeeded, std::move(text)};
  ++(succeeded ? parts_->sums.succeeded : parts_->sums.failed);
  parts_->sums.cost += cost;
  if (succeeded) {
    const reply& whole = *finished.outcome;
    const auto& used = whole.usage ? whole.usage : whole.estimated_usage;
    if (used) parts_->sums.tokens += static_cast<std::uint64_t>(used->total_tokens());
  }
  if (--one.chunk->open == 0 && one.chunk->left) one.chunk->changes.release = true;
  one.chunk->changes.results.push_back(std::move(stored));
  parts_->changed();
}

}  // namespace sluice::cluster
