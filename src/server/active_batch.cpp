#include "server/active_batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "server/batch_input.hpp"
#include "server/batch_results.hpp"
#include "server/object_id.hpp"
#include "server/server_figures.hpp"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using store::batch_status;

constexpr std::chrono::seconds wait_for_disk{5};

usd difference(usd from, usd less) {
  return from -= less;
}

// The part of the available money that a batch takes at a time, if other servers spend the same
// budget. It is small enough to leave money to the calls at other servers, and large enough for the
// requests of the next seconds. `needs`: the highest cost of one request.
usd share_of(usd available, usd needs) {
  constexpr int parts = 4;
  constexpr std::int64_t requests = 16;
  const usd part = usd::from_units(available.count() / parts);
  return std::max(usd{}, std::min(available, std::max(part, needs * requests)));
}

std::string words_of(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const std::exception& thrown) {
    return thrown.what();
  }
}

std::string why_stopped(const run_outcome& outcome) {
  const std::string said = outcome.message.empty() ? "" : " (" + outcome.message + ")";
  switch (outcome.reason) {
    case stop_reason::budget_spent:
      return "the budget of this key is used up" + said;
    case stop_reason::key_ended:
      return "the relay refuses the server's key" + said;
    case stop_reason::quota_spent:
      return "the quota of the server's key is used up" + said;
    case stop_reason::blocked:
      return "a gateway in front of the relay blocks this server" + said;
    case stop_reason::wrong_address:
      return "the server's --base-url is not the address of a relay" + said;
    case stop_reason::bad_certificate:
      return "the relay's certificate cannot be verified" + said;
    case stop_reason::bad_proxy:
      return "the proxy refuses the server" + said;
    case stop_reason::unreachable:
      return "the relay cannot be reached" + said;
    case stop_reason::come_back_later:
      return "the relay asks for a long wait" + said;
    case stop_reason::model_out:
      return "the relay has no upstream for a model" + said;
    case stop_reason::none:
    case stop_reason::interrupted:
    case stop_reason::relay_down:
    case stop_reason::refused_alike:
      break;
  }
  return "the relay does not answer requests" + said;
}

}  // namespace

batch_runner::active_batch::active_batch(batch_runner& owner, store::claim held,
                                         store::batch_record record, claim_kind claimed_as)
    : parent_(owner),
      claim_(std::move(held)),
      only_ends_(claimed_as == claim_kind::ending),
      batch_(std::move(record)),
      owner_name_(batch_.owner),
      next_wait_(owner.options_.first_wait) {
  if (only_ends_) {
    parent_.money_.begin_end(owner_name_, *this);
  } else {
    parent_.money_.begin_batch(owner_name_, *this);
  }
}

batch_runner::active_batch::~active_batch() {
  parent_.money_.end_batch(owner_name_, *this);
  parent_.engine_.time().cancel(save_timer_);
  parent_.engine_.time().cancel(expiry_timer_);
}

// Returns nothing if the keys file no longer has the key.
std::optional<client_key> batch_runner::active_batch::key_of_owner() const {
  const client_key* key = parent_.keys_.named(owner_name_);
  return key == nullptr ? std::nullopt : std::optional(*key);
}

std::int64_t batch_runner::active_batch::unix_now() const {
  return static_cast<std::int64_t>(parent_.engine_.time().unix_now());
}

// Whatever happens, the folder is closed in the background: it waits for its last call to the
// store.
asio::awaitable<void> batch_runner::active_batch::work() {
  watch_expiry();
  std::exception_ptr fault;
  try {
    co_await take_steps();
  } catch (...) {
    fault = std::current_exception();
  }
  if (fault) {
    while (holds_ > 0) co_await moved_.wait();
    money_.reset();
    run_.reset();
    // The job uses the folder.
    co_await parent_.disk_.run([this] { jobs_.reset(); });
  }
  co_await close_folder();
  if (fault) std::rethrow_exception(fault);
}

asio::awaitable<void> batch_runner::active_batch::take_steps() {
  for (;;) {
    std::optional<step> taken;
    try {
      taken = co_await take_step();
    } catch (const store::store_error& fault) {
      if (parent_.figures_ != nullptr) parent_.figures_->store_failed();
      waits_ = fault.what();
    } catch (const fatal_error& fault) {
      waits_ = fault.what();
    }
    if (taken) {
      if (*taken == step::done) co_return;
      continue;
    }
    parent_.say(severity::warning, batch_.id, waits_);
    if (ended_by_ == ended_by::server) co_return;
    co_await wait_for(wait_for_disk);
  }
}

asio::awaitable<batch_runner::active_batch::step> batch_runner::active_batch::take_step() {
  auto now = co_await parent_.disk_.run([this] { return parent_.records_.claimed(claim_); });
  if (!now || store::has_ended(now->status)) co_return step::done;
  if (ended_by_ == ended_by::server) {
    co_await release();
    co_return step::done;
  }
  batch_ = *std::move(now);
  if (closed_) batch_.progress = *closed_;  // the store may not have it yet
  if (parent_.folder_.shared() != nullptr && !files_) co_await open_folder();
  if (batch_.end) co_return co_await finish();
  if (batch_.status == batch_status::cancelling)
    co_return co_await decide_end(batch_status::cancelled);
  if (batch_.expires_at <= unix_now()) co_return co_await decide_end(batch_status::expired);
  if (only_ends_) {  // the clock was set back, and its window has not ended
    co_await release();
    co_return step::done;
  }
  if (batch_.status == batch_status::validating) co_return co_await validate();
  co_return co_await send();
}

asio::awaitable<void> batch_runner::active_batch::release() {
  // Close the folder before the release: its changes must reach the store while this server holds
  // the claim.
  co_await close_folder();
  co_await parent_.disk_.run([this] { parent_.records_.release(claim_); });
}

// Copies to this machine what other servers have stored of the batch.
asio::awaitable<void> batch_runner::active_batch::open_folder() {
  auto opened = co_await parent_.disk_.run([this] {
    data_folder& folder = parent_.folder_;
    if (!folder.disk().exists(folder.batch_input(batch_.id)) &&
        !folder.take_input(batch_.input_file_id, batch_.id)) {
      throw store::store_error(fmt::format("{}: its bytes are gone", batch_.input_file_id));
    }
    return std::make_unique<shared_batch>(*folder.shared(), claim_, folder.batch(batch_.id),
                                          data_folder::input_name, shared_batch::options{});
  });
  files_ = std::move(opened);
}

asio::awaitable<void> batch_runner::active_batch::close_folder() {
  if (!files_) co_return;
  co_await parent_.disk_.run([this] { files_.reset(); });
}

file_system& batch_runner::active_batch::disk() {
  return files_ ? static_cast<file_system&>(*files_) : parent_.folder_.disk();
}

asio::awaitable<batch_runner::active_batch::step> batch_runner::active_batch::validate() {
  // Copies the key, because the keys may change while the lines are read.
  const auto key = key_of_owner();
  input_rules rules{
      .target = endpoint::chat_completions,
      .most_lines = parent_.options_.most_lines,
      .most_line_bytes = parent_.options_.lines.max_line_bytes,
      .bounded_by = key && key->budget ? &parent_.prices_ : nullptr,
      .defaults = {parent_.options_.output.assume_max_tokens, parent_.options_.output.tier_default},
      .lines = parent_.options_.lines,
      .may_use = [key](std::string_view model) { return !key || key->may_use(model); }};
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    if (batch_.endpoint == to_string(target)) rules.target = target;
  }
  bool failed = false;
  co_await parent_.disk_.run([&] {
    const auto input = check_input(parent_.folder_.batch_input(batch_.id), rules);
    if (input.errors.empty()) {
      parent_.records_.accept_lines(claim_, input.lines, unix_now());
    } else {
      if (parent_.options_.announce_ends) parent_.records_.announce(claim_, unix_now());
      failed = parent_.records_.refuse_lines(claim_, input.errors, unix_now());
      if (failed) remove_files();
    }
  });
  if (failed) note_end(batch_status::failed);
  co_return step::next;
}

asio::awaitable<batch_runner::active_batch::step> batch_runner::active_batch::send() {
  if (!key_of_owner()) {
    // Without its key the batch has no budget, so no money may be spent on it.
    waits_ = "its key is not in the keys file any more";
    co_await wait_for_next_try(parent_.options_.first_wait);
    waits_.clear();
    co_return step::next;
  }
  co_await open_job();
  const run_outcome outcome = co_await run_job();
  const bool more = may_get_more(outcome);
  co_await close_job(outcome);
  if (outcome.reason == stop_reason::none) co_return co_await decide_end(batch_status::completed);
  if (ended_by_ == ended_by::cancel) co_return co_await decide_end(batch_status::cancelled);
  if (ended_by_ == ended_by::expiry) co_return co_await decide_end(batch_status::expired);
  if (ended_by_ == ended_by::server || more) co_return step::next;
  waits_ = outcome.reason == stop_reason::interrupted ? outcome.message : why_stopped(outcome);
  duration wait = next_wait_;
  if (outcome.again_at) {
    const double seconds = *outcome.again_at - parent_.engine_.time().unix_now();
    wait = std::max(wait, std::chrono::duration_cast<duration>(
                              std::chrono::duration<double>(std::clamp(seconds, 0.0, 86400.0))));
  }
  next_wait_ = std::min(next_wait_ * 2, parent_.options_.longest_wait);
  parent_.say(severity::warning, batch_.id,
              fmt::format("{}; next try in {} s", waits_,
                          std::chrono::duration_cast<std::chrono::seconds>(wait).count()));
  co_await wait_for_next_try(wait);
  waits_.clear();
  co_return step::next;
}

// Opens the job. Its lines were checked before, so they cannot be the cause of an error here. After
// an error the batch waits.
asio::awaitable<void> batch_runner::active_batch::open_job() {
  closed_.reset();
  const auto key = key_of_owner();
  const bool shares = parent_.options_.shares_store;
  const usd calls = co_await parent_.money_.taken_by_calls(owner_name_);
  std::optional<job_money> money;
  const usd needs = needs_;
  auto opened = co_await parent_.disk_.run([&] {
    output_options output = parent_.options_.output;
    output.output_file = parent_.folder_.batch_output(batch_.id);
    // Another server that continues the batch must know which requests are in flight and which have
    // ended. A server that has lost the batch must not send anything.
    if (files_) output.durable = durability::each;
    if (key && key->budget) {
      money.emplace();
      money->budget = *key->budget;
      money->limit = money->budget;
      if (!shares) {
        money->others = parent_.records_.spent_by_others(owner_name_, batch_.id);
        money->limit -= std::min(money->limit, money->others + calls);
      }
      output.budget = money->limit;
    }
    auto job =
        std::make_unique<job_set>(std::vector<std::string>{parent_.folder_.batch_input(batch_.id)},
                                  parent_.options_.lines, output, parent_.prices_, disk());
    if (money && shares) {
      // It may spend only what it has spent before, until the store has more.
      const usd spent = difference(money->limit, job->budget_left());
      money->elsewhere = job->budget_left();
      const auto stored = store_more(progress_of(job->totals(0)), spent, *money, needs);
      money->elsewhere = difference(money->limit, stored.may_spend);
      money->available = stored.available;
      job->spent_elsewhere(money->elsewhere);
    }
    return job;
  });
  jobs_ = std::move(opened);
  money_ = money;
  if (!shares) spent_elsewhere(difference(parent_.money_.taken_now(owner_name_), calls));
  for (const auto& warning : jobs_->warnings()) {
    parent_.say(severity::warning, batch_.id, warning);
  }
}

asio::awaitable<run_outcome> batch_runner::active_batch::run_job() {
  jobs_->set_rate_limit(parent_.engine_.requests_per_minute());
  run_ = std::make_unique<engine_run>(parent_.engine_, *jobs_, *jobs_, batch_.id,
                                      parent_.limit_of(owner_name_));
  run_began_ = parent_.engine_.time().now();
  if (parent_.figures_ != nullptr) {
    parent_.figures_->batch_began(batch_.id, owner_name_, jobs_->totals(0),
                                  parent_.engine_.time().unix_now());
  }
  counted_ = true;  // from the first run on, the store may be behind these counts
  keep_saving();
  if (ended_by_ != ended_by::nothing) run_->stop();
  run_outcome outcome;
  std::exception_ptr fault;
  try {
    outcome = co_await run_->work();
  } catch (...) {
    fault = std::current_exception();
  }
  parent_.engine_.time().cancel(std::exchange(save_timer_, 0));
  while (saving_) co_await saved_.wait();
  if (fault) {
    // close_job() writes the results that are in memory before anything else happens.
    outcome = {stop_reason::interrupted, words_of(fault), {}};
  }
  co_return outcome;
}

// Writes the remaining results. If the disk is full or broken, it tries again until they are in
// files and on the disk.
asio::awaitable<void> batch_runner::active_batch::close_job(const run_outcome& outcome) {
  while (holds_ > 0) co_await moved_.wait();
  const double seconds =
      std::chrono::duration<double>(parent_.engine_.time().now() - run_began_).count();
  const std::uint64_t most = run_->now().most_in_a_minute;
  run_.reset();
  if (parent_.figures_ != nullptr) {
    parent_.figures_->batch_stopped(batch_.id, jobs_->totals(0), parent_.engine_.time().unix_now());
  }
  // Only one thread may use a job set at a time. From here on it is used in the background.
  batch_.progress = progress_now();
  auto finished = std::move(jobs_);
  const auto status =
      outcome.reason == stop_reason::none ? job_status::completed : job_status::interrupted;
  for (;;) {
    std::string fault;
    co_await parent_.disk_.run([&] {
      try {
        finished->finish(status, seconds, most);
      } catch (const fatal_error& thrown) {
        fault = thrown.what();
      }
    });
    if (fault.empty()) {
      closed_ = progress_of(finished->totals(0));
      break;
    }
    waits_ = fault;
    parent_.say(severity::warning, batch_.id, fault);
    const bool is_written = finished->unwritten() == 0 && !finished->lacks_sync();
    if (is_written || ended_by_ == ended_by::server) break;
    if (files_ && files_->is_lost()) break;
    co_await wait_for(wait_for_disk);
  }
  batch_.progress = progress_of(finished->totals(0));
  co_await parent_.disk_.run([&] { finished.reset(); });
  co_await save_progress();
}

bool batch_runner::active_batch::has_job() {
  const data_folder& folder = parent_.folder_;
  return disk().exists(folder.batch_output(batch_.id)) ||
         disk().exists(folder.batch_errors(batch_.id)) ||
         disk().exists(folder.batch_state(batch_.id));
}

// Before the batch ends, its files must be complete, and its results counted. If the server that
// ran the job died, neither is true: opening the job repairs the files and counts the results and
// the attempts that were in flight. Needs neither the key nor prices, because nothing is sent.
asio::awaitable<void> batch_runner::active_batch::require_closed_job() {
  if (closed_) co_return;
  std::optional<store::batch_progress> counted;
  co_await parent_.disk_.run([&] {
    if (!has_job()) return;
    output_options output = parent_.options_.output;
    output.output_file = parent_.folder_.batch_output(batch_.id);
    output.changed = on_change::keep;  // a result stays, whatever the settings are now
    if (files_) output.durable = durability::each;
    job_set job({parent_.folder_.batch_input(batch_.id)}, parent_.options_.lines, output,
                parent_.prices_, disk());
    job.finish(job_status::interrupted, 0, 0);
    counted = progress_of(job.totals(0));
    parent_.records_.save_progress(claim_, *counted);
  });
  closed_ = counted ? *counted : batch_.progress;
  batch_.progress = *closed_;
  counted_ = true;
}

asio::awaitable<batch_runner::active_batch::step> batch_runner::active_batch::decide_end(
    batch_status ending) {
  co_await require_closed_job();
  const store::finalizing how{ending, new_object_id("file-"), new_object_id("file-")};
  co_await parent_.disk_.run([&] { parent_.records_.begin_finalizing(claim_, how, unix_now()); });
  co_return step::next;
}

asio::awaitable<batch_runner::active_batch::step> batch_runner::active_batch::finish() {
  co_await require_closed_job();
  bool ended = false;
  co_await parent_.disk_.run([&] {
    const auto made = make_result_files(parent_.folder_, batch_);
    const std::int64_t now = unix_now();
    const auto record = [&](const std::optional<std::uint64_t>& bytes, const std::string& id,
                            std::string_view kind) -> std::optional<store::file_record> {
      if (!bytes) return std::nullopt;
      std::optional<std::int64_t> expires_at;
      if (batch_.output_expires_after) expires_at = now + *batch_.output_expires_after;
      return store::file_record{
          id,  owner_name_, fmt::format("{}_{}.jsonl", batch_.id, kind), "batch_output", *bytes,
          now, expires_at};
    };
    const store::finished_batch end{batch_.progress,
                                    record(made.output_bytes, batch_.end->output_file_id, "output"),
                                    record(made.error_bytes, batch_.end->error_file_id, "error")};
    if (parent_.options_.announce_ends) parent_.records_.announce(claim_, now);
    ended = parent_.records_.finish(claim_, end, now);
    if (ended) remove_files();
  });
  if (ended) note_end(batch_.end->ending);
  parent_.say(severity::info, batch_.id,
              fmt::format("{}: {} of {} requests succeeded, {} failed; ${}",
                          store::name_of(batch_.end->ending), batch_.progress.counts.completed,
                          batch_.progress.counts.total, batch_.progress.counts.failed,
                          batch_.progress.cost.to_string()));
  co_return step::done;
}

// Removes the files of the batch after its end. An error must not hide the end. What it leaves is
// removed later, by data_folder::sweep() or remove_stale_copies(). Blocks.
void batch_runner::active_batch::remove_files() {
  try {
    parent_.folder_.remove_batch(batch_.id, batch_.input_file_id);
  } catch (const store::store_error&) {
  }
}

std::optional<usd> batch_runner::active_batch::left() const {
  return jobs_ ? std::optional(jobs_->budget_left()) : std::nullopt;
}

void batch_runner::active_batch::spent_elsewhere(usd amount) {
  if (!money_) return;
  jobs_->spent_elsewhere(amount);
  money_->elsewhere += amount;
}

// The job may not use the amount any more. may_spend() stays as it is, so the amount counts as
// spent when the batch is stored.
void batch_runner::active_batch::hold(usd amount) {
  ++holds_;
  if (money_) jobs_->spent_elsewhere(amount);
}

void batch_runner::active_batch::end_hold(usd amount, bool moved) {
  if (money_ && moved) {
    money_->elsewhere += amount;
  } else if (money_) {
    jobs_->spent_elsewhere(difference({}, amount));
  }
  if (--holds_ == 0) moved_.wake_all();
}

usd batch_runner::active_batch::job_money::may_spend() const {
  return difference(limit, elsewhere);
}

usd batch_runner::active_batch::spent_and_reserved() const {
  return difference(money_->may_spend(), jobs_->budget_left());
}

// Returns whether the run has stopped because the job may not spend more, although the budget of
// its key has more.
bool batch_runner::active_batch::may_get_more(const run_outcome& outcome) {
  if (outcome.reason != stop_reason::budget_spent || !money_) return false;
  const auto lacks = jobs_->shortage();
  if (!lacks) return false;
  needs_ = std::max(needs_, lacks->most);
  return parent_.options_.shares_store &&
         difference(money_->available, spent_and_reserved()) >= lacks->most;
}

// Stores the amount that the job may spend, and returns it: at least the amount that it may spend
// already. `used`: the part of it that is spent or reserved. Blocks.
batch_runner::active_batch::stored_amount batch_runner::active_batch::store_more(
    store::batch_progress progress, usd used, const job_money& money, usd needs) {
  const auto available = [&] {
    // Money moves from batches to calls, so the batches are read first: see key_funds.
    usd left = difference(money.budget, parent_.records_.spent_by_others(owner_name_, batch_.id));
    return left -= parent_.records_.add_call_spend(owner_name_, {});
  };
  const usd before = money.may_spend();
  stored_amount amount{before, available()};
  const usd more = used + share_of(difference(amount.available, used), needs);
  progress.spent = std::max(before, more);
  if (!parent_.records_.save_progress(claim_, progress) || more <= before) return amount;
  // Others may have taken money meanwhile. From here on they see this amount.
  amount.available = available();
  amount.may_spend = std::max(before, std::min(more, amount.available));
  if (amount.may_spend < more) {
    progress.spent = amount.may_spend;
    parent_.records_.save_progress(claim_, progress);
  }
  return amount;
}

store::batch_progress batch_runner::active_batch::progress_now() const {
  return jobs_ ? progress_of(jobs_->totals(0)) : batch_.progress;
}

asio::awaitable<void> batch_runner::active_batch::save_progress() {
  auto progress = progress_now();
  const bool pays = jobs_ && money_;
  const bool shares = pays && parent_.options_.shares_store;
  usd used;
  if (pays) {
    used = spent_and_reserved();
    progress.spent = used;
  }
  if (shares) {
    if (const auto lacks = jobs_->shortage()) needs_ = std::max(needs_, lacks->most);
    const auto key = key_of_owner();
    money_->budget = key ? key->budget.value_or(money_->budget) : usd{};
    // Gives back what it does not need, so that calls at other servers can use it.
    const usd keeps = used + share_of(difference(money_->available, used), needs_);
    if (keeps < money_->may_spend()) spent_elsewhere(difference(money_->may_spend(), keeps));
  }
  const job_money before = money_.value_or(job_money{});
  const usd needs = needs_;
  stored_amount stored;
  usd others;
  bool cancelled = false;
  co_await parent_.disk_.run([&] {
    if (shares) {
      stored = store_more(progress, used, before, needs);
    } else {
      parent_.records_.save_progress(claim_, progress);
      if (pays) others = parent_.records_.spent_by_others(owner_name_, batch_.id);
    }
    const auto now = parent_.records_.claimed(claim_);
    cancelled = !now || now->status == batch_status::cancelling;
  });
  if (shares) {
    money_->available = stored.available;
    spent_elsewhere(difference(before.may_spend(), stored.may_spend));
  } else if (pays) {
    spent_elsewhere(difference(others, money_->others));
    money_->others = others;
  }
  // A lost claim ends the run too, because another server has the batch now.
  if (cancelled) end_run(ended_by::cancel);
}

void batch_runner::active_batch::keep_saving() {
  clock& time = parent_.engine_.time();
  save_timer_ = time.call_at(time.now() + parent_.options_.save_interval, [this] {
    save_timer_ = 0;
    saving_ = true;
    asio::co_spawn(
        parent_.loop_,
        [this]() -> asio::awaitable<void> {
          try {
            const double seconds =
                std::chrono::duration<double>(parent_.engine_.time().now() - run_began_).count();
            jobs_->checkpoint(seconds, parent_.engine_.now().most_in_a_minute);
            count_now();
            co_await save_progress();
          } catch (const std::exception& fault) {
            parent_.say(severity::warning, batch_.id, fault.what());
          }
        },
        [this](const std::exception_ptr&) {
          saving_ = false;
          saved_.wake_all();
          if (run_ && ended_by_ == ended_by::nothing) keep_saving();
        });
  });
}

void batch_runner::active_batch::watch_expiry() {
  clock& time = parent_.engine_.time();
  const double seconds = static_cast<double>(batch_.expires_at) - time.unix_now();
  expiry_timer_ =
      time.call_at(time.now() + std::chrono::duration_cast<duration>(
                                    std::chrono::duration<double>(std::max(seconds, 0.0))),
                   [this] {
                     expiry_timer_ = 0;
                     end_run(ended_by::expiry);
                   });
}

void batch_runner::active_batch::end_run(ended_by why) {
  // The first reason counts. But when the server stops, that reason replaces the others, because
  // the batch does not end then.
  if (ended_by_ == ended_by::nothing || why == ended_by::server) ended_by_ = why;
  if (run_) run_->stop();
  sleeping_.wake_all();
}

void batch_runner::active_batch::cancel() {
  end_run(ended_by::cancel);
}
void batch_runner::active_batch::stop() {
  end_run(ended_by::server);
}
void batch_runner::active_batch::abort() {
  end_run(ended_by::server);
  if (run_) run_->abort();
}

asio::awaitable<void> batch_runner::active_batch::wait_for(duration how_long) {
  if (ended_by_ == ended_by::server) co_return;
  clock& time = parent_.engine_.time();
  const auto timer = time.call_at(time.now() + how_long, [this] { sleeping_.wake_all(); });
  co_await sleeping_.wait();
  time.cancel(timer);
}

// Like wait_for(), but ends early if another server has stored a cancel or has the batch now.
asio::awaitable<void> batch_runner::active_batch::wait_for_next_try(duration how_long) {
  clock& time = parent_.engine_.time();
  const time_point until = time.now() + how_long;
  for (;;) {
    co_await wait_for(std::min(until - time.now(), parent_.options_.poll));
    if (ended_by_ != ended_by::nothing || time.now() >= until) co_return;
    bool over = false;
    try {
      co_await parent_.disk_.run([&] {
        const auto now = parent_.records_.claimed(claim_);
        over = !now || now->status == batch_status::cancelling;
      });
    } catch (const store::store_error&) {
      if (parent_.figures_ != nullptr) parent_.figures_->store_failed();
    }
    if (over) co_return;
  }
}

batch_runner::own_runs batch_runner::active_batch::run_now() const {
  if (!run_) return {};
  const run_status now = run_->now();
  return {now.in_flight, now.waiting + now.queued};
}

void batch_runner::active_batch::count_now() {
  if (parent_.figures_ == nullptr || !run_ || !jobs_) return;
  parent_.figures_->batch_progressed(batch_.id, jobs_->totals(0),
                                     parent_.engine_.time().unix_now());
}

void batch_runner::active_batch::note_end(batch_status with) {
  if (parent_.figures_ != nullptr) parent_.figures_->batch_ended(with);
  if (parent_.on_announcement) parent_.on_announcement();
}

batch_runner::live_state batch_runner::active_batch::live() const {
  return {progress_now(), counted_, waits_};
}

}  // namespace sluice::server
