#include "jobs/running_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <limits>
#include <utility>
#include <variant>

#include "jobs/request_bound.hpp"
#include "jobs/result_line.hpp"
#include "jobs/stored_line.hpp"
#include "sluice/error.hpp"
#include "sluice/reply_check.hpp"

namespace sluice {

running_job::running_job(std::unique_ptr<job_parts> created)
    : parts_(std::move(created)),
      totals_(std::move(parts_->scan.totals)),
      bad_lines_(parts_->scan.bad_lines),
      last_line_(parts_->scan.last_line) {
  if (budget* const shared = parts_->setup.shared) shared->add_spent(parts_->earlier.spent());
}

void running_job::cancel() {
  parts_->input->cancel();
}

std::optional<request> running_job::next_request() {
  if (is_finished_already()) {
    const std::lock_guard lock(mutex_);
    read_to_end_ = true;
    return std::nullopt;
  }
  if (parts_->setup.lines.group_prefixes) return next_in_groups();
  try {
    return next_in_file();
  } catch (const fatal_error&) {
    const std::lock_guard lock(mutex_);
    is_refused_ = parts_->setup.is_on_standard_input();
    throw;
  }
}

// If true, a second reading of the job would find nothing to send or to write.
bool running_job::is_finished_already() const {
  const job_scan& found = parts_->scan;
  return !parts_->setup.is_on_standard_input() && found.to_send == 0 && found.bad_lines == 0 &&
         found.copies.lines.empty();
}

std::optional<request> running_job::next_in_file() {
  while (auto line = parts_->input->next()) {
    std::unique_lock lock(mutex_);
    if (const auto bad = fault_of(*line)) {
      put_bad(*bad);
      continue;
    }
    request& next = **line;
    const auto attempts = parts_->earlier.to_be_sent(next);
    if (!attempts || parts_->scan.copies.contain(next.line)) continue;
    next.settled_attempts = *attempts;
    last_given_ = next.line;
    if (given_ahead_.erase(next.line) > 0) continue;
    if (parts_->setup.shared != nullptr) {
      lock.unlock();  // counting tokens takes time, and results must not wait for it
      set_cost_bound(next, parts_->setup);
      lock.lock();
    }
    hand_out(next);
    return std::move(next);
  }
  if (parts_->setup.is_on_standard_input()) read_behind_limit();
  const std::lock_guard lock(mutex_);
  if (parts_->input->is_cancelled() || read_to_end_) return std::nullopt;
  if (parts_->setup.is_on_standard_input()) {
    bad_lines_ += parts_->earlier.add_end(last_line_, totals_, parts_->files);
  }
  read_to_end_ = true;
  return std::nullopt;
}

// Looks for the requests of earlier results that are still missing. The lines of a file were
// already looked at by the scan.
void running_job::read_behind_limit() {
  parts_->input->read_on();
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (!parts_->earlier.misses_requests()) return;
    }
    const auto line = parts_->input->next();
    if (!line) return;
    const std::lock_guard lock(mutex_);
    parts_->earlier.add_behind_limit(*line);
  }
}

// Reads the whole job to find the bad lines and the offsets of the requests that are to be sent.
void running_job::read_groups() {
  auto found = std::make_unique<prefix_groups>();
  while (auto line = parts_->input->next()) {
    const std::uint64_t offset = parts_->input->offset();
    const std::lock_guard lock(mutex_);
    if (const auto bad = fault_of(*line)) {
      put_bad(*bad);
      continue;
    }
    const request& next = **line;
    if (!parts_->earlier.to_be_sent(next) || parts_->scan.copies.contain(next.line)) continue;
    if (given_ahead_.contains(next.line)) continue;
    found->add({.opening = opening_of(next), .line = next.line, .offset = offset});
  }
  if (parts_->input->is_cancelled()) return;
  found->arrange();
  const std::lock_guard lock(mutex_);
  groups_ = std::move(found);
}

std::optional<request> running_job::next_in_groups() {
  waits_until_.reset();
  if (!groups_) read_groups();
  while (groups_ && !parts_->input->is_cancelled()) {
    prefix_groups::turn turn;
    {
      const std::lock_guard lock(mutex_);
      turn = groups_->next(std::chrono::steady_clock::now());
    }
    if (const auto* pause = std::get_if<prefix_groups::wait>(&turn)) {
      waits_until_ = pause->until;
      return std::nullopt;
    }
    const auto* place = std::get_if<placed_request>(&turn);
    if (place == nullptr) {
      parts_->input->require_unchanged();
      const std::lock_guard lock(mutex_);
      read_to_end_ = true;
      return std::nullopt;
    }
    request next = parts_->input->read_again(place->offset, place->line);
    if (parts_->setup.shared != nullptr) set_cost_bound(next, parts_->setup);
    const std::lock_guard lock(mutex_);
    if (given_ahead_.erase(next.line) > 0) {
      groups_->ended(next.line);  // it was sent before its turn, so its group need not wait for it
      continue;
    }
    const auto attempts = parts_->earlier.to_be_sent(next);
    if (!attempts) continue;
    next.settled_attempts = *attempts;
    if (groups_->is_awaited(next.line)) leaders_[next.custom_id] = next.line;
    hand_out(next);
    return next;
  }
  return std::nullopt;
}

// The reason why a line is not sent; nothing: it is sent. The lines of a file were already counted
// by the scan; lines of standard input are counted here.
std::optional<bad_line> running_job::fault_of(const request_or_bad_line& line) {
  bool duplicate = false;
  if (parts_->setup.is_on_standard_input()) {
    ++totals_.requests;
    last_line_ = line_number(line);
    if (!line && (parts_->setup.lines.strict || line.error().lacks_model)) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format("standard input line {}: {}", line.error().line, line.error().message));
    }
    duplicate = line && !parts_->earlier.add(*line);
    if (!line || duplicate) ++bad_lines_;
  } else if (line) {
    const auto& duplicates = parts_->scan.duplicates;
    duplicate = next_duplicate_ < duplicates.size() && duplicates[next_duplicate_] == line->line;
    if (duplicate) ++next_duplicate_;
  }
  if (!line) return line.error();
  if (duplicate) return duplicate_line(line->line, line->custom_id);
  return std::nullopt;
}

void running_job::put_bad(const bad_line& bad) {
  line_facts facts;
  facts.error = to_string(bad.code);
  totals_.add(facts);
  reasons_.emplace(facts.error, fmt::format("line {}: {}", bad.line, bad.message));
  if (parts_->earlier.add(bad)) return;
  result told;
  told.job = parts_->setup.index;
  told.line = bad.line;
  told.custom_id = bad.custom_id;
  failure why;
  why.code = bad.code;
  why.kind = failure_class::permanent;
  why.message = bad.message;
  told.outcome = why;
  parts_->files.put_bad_line(result_line(told, std::nullopt, parts_->setup.output.simulated));
}

// The caller holds the mutex.
void running_job::hand_out(request& next) {
  next.job = parts_->setup.index;
  next.attempts = next.settled_attempts;
  if (const auto unfinished = parts_->files.unfinished(hash_of(next.custom_id))) {
    next.attempts = std::max(next.attempts, unfinished->attempts);
    next.rejections = static_cast<std::uint32_t>(unfinished->rejected.size());
  }
  ++outstanding_;
}

bool running_job::look_ahead(ahead_search& search) {
  constexpr std::uint64_t part = std::uint64_t{1} << 20;  // bytes
  const job_setup& job = parts_->setup;
  const job_input& input = *parts_->input;
  if (job.is_on_standard_input() || input.is_cancelled()) return true;
  if (job.lines.group_prefixes) {
    search.found = look_ahead_in_groups(search.count);
    return true;
  }
  if (!search.reader && !begin_search(search)) return true;
  job_reader& reader = *search.reader;
  const std::uint64_t end = reader.offset() + part;
  while (search.found.size() < search.count && !input.is_cancelled()) {
    if (reader.offset() >= end || !reader.skip_to(search.from, part)) return false;
    auto line = reader.next();
    if (!line) break;
    if (*line) take_ahead(**line, search);
  }
  return true;
}

// False: there is nothing behind the next request.
bool running_job::begin_search(ahead_search& search) {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  {
    const std::lock_guard lock(mutex_);
    begin = last_given_ + 1;
    end = last_line_ + 1;
  }
  if (begin >= end) return false;
  search.step = std::max<std::uint64_t>((end - begin) / (search.count + 1), 1);
  search.from = begin + search.step;
  search.reader.emplace(parts_->setup.files.job, parts_->setup.lines);
  return true;
}

// Takes the request, if it is to be sent and was not given out before.
void running_job::take_ahead(request& next, ahead_search& search) {
  const auto& duplicates = parts_->scan.duplicates;
  if (std::binary_search(duplicates.begin(), duplicates.end(), next.line)) return;
  if (parts_->scan.copies.contain(next.line)) return;
  if (parts_->setup.shared != nullptr) set_cost_bound(next, parts_->setup);
  const std::lock_guard lock(mutex_);
  if (next.line <= last_given_) return;
  const auto attempts = parts_->earlier.to_be_sent(next);
  if (!attempts || !given_ahead_.insert(next.line).second) return;
  next.settled_attempts = *attempts;
  hand_out(next);
  search.from = std::max(search.from + search.step, next.line + 1);
  search.found.push_back(std::move(next));
}

std::vector<request> running_job::look_ahead_in_groups(std::size_t count) {
  const job_setup& job = parts_->setup;
  job_input again(job.files.job, job.lines);
  std::vector<placed_request> places;
  {
    const std::lock_guard lock(mutex_);
    if (!groups_) return {};
    // From here on next_in_groups() skips these lines, also while they are read.
    for (const placed_request& place : groups_->ahead(count)) {
      if (given_ahead_.insert(place.line).second) places.push_back(place);
    }
  }
  std::vector<request> found;
  auto at = places.begin();
  try {
    for (; at != places.end(); ++at) {
      request next = again.read_again(at->offset, at->line);
      if (job.shared != nullptr) set_cost_bound(next, job);
      const std::lock_guard lock(mutex_);
      const auto attempts = parts_->earlier.to_be_sent(next);
      if (!attempts) {
        given_ahead_.erase(next.line);
        continue;
      }
      next.settled_attempts = *attempts;
      hand_out(next);
      found.push_back(std::move(next));
    }
  } catch (const std::exception&) {
    // The reader gives the rest, or finds the same error. Requests that it has skipped meanwhile
    // stay pending, so the job is not complete.
    const std::lock_guard lock(mutex_);
    for (; at != places.end(); ++at) {
      if (given_ahead_.erase(at->line) == 0) ++outstanding_;
    }
  }
  return found;
}

funds running_job::reserve(const request& next) {
  budget* const shared = parts_->setup.shared;
  return shared == nullptr ? funds::reserved : shared->reserve(next.most);
}

void running_job::unreserve(const request& next) {
  if (budget* const shared = parts_->setup.shared) shared->give_back(next.most);
}

void running_job::attempt_started(const attempt_record& attempt) {
  sent_ = true;
  if (parts_->setup.lines.group_prefixes) {
    const std::lock_guard lock(mutex_);
    const auto leader = leaders_.find(attempt.custom_id);
    if (leader != leaders_.end()) {
      groups_->started(leader->second, std::chrono::steady_clock::now());
    }
  }
  parts_->files.attempt_started(hash_of(attempt.custom_id), attempt.number, attempt.most);
}

void running_job::attempt_ended(const attempt_record& attempt, attempt_end how) {
  parts_->files.attempt_ended(hash_of(attempt.custom_id), how);
  parts_->files.write_records();
  budget* const shared = parts_->setup.shared;
  if (shared == nullptr) return;
  if (keeps_reservation(how)) {
    shared->settle(attempt.most, attempt.most);
  } else {
    shared->give_back(attempt.most);
  }
}

void running_job::warn_of_missing_rate(const std::string& model, const std::string& missing) {
  if (!warned_of_rates_.emplace(model, missing).second) return;
  parts_->setup.warn(fmt::format(
      "{}: the price list has no rate of {} for {}, and a reply reported it: the cost of "
      "such replies is unknown; give the rate with --prices",
      parts_->setup.job_name(), model, missing));
}

void running_job::warn_of_stale_price(const std::string& model) {
  if (!warned_of_stale_.insert(model).second) return;
  parts_->setup.warn(
      fmt::format("{}: the price of {} was promised until an earlier day, and may have changed: "
                  "check it, or give "
                  "it with --prices",
                  parts_->setup.job_name(), model));
}

result_price running_job::price(const result& finished) {
  result_price priced = price_of(finished, parts_->setup.prices);
  if (!priced.missing.empty()) warn_of_missing_rate(finished.model, priced.missing);
  if (priced.stale) warn_of_stale_price(finished.model);
  return priced;
}

reply_verdict running_job::examine(request& asked, const result& finished) {
  using step = reply_verdict::step;
  const job_setup& job = parts_->setup;
  const reply& whole = *finished.outcome;
  const auto fault = job.lines.expect->fault_of(asked, whole);
  if (!fault) return {};
  const result_price priced = price(finished);
  rejected_reply rejected;
  rejected.reason = *fault;
  rejected.relay = finished.relay;
  rejected.usage = whole.usage ? whole.usage : whole.estimated_usage;
  rejected.estimated = !whole.usage && whole.estimated_usage;
  rejected.cost = priced.cost;
  rejected.reported_cost = whole.reported_cost;
  if (rejected.usage && rejected.usage->uses_cache()) rejected.cache_saved = priced.cache_saved;
  rejected.service_tier = whole.service_tier;
  rejected.speed = whole.speed;
  rejected.inference_geo = whole.inference_geo;
  rejected.started_at = finished.started_at;
  rejected.latency_ms = finished.latency_ms;
  const usd known = priced.cost.value_or(usd{});
  usd keep;
  if (job.shared != nullptr) {
    job.shared->settle(asked.most, priced.settles ? known : std::max(asked.most, known));
    if (!priced.settles && asked.most > known) {
      keep = asked.most;
      keep -= known;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    totals_.add_rejected(finished.model, rejected);
  }
  parts_->files.rejected(hash_of(finished.custom_id), finished.model, rejected, keep);
  parts_->files.write_records();
  ++asked.rejections;
  if (asked.rejections > job.lines.max_rejections) return {step::give_up, *fault};
  if (job.lines.tell_why) tell_why(asked, whole, *fault);
  return {step::again, *fault};
}

// The next attempt has a longer prompt, so it may cost more.
void running_job::tell_why(request& asked, const reply& rejected, const std::string& reason) const {
  const job_setup& job = parts_->setup;
  auto body = job.lines.expect->body_with_reason(asked, rejected, reason);
  if (!body) return;
  request longer = asked;
  longer.body = *std::move(body);
  if (job.shared != nullptr) set_cost_bound(longer, job);
  asked = std::move(longer);
}

// If the schema is wrong, every reply is rejected, and each of them must be paid for.
void running_job::warn_of_rejections(const std::string& reason) {
  constexpr unsigned enough = 20;
  if (++requests_rejected_ != enough) return;
  {
    const std::lock_guard lock(mutex_);
    if (totals_.succeeded > 0) return;
  }
  parts_->setup.warn(
      fmt::format("{}: {} requests failed because of --expect, and no reply was accepted: {}; stop "
                  "the run if this is not what you expect",
                  parts_->setup.job_name(), enough, reason));
}

void running_job::left_pending(const request& left) {
  const std::lock_guard lock(mutex_);
  let_group_go(left.line, left.custom_id);
}

// If the request is the leader of a group, the others need not wait for it any longer. The caller
// holds the mutex.
void running_job::let_group_go(std::uint64_t line, const std::string& custom_id) {
  if (!groups_) return;
  groups_->ended(line);
  leaders_.erase(custom_id);
}

void running_job::put(const result& finished) {
  const job_setup& job = parts_->setup;
  result_files& files = parts_->files;
  const result_price priced = price(finished);
  const auto& cost = priced.cost;
  const auto& cache_saved = priced.cache_saved;
  const bool settles = priced.settles;
  const hash128 id = hash_of(finished.custom_id);
  usd kept;
  std::vector<rejected_reply> rejected;
  if (auto attempt = files.unfinished(id)) {
    if (attempt->open) {
      if (job.shared != nullptr)
        job.shared->settle(attempt->reserved,
                           settles ? *cost : std::max(attempt->reserved, cost.value_or(usd{})));
      if (!settles) {
        files.attempt_ended(id, attempt_end::unpriced, cost.value_or(usd{}));
        attempt = files.unfinished(id);
      }
    }
    kept = attempt->kept;
    rejected = std::move(attempt->rejected);
  }
  const auto before = parts_->earlier.rejected(id);
  rejected.insert(rejected.begin(), before.begin(), before.end());
  {
    const std::lock_guard lock(mutex_);
    // The carried amount goes into the first line, so that it is not recorded only in the totals.
    kept += parts_->earlier.kept(id) + parts_->earlier.take_carried();
  }
  const std::string line =
      result_line(finished, cost, job.output.simulated, kept, cache_saved, rejected);
  if (!finished.outcome && finished.outcome.error().code == errc::reply_rejected)
    warn_of_rejections(finished.outcome.error().message);
  const std::lock_guard lock(mutex_);
  parts_->earlier.replace(id, totals_);
  totals_.add(facts_of(finished, cost, cache_saved));
  if (!finished.outcome) {
    const failure& why = finished.outcome.error();
    if (why.model_missing) missing_models_.insert(finished.model);
    const bool names_model =
        why.http_status == 0 || why.message.find(finished.model) != std::string::npos;
    reasons_.emplace(error_name(why), names_model
                                          ? why.message
                                          : fmt::format("{}: {}", finished.model, why.message));
  }
  files.put(id, line, finished.outcome.has_value());
  has_results_ = true;
  let_group_go(finished.line, finished.custom_id);
  --outstanding_;  // only now, so that a result that could not be taken leaves the job incomplete
}

result_files::checkpoint running_job::begin_checkpoint(job_status status, double run_seconds,
                                                       std::uint64_t most_in_a_minute) {
  result_files& files = parts_->files;
  files.flush();
  if (sent_ && rpm_) files.set_rate_limit(*rpm_);
  files.set_times(parts_->earlier.wall_s() + (sent_ ? run_seconds : 0),
                  std::max(parts_->earlier.most_in_a_minute(), most_in_a_minute));
  // Requests beyond the limit may have been sent by an earlier run.
  const bool whole_job = parts_->setup.lines.limit == 0 || !files.have_unfinished();
  bool needs_state = status != job_status::completed || !whole_job;
  if (!needs_state) {
    const std::lock_guard lock(mutex_);
    const auto is_in_job = [this](const hash128& id) { return parts_->earlier.is_in_job(id); };
    // The cost of replies to requests that are no longer in the job must stay recorded.
    for (const auto& [model, reply] : files.keep_rejected(std::not_fn(is_in_job))) {
      totals_.take_back_rejected(model, reply);
    }
    // An earlier run with retry_failed may have sent a failed request again and died. Its line in
    // the errors file does not contain that attempt, and this run sends it only with retry_failed.
    needs_state = files.have_unfinished(is_in_job);
  }
  return files.begin_checkpoint(totals().to_json(parts_->setup.files.job, status), needs_state);
}

job_totals running_job::totals() const {
  const life_counters life = parts_->files.counters();
  const std::lock_guard lock(mutex_);
  job_totals now = totals_;
  now.simulated = parts_->setup.output.simulated;
  now.attempts = life.attempts;
  now.retries = life.retries;
  now.maybe_billed_attempts = life.maybe_billed_attempts;
  now.max_requests_in_60s = life.max_requests_in_60s;
  now.wall_s = life.wall_s;
  now.rpm = life.rpm;
  now.kept = life.kept;
  // Of standard input, not every line may have been read.
  now.requests = std::max(now.requests, now.succeeded + now.failed);
  return now;
}

std::set<std::string> running_job::missing_models() const {
  const std::lock_guard lock(mutex_);
  return missing_models_;
}

std::map<std::string, std::string> running_job::failure_reasons() const {
  const std::lock_guard lock(mutex_);
  return reasons_;
}

std::uint64_t running_job::bad_lines() const {
  const std::lock_guard lock(mutex_);
  return bad_lines_;
}

// Whether everything that had to be sent in this run was sent and has its result.
bool running_job::is_complete() const {
  const std::lock_guard lock(mutex_);
  return read_to_end_ && outstanding_ == 0 && copies_left_ == 0;
}

// Finds the results from which copies are made: of equal requests, the first one in the output,
// otherwise the last one in the errors file.
void running_job::find_sources() {
  auto& sources = parts_->scan.copies.sources;
  parts_->files.read_written(
      [&](const stored_line& line, bool success, std::uint64_t offset, bool is_old) {
        job_copies::source* found = sources.find(hash_of(line.digest));
        if (found == nullptr || found->succeeded) return;
        *found = {.offset = offset,
                  .succeeded = success,
                  .stands = !is_old || !line.facts.retryable,
                  .is_old = is_old};
      });
}

// Writes the lines of the requests for which an equal request was sent, as copies of its line. This
// reads the job once more. If it fails and is called again, it continues with the lines that were
// not written.
void running_job::write_copies() {
  constexpr std::size_t most_kept_back = std::size_t{1} << 20;
  std::size_t bytes = 0;  // bytes since the last flush
  const auto& lines = parts_->scan.copies.lines;
  if (next_copy_ == lines.size()) return;
  find_sources();
  job_reader reader(parts_->setup.files.job, parts_->setup.lines);
  while (next_copy_ < lines.size()) {
    const auto line = reader.next(lines[next_copy_]);
    if (!line || !*line || (*line)->line != lines[next_copy_]) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format("{}: was changed while it was run; what is finished is kept, run the same "
                      "command again",
                      parts_->setup.files.job));
    }
    if (!put_copy(**line, bytes)) ++copies_left_;
    ++next_copy_;
    if (bytes < most_kept_back) continue;
    bytes = 0;
    parts_->files.flush();
  }
  parts_->files.flush();
}

// Adds the size of the line to `bytes`. False: the request has no line and gets none yet.
bool running_job::put_copy(const request& next, std::size_t& bytes) {
  result_files& files = parts_->files;
  earlier_results& earlier = parts_->earlier;
  const auto attempts_before = earlier.to_be_sent(next);
  const auto* const from = parts_->scan.copies.sources.find(hash_of(next.digest));
  if (!attempts_before || from == nullptr) return true;
  if (from->offset == job_copies::source::nowhere) return false;
  if (!from->succeeded) {
    const bool has_line = earlier.has_failed(next);
    if (!from->stands || (has_line && from->is_old)) return has_line;
  }
  const std::string text = files.line_at(from->succeeded, from->offset);
  const auto stored = parse_stored_line(text);
  if (!stored) return false;
  const hash128 id = hash_of(next.custom_id);
  std::uint32_t attempts = *attempts_before;
  usd kept = earlier.kept(id) + earlier.take_carried();
  std::vector<rejected_reply> rejected = earlier.rejected(id);
  if (const auto unfinished = files.unfinished(id)) {  // a run without --dedup sent it
    attempts = std::max(attempts, unfinished->attempts);
    kept += unfinished->kept;
    rejected.insert(rejected.end(), unfinished->rejected.begin(), unfinished->rejected.end());
  }
  earlier.replace(id, totals_);
  totals_.add(facts_of_copy(next, *stored));
  if (!stored->facts.succeeded) reasons_.emplace(stored->facts.error, failure_message(*stored));
  const bool simulated = parts_->setup.output.simulated;
  const std::string copy = copied_line(next, text, *stored, attempts, simulated, kept, rejected);
  files.put(id, copy, from->succeeded);
  bytes += copy.size();
  return true;
}

// A file is refused before its run starts, standard input while it is read. In both cases nothing
// changes if nothing was sent.
bool running_job::take_back_if_refused() {
  const std::lock_guard lock(mutex_);
  if (!is_refused_ || sent_ || has_results_) return false;
  parts_->files.drop_bad_lines();
  parts_->files.take_back();
  return true;
}

void running_job::tidy() {
  const job_setup& job = parts_->setup;
  result_files& files = parts_->files;
  const std::lock_guard lock(mutex_);
  files.rescue(job.shared == nullptr ? usd{} : totals_.cost);
  files.flush();
  files.replace_unsynced();
  write_copies();
  earlier_results::read_until read;
  if (read_to_end_) {
    read = job.lines.limit == 0 ? std::numeric_limits<std::uint64_t>::max() : last_line_;
  }
  parts_->earlier.keep_gone(files, totals_);
  if (parts_->earlier.errors_are_untidy(read)) {
    files.tidy_errors(
        [&](const stored_line& line) { return parts_->earlier.is_stale(line, read); });
  }
  files.give_back_room();
  if (job.output.durable != durability::none) files.sync();
}

void finished_job::write(job_status status, double run_seconds, std::uint64_t most_in_a_minute) {
  if (job_->take_back_if_refused()) return;
  std::exception_ptr fault;
  try {
    job_->tidy();
    if (job_->parts_->setup.output.ordered && job_->is_complete()) job_->parts_->files.sort();
  } catch (...) {
    fault = std::current_exception();
  }
  const bool complete = !fault && job_->is_complete();
  // A run that reports that it has completed has still left some requests.
  const bool stopped = fault || status == job_status::completed;
  const job_status now = complete ? job_status::completed : stopped ? job_status::stopped : status;
  try {
    // A checkpoint forgets the attempts of lines that are on the disk.
    job_->parts_->files.replace_unsynced();
    job_->end_checkpoint(job_->begin_checkpoint(now, run_seconds, most_in_a_minute));
  } catch (...) {
    if (!fault) fault = std::current_exception();
  }
  if (fault) std::rethrow_exception(fault);
}

}  // namespace sluice
