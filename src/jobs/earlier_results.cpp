#include "jobs/earlier_results.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <random>

#include "base/translated_error.hpp"
#include "jobs/result_files.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

std::uint32_t short_digest(std::string_view digest) {
  std::uint32_t bits = 0;
  std::from_chars(digest.data(), digest.data() + std::min<std::size_t>(digest.size(), 8), bits, 16);
  return bits;
}

// The content of a bad line's entry in the errors file, as a hash. An entry with the same content
// need not be written again.
hash128 words_of(std::string_view code, std::string_view custom_id, std::string_view message) {
  return hash_of(fmt::format("{}\n{}\n{}", code, custom_id, message));
}

std::string fresh_identity() {
  std::random_device source;
  std::string text;
  for (int i = 0; i < 4; ++i) text += fmt::format("{:08x}", source());
  return text;
}

}  // namespace

earlier_results::earlier_results(const job_setup& job, result_files& files)
    : job_(job), files_(files) {
  // A fresh start reads the old results, too: the budget of this run or of a later one counts what
  // they cost. Without a budget it starts even if it cannot read them.
  const bool is_essential = !job.output.fresh || job.counts_earlier_runs();
  try {
    files.read_lines([this](const stored_line& line, bool success, std::uint64_t offset) {
      remember(line, success, offset);
    });
    load_life(files);
  } catch (const result_files::other_kind&) {
    if (is_essential) throw;
    totals_ = {};  // money of another kind
    files.state().counters() = {};
  } catch (const fatal_error&) {
    if (is_essential) throw;
    load_life_from_totals(files);
    job.warn(fmt::format(
        "{}: the earlier results cannot be read whole; a budget of a later run counts only the "
        "part of their cost that could be read",
        job.files.output));
  }
  if (job.output.fresh) start_over(files.state());
}

void earlier_results::remember(const stored_line& line, bool success, std::uint64_t offset) {
  if (line.of_bad_line) {
    // It is counted when the job shows that the line is still bad. Of two entries, the later one
    // counts.
    const stored_bad_line told{words_of(line.facts.error, line.custom_id, line.message),
                               error_index(line.facts.error)};
    if (!stored_bad_lines_.insert_or_assign(line.line, told).second) errors_untidy_ = true;
    return;
  }
  const hash128 id = hash_of(line.custom_id);
  auto [known, fresh] = entries_.insert(id);
  if (fresh) ++missing_;
  if (line.kept != usd{}) add_kept(id, *known, line.kept, success);
  count_attempts(*known, line.attempts);
  // A line in the output counts before one in the errors file, and the first line before the
  // second.
  if (known->is(done)) {
    errors_untidy_ = true;
    return;
  }
  if (known->is(failed)) {
    totals_.take_back_failure(error_names_[known->error()], known->is(retryable));
    errors_untidy_ = true;
  }
  rejected_.add(id, line, offset, totals_);
  known->digest = short_digest(line.digest);
  known->set(done, success);
  if (success) models_.insert(line.facts.model);
  if (success && job_.lines.dedup) digests_.insert(hash_of(line.digest));
  known->set(failed, !success);
  known->set(retryable, line.facts.retryable);
  known->set(unpriced, !line.facts.whole_cost() || line.facts.estimated);
  if (!success) known->set_error(error_index(line.facts.error));
  totals_.add(line.facts);
}

// A later line includes the amounts of all earlier ones. A line in the output is the last one of
// its request, and is read before the errors file.
void earlier_results::add_kept(const hash128& id, const entry& known, usd kept, bool success) {
  if (known.is(done)) return;
  if (success) {
    kept_by_lines_ += kept;
    return;
  }
  usd& before = kept_by_failure_[{id.high, id.low}];
  kept_by_lines_ -= before;
  before = std::max(before, kept);
  kept_by_lines_ += before;
}

// A line contains the number of all attempts of its request. Of two lines for one request, the
// larger number includes the smaller one.
void earlier_results::count_attempts(entry& known, std::uint32_t attempts) {
  const std::uint32_t before = known.attempts();
  if (attempts <= before) return;
  known.set_attempts(attempts);
  const std::uint32_t more = known.attempts() - before;
  totals_.attempts += more;
  totals_.retries += before == 0 && more > 0 ? more - 1 : more;
}

std::uint32_t earlier_results::error_index(const std::string& name) {
  const auto found = std::find(error_names_.begin(), error_names_.end(), name);
  if (found != error_names_.end()) return static_cast<std::uint32_t>(found - error_names_.begin());
  if (error_names_.size() == entry::most_errors) {
    refuse(
        fmt::format("{}: holds more kinds of failures than a run can write; repair it, or start "
                    "over with --fresh",
                    job_.files.errors));
  }
  error_names_.push_back(name);
  return static_cast<std::uint32_t>(error_names_.size() - 1);
}

// Loads the numbers of earlier runs that no line contains.
void earlier_results::load_life(result_files& files) {
  state_file& state = files.state();
  if (state.damaged() && job_.shared != nullptr) {
    refuse(
        fmt::format("{}: is damaged, and with it what is reserved of the budget; delete it, with "
                    "a lower --budget for what it may have held",
                    job_.files.state));
  }
  if (files.have_lines() || files.have_state()) load_life_from_totals(files);
  if (!files.have_state() && !files.have_totals() && files.have_lines() &&
      job_.counts_earlier_runs()) {
    refuse(fmt::format(
        "{}: is missing, and with it what is kept of the budget; put it back, or count this run "
        "alone with --budget-mode run",
        job_.files.totals));
  }
  state.reconcile([this](const hash128& id) {
    const entry* line = entries_.find(id);
    return line == nullptr ? state_file::line_told{} : told_by_line(*line);
  });
  state.for_each_rejected(
      [this](const hash128&, const std::string& model, const rejected_reply& reply) {
        totals_.add_rejected(model, reply);
      });
  life_counters& life = state.counters();
  life.attempts = std::max(life.attempts, totals_.attempts);
  life.retries = std::max(life.retries, totals_.retries);
  // The part of the removed and paid results that has come back is in the lines.
  usd missing = std::exchange(life.taken, {});
  missing -= totals_.cost;
  life.kept += std::max(missing, usd{});
  life.kept = std::max(life.kept, kept_by_lines_);
  usd untold = life.kept;
  untold -= kept_by_lines_;
  untold -= state.kept_for_unfinished();
  carried_ = std::max(untold, usd{});
  wall_s_ = life.wall_s;
  most_in_a_minute_ = life.max_requests_in_60s;
  if (state.identity().empty()) state.identify(fresh_identity());
  if (job_.counts_earlier_runs()) spent_ = totals_.cost + life.kept;
}

// The counters of a complete job are in its totals. They are not essential: if the file is damaged,
// only the counts are lost. The exception is the amount kept of a budget. If the state file
// contains a value, that value is used.
void earlier_results::load_life_from_totals(result_files& files) {
  const auto text = read_file(job_.disk, job_.files.totals);
  if (!text) return;
  const auto stored = nlohmann::json::parse(*text, nullptr, false);
  life_counters& life = files.state().counters();
  const auto read = [&](std::uint64_t& counter, const char* name) {
    if (stored.is_object() && stored.contains(name) && stored[name].is_number_unsigned())
      counter = stored[name];
  };
  if (!files.have_state()) {
    read(life.attempts, "attempts");
    read(life.retries, "retries");
    read(life.maybe_billed_attempts, "maybe_billed_attempts");
    read(life.max_requests_in_60s, "max_requests_in_60s");
    if (stored.is_object() && stored.contains("wall_s") && stored["wall_s"].is_number())
      life.wall_s = stored["wall_s"];
    if (stored.is_object() && stored.contains("rpm") && stored["rpm"].is_number_unsigned())
      life.rpm = stored["rpm"].get<std::uint64_t>();
  }
  std::optional<usd> kept;
  if (stored.is_object()) {
    const auto told = stored.value("kept_usd", nlohmann::json("0"));
    if (told.is_string()) kept = usd::parse(told.get_ref<const std::string&>());
  }
  life.kept = std::max(life.kept, kept.value_or(usd{}));
  if (files.have_state()) return;
  if (!kept) {
    if (job_.counts_earlier_runs()) {
      refuse(fmt::format(
          "{}: is damaged, and with it what is kept of the budget; put a copy in its place, or "
          "count this run alone with --budget-mode run",
          job_.files.totals));
    }
    job_.warn(fmt::format("{}: is damaged; what earlier runs counted is lost", job_.files.totals));
    return;
  }
  const auto status = stored.value("status", nlohmann::json());
  if (job_.counts_earlier_runs() && status != "completed") {
    refuse(
        fmt::format("{}: is missing, and with it what is reserved of the budget; put it back, or "
                    "count this run "
                    "alone with --budget-mode run",
                    job_.files.state));
  }
}

// The facts that a line contains about the attempts of its request.
state_file::line_told earlier_results::told_by_line(const entry& known) const {
  state_file::line_told line{.attempts = known.attempts(), .last_end = {}};
  if (known.is(done)) {
    if (known.is(unpriced)) line.last_end = attempt_end::unpriced;
  } else {
    const std::string& error = error_names_[known.error()];
    int status = 0;
    std::from_chars(error.data(), error.data() + error.size(), status);
    if (error == to_string(errc::reply_rejected)) {
      if (known.is(unpriced)) line.last_end = attempt_end::unpriced;
    } else {
      line.last_end = status != 0 ? end_by_status(status) : attempt_end::lost;
    }
  }
  return line;
}

// Starts over. The money that was spent stays spent.
void earlier_results::start_over(state_file& state) {
  carried_ = totals_.cost + state.counters().kept;
  state.start_over(fresh_identity(), carried_);
  totals_ = {};
  entries_ = {};
  missing_ = 0;
  stored_bad_lines_.clear();
  error_names_.clear();
  models_.clear();
  digests_ = {};
  kept_by_failure_.clear();
  rejected_.clear();
  errors_untidy_ = false;
  wall_s_ = 0;
  most_in_a_minute_ = 0;
}

bool earlier_results::had_success(std::string_view model) const {
  return model.empty() ? !models_.empty() : models_.contains(model);
}

bool earlier_results::add(const request& next) {
  const hash128 id = hash_of(next.custom_id);
  if (entry* known = entries_.find(id)) {
    if (known->is(seen)) return false;
    known->set(seen, true);
    --missing_;
    if (known->is(done) && known->digest != short_digest(next.digest)) {
      if (job_.output.changed == on_change::refuse) refuse_changed(next.custom_id);
      if (job_.output.changed == on_change::redo) make_outdated(*known);
    }
    return true;
  }
  return fresh_ids_.insert(id).second;
}

bool earlier_results::add(const bad_line& bad) {
  const auto stored = stored_bad_lines_.find(bad.line);
  if (stored == stored_bad_lines_.end()) return false;
  if (stored->second.words == words_of(to_string(bad.code), bad.custom_id, bad.message)) {
    current_bad_lines_.insert(bad.line);
    return true;
  }
  errors_untidy_ = true;
  return false;
}

void earlier_results::add_behind_limit(const request_or_bad_line& line) {
  entry* known = entries_.find(hash_of(line ? line->custom_id : line.error().custom_id));
  if (known == nullptr || known->is(seen) || known->is(behind)) return;
  known->set(behind, true);
  --missing_;
}

void earlier_results::refuse_changed(const std::string& custom_id) const {
  refuse(worded(
      "{}: request \"{}\" has changed since its result was written to {}; undo the change, or "
      "decide with --changed redo (send it again) or --changed keep (let the result stand)",
      job_.job_name(), custom_id, job_.files.output));
}

void earlier_results::make_outdated(entry& known) {
  if (job_.is_on_standard_input()) {
    refuse(
        "--changed redo needs the job as a file: of standard input, the changes are known too late "
        "to make room in the output");
  }
  known.set(outdated, true);
  must_make_room_ = true;
}

std::uint64_t earlier_results::add_end(std::uint64_t last_line, job_totals& totals,
                                       const result_files& files) {
  const bool limited = job_.lines.limit != 0;
  std::uint64_t strays = 0;
  entries_.for_each([&](entry& known) {
    if (known.is(seen)) return;
    if (known.is(behind)) {
      if (known.is(done) || known.is(failed)) ++totals.requests;
      return;
    }
    if (known.is(done)) {
      ++strays;
      if (job_.output.changed == on_change::redo) make_outdated(known);
      if (job_.output.changed == on_change::keep) ++totals.requests;
    }
    // Its request no longer exists, so its failure does not count.
    if (known.is(failed)) {
      take_back_failure(known, totals);
      has_gone_ = rejected_.has_failures();
    }
  });
  std::uint64_t bad_lines = 0;
  for (const auto& [number, told] : stored_bad_lines_) {
    if (!limited || number <= last_line) continue;  // the line will be read again, and then counted
    ++bad_lines;
    ++totals.requests;
    line_facts facts;
    facts.error = error_names_[told.error];
    totals.add(facts);
  }
  if (strays == 0 || job_.output.changed != on_change::refuse) return bad_lines;
  const std::string first = files.find_result([this](const std::string& custom_id) {
    const entry* known = entries_.find(hash_of(custom_id));
    return known != nullptr && !known->is(seen) && !known->is(behind);
  });
  refuse(fmt::format(
      "{} holds {} result(s) whose request is no longer in {}, \"{}\" first; put it back, or "
      "decide with --changed redo (drop them) or --changed keep (let them stand)",
      job_.files.output, strays, job_.job_name(), first));
}

// Lines of the errors file are removed with their requests, but their rejected replies were paid
// for.
void earlier_results::keep_gone(result_files& files, job_totals& totals) {
  if (!has_gone_) return;
  usd paid;
  for_each_rejected_of_gone(
      [&](const std::string&, const rejected_reply& reply) { paid += reply.cost.value_or(usd{}); });
  if (paid != usd{}) files.keep(paid);
  has_gone_ = false;  // even if the rest fails, the amount is not kept twice
  for_each_rejected_of_gone([&](const std::string& model, const rejected_reply& reply) {
    totals.take_back_rejected(model, reply);
  });
}

// Reads the errors file. The places of the lines are not stored, because there may be ten million.
void earlier_results::for_each_rejected_of_gone(
    const std::function<void(const std::string&, const rejected_reply&)>& visit) {
  files_.read_failures([&](const stored_line& line, std::uint64_t offset) {
    if (line.facts.rejected.empty()) return;
    const hash128 id = hash_of(line.custom_id);
    const auto* last = rejected_.find(id);
    if (last == nullptr || last->offset != offset) return;
    const entry* known = entries_.find(id);
    if (known == nullptr || known->is(seen) || known->is(behind) || known->is(done)) return;
    for (const rejected_reply& reply : line.facts.rejected) visit(line.facts.model, reply);
  });
}

// If another program has shortened the file, the new result must be written all the same; the run
// then ends.
std::vector<rejected_reply> earlier_results::rejected(const hash128& id) {
  const auto* last = rejected_.find(id);
  if (last == nullptr) return {};
  try {
    const std::string text = files_.line_at(false, last->offset);
    auto line = parse_stored_line(text);
    if (line && hash_of(line->custom_id) == id) return std::move(line->facts.rejected);
  } catch (const fatal_error&) {
  }
  job_.warn(
      fmt::format("{}: a line cannot be read again; the cost of the rejected replies in it is "
                  "not in the next line of its request",
                  job_.files.errors));
  return {};
}

std::optional<std::uint32_t> earlier_results::to_be_sent(const request& next) {
  const entry* known = entries_.find(hash_of(next.custom_id));
  if (known == nullptr) return 0;
  if (known->is(done)) return std::nullopt;
  const bool stays = known->is(failed) && !known->is(retryable) && !job_.output.retry_failed;
  // Whether the request has changed since it failed.
  const bool changed = known->digest != short_digest(next.digest);
  return stays && !changed ? std::nullopt : std::optional(known->attempts());
}

bool earlier_results::is_copy(const request& next) {
  const entry* known = entries_.find(hash_of(next.custom_id));
  if (known != nullptr && known->is(done)) return false;
  return !digests_.insert(hash_of(next.digest)).second;
}

bool earlier_results::has_failed(const request& next) {
  const entry* known = entries_.find(hash_of(next.custom_id));
  return known != nullptr && known->is(failed) && known->digest == short_digest(next.digest);
}

bool earlier_results::is_in_job(const hash128& id) {
  const entry* known = entries_.find(id);
  return known != nullptr ? known->is(seen) : fresh_ids_.find(id) != nullptr;
}

bool earlier_results::stands(const std::string& custom_id) {
  const entry* known = entries_.find(hash_of(custom_id));
  return known != nullptr && !known->is(outdated);
}

usd earlier_results::kept(const hash128& id) const {
  const auto told = kept_by_failure_.find({id.high, id.low});
  return told == kept_by_failure_.end() ? usd{} : told->second;
}

void earlier_results::replace(const hash128& id, job_totals& totals) {
  entry* known = entries_.find(id);
  if (known != nullptr && known->is(failed)) take_back_failure(*known, totals);
}

void earlier_results::take_back_failure(entry& known, job_totals& totals) {
  totals.take_back_failure(error_names_[known.error()], known.is(retryable));
  known.set(failed, false);
  known.set(replaced, true);
  errors_untidy_ = true;
}

bool earlier_results::errors_are_untidy(read_until read) const {
  return errors_untidy_ ||
         std::any_of(stored_bad_lines_.begin(), stored_bad_lines_.end(),
                     [&](const auto& stored) { return is_mended(stored.first, read); });
}

// Whether the entry of a bad line in the errors file is no longer true: the line is good, is gone,
// or is bad in another way.
bool earlier_results::is_mended(std::uint64_t line, read_until read) const {
  return read && line <= *read && !current_bad_lines_.contains(line);
}

bool earlier_results::is_stale(const stored_line& line, read_until read) {
  if (line.of_bad_line) return is_mended(line.line, read);
  const entry* known = entries_.find(hash_of(line.custom_id));
  return known != nullptr && (known->is(done) || known->is(replaced));
}

}  // namespace sluice
