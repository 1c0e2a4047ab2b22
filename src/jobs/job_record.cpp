#include "jobs/job_record.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "jobs/own_files.hpp"
#include "jobs/result_line.hpp"
#include "json/json_text.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::size_t most_kept_back = std::size_t{1} << 20;  // bytes of lines not written yet

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

std::uint32_t short_digest(std::string_view digest) {
  std::uint32_t bits = 0;
  std::from_chars(digest.data(), digest.data() + std::min<std::size_t>(digest.size(), 8), bits, 16);
  return bits;
}

// What an errors line says of a bad line: the same again need not be written again.
hash128 words_of(std::string_view code, std::string_view custom_id, std::string_view message) {
  return hash_of(fmt::format("{}\n{}\n{}", code, custom_id, message));
}

std::string fresh_identity() {
  std::random_device source;
  std::string text;
  for (int i = 0; i < 4; ++i) text += fmt::format("{:08x}", source());
  return text;
}

constexpr std::string_view no_stamp = "gone";

// What changes when a file does.
std::string stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::string(no_stamp);
  return fmt::format("{} {} {} {}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

// Of the lines so far and one more.
hash128 hash_with(const hash128& before, const boost::system::result<request, bad_line>& line) {
  const hex_digits chain(before);
  if (!line) {
    const bad_line& bad = line.error();
    return hash_of(fmt::format("{}\n{}\n{}\n{}\n{}", std::string_view(chain), bad.line,
                               to_string(bad.code), bad.custom_id, bad.message));
  }
  return hash_of(fmt::format("{}\n{}\n{}\n{}", std::string_view(chain), line->line, line->custom_id,
                             line->digest));
}

constexpr std::uint64_t lines_between_looks = 256;  // at the job file: has it changed?

}  // namespace

job_record::job_record(std::size_t index, job_files files, const job_options& lines,
                       const output_options& output, const relay_prices& prices, file_system& disk,
                       budget* shared, std::uint64_t room)
    : index_(index),
      files_(std::move(files)),
      lines_(lines),
      options_(output),
      prices_(prices),
      disk_(disk),
      budget_(shared),
      output_(disk, files_.output),
      errors_(disk, files_.errors),
      state_(disk, files_.state, std::filesystem::path(files_.output).filename().string()) {
  constexpr std::uint64_t errors_share = 16;  // they are few, and short
  output_.keep_room(room);
  errors_.keep_room(room / errors_share);
}

void job_record::load() {
  require_own_sidecars();
  output_exists_ = output_.open_existing();
  errors_exist_ = errors_.open_existing();
  has_totals_ = disk_.exists(files_.totals);
  const bool known = state_.load();
  if (output_exists_) require_own_lines(output_);
  if (errors_exist_) require_own_lines(errors_);
  // What makes room for a fresh start counts for the budget all the same.
  if (options_.fresh && !counts_earlier_runs()) {  // moved aside by create()
    state_.start_over(fresh_identity(), {});
    return;
  }
  if (output_exists_) output_end_ = load_lines(output_, true);
  if (errors_exist_) errors_end_ = load_lines(errors_, false);
  load_life(known, output_.size() > 0 || errors_.size() > 0);
  if (options_.fresh) start_over();
}

bool job_record::counts_earlier_runs() const noexcept {
  return budget_ != nullptr && options_.scope == budget_scope::job;
}

void job_record::require_own_sidecars() {
  for (const std::string& path : {files_.totals, files_.state}) {
    if (!disk_.is_folder(path)) continue;
    refuse(fmt::format(
        "{}: is a directory; move it away, or choose another place with --output-dir", path));
  }
  require_ours(disk_, files_.totals, begins_as_totals);
  for (const std::string& other : other_outputs(files_)) {
    if (!disk_.exists(other) || disk_.is_folder(other)) continue;
    std::error_code unreadable;
    const auto opened =
        disk_.open(disk_.resolved(other), file_system::open_as::read_only, unreadable);
    if (!opened || !opened->is_regular() || !begins_as_results(begin_of(*opened, unreadable)))
      continue;
    refuse(fmt::format("{} and {} would share {} and {}; choose another name with -o",
                       files_.output, other, files_.errors, files_.totals));
  }
}

// What is not provably a file of ours stays as it is.
void job_record::require_own_lines(const output_file& file) const {
  const std::string begin = file.begin();
  if (begin.empty() || begins_as_results(begin)) return;
  if ((state_.records_output() || has_totals_) && may_be_torn_results(begin)) return;
  // A tool may have written our lines anew, and the first be longer than that: load_lines() sees.
  const bool goes_on = begin.size() < file.size() && begin.find('\n') == std::string::npos;
  if (goes_on && begin.find("\"custom_id\"") != std::string::npos) return;
  refuse(foreign_file_sentence(file.path()));
}

// What earlier runs counted that no line holds.
void job_record::load_life(bool known, bool lines_left) {
  const bool counts = counts_earlier_runs();
  if (state_.damaged() && budget_ != nullptr) {
    refuse(
        fmt::format("{}: is damaged, and with it what is reserved of the budget; delete it, with "
                    "a lower --budget for what it may have held",
                    files_.state));
  }
  if (lines_left || known) load_life_from_totals(known);
  if (!known && !has_totals_ && lines_left && counts) {
    refuse(fmt::format(
        "{}: is missing, and with it what is kept of the budget; put it back, or count this run "
        "alone with --budget-mode run",
        files_.totals));
  }
  state_.reconcile([this](const hash128& id) {
    const earlier* line = earlier_.find(id);
    return line == nullptr ? state_file::line_told{} : told_by_line(*line);
  });
  life_counters& life = state_.counters();
  life.attempts = std::max(life.attempts, totals_.attempts);
  life.retries = std::max(life.retries, totals_.retries);
  // Of what was taken away and paid, what has come back stands in the lines.
  usd missing = std::exchange(life.taken, {});
  missing -= totals_.cost;
  life.kept += std::max(missing, usd{});
  life.kept = std::max(life.kept, kept_by_lines_);
  usd untold = life.kept;
  untold -= kept_by_lines_;
  untold -= state_.kept_for_unfinished();
  carried_ = std::max(untold, usd{});
  earlier_wall_s_ = life.wall_s;
  earlier_most_ = life.max_requests_in_60s;
  if (state_.identity().empty()) state_.identify(fresh_identity());
  if (counts) budget_->add_spent(totals_.cost + life.kept);
}

// A fresh start. The money stays spent.
void job_record::start_over() {
  carried_ = totals_.cost + state_.counters().kept;
  state_.start_over(fresh_identity(), carried_);
  totals_ = {};
  earlier_ = {};
  stored_bad_lines_.clear();
  error_names_.clear();
  earlier_models_.clear();
  kept_by_line_.clear();
  errors_untidy_ = false;
  earlier_wall_s_ = 0;
  earlier_most_ = 0;
}

// The counters of a complete job stand in its totals. They are advice, and a damaged file costs the
// counts alone; but for what is kept of a budget. `known`: the state file tells them, too.
void job_record::load_life_from_totals(bool known) {
  const auto text = read_file(disk_, files_.totals);
  if (!text) return;
  const auto stored = nlohmann::json::parse(*text, nullptr, false);
  life_counters& life = state_.counters();
  const auto read = [&](std::uint64_t& counter, const char* name) {
    if (stored.is_object() && stored.contains(name) && stored[name].is_number_unsigned())
      counter = stored[name];
  };
  if (!known) {
    read(life.attempts, "attempts");
    read(life.retries, "retries");
    read(life.maybe_billed_attempts, "maybe_billed_attempts");
    read(life.max_requests_in_60s, "max_requests_in_60s");
    if (stored.is_object() && stored.contains("wall_s") && stored["wall_s"].is_number())
      life.wall_s = stored["wall_s"];
  }
  std::optional<usd> kept;
  if (stored.is_object()) {
    const auto told = stored.value("kept_usd", nlohmann::json("0"));
    if (told.is_string()) kept = usd::parse(told.get_ref<const std::string&>());
  }
  life.kept = std::max(life.kept, kept.value_or(usd{}));
  if (known) return;
  if (!kept) {
    if (counts_earlier_runs()) {
      refuse(fmt::format(
          "{}: is damaged, and with it what is kept of the budget; put a copy in its place, or "
          "count this run alone with --budget-mode run",
          files_.totals));
    }
    spdlog::warn("{}: is damaged; what earlier runs counted is lost", files_.totals);
    return;
  }
  const auto status = stored.value("status", nlohmann::json());
  if (counts_earlier_runs() && status != "completed") {
    refuse(
        fmt::format("{}: is missing, and with it what is reserved of the budget; put it back, or "
                    "count this run "
                    "alone with --budget-mode run",
                    files_.state));
  }
}

// What a line tells of the attempts of its request.
state_file::line_told job_record::told_by_line(const earlier& known) const {
  state_file::line_told line{.attempts = known.attempts(), .last_end = {}};
  if (known.is(done)) {
    if (known.is(unpriced)) line.last_end = attempt_end::unpriced;
  } else {
    const std::string& error = error_names_[known.error()];
    int status = 0;
    std::from_chars(error.data(), error.data() + error.size(), status);
    line.last_end = status != 0 ? end_by_status(status) : attempt_end::lost;
  }
  return line;
}

void job_record::move_aside() {
  // On record before it goes: a crash between the two counts its cost twice rather than not at all.
  state_made_ = !disk_.exists(files_.state);
  state_.write();
  for (const std::string& path : {files_.output, files_.errors, files_.totals}) {
    if (!disk_.exists(path)) continue;
    std::string aside;
    for (int n = 1; disk_.exists(aside = fmt::format("{}.old-{}", path, n)); ++n) {
    }
    if (const auto error = disk_.rename(path, aside))
      refuse(fmt::format("{}: cannot be moved aside ({})", path, error.message()));
  }
  output_.close();  // not before: another run would take them for its own
  errors_.close();
  output_exists_ = errors_exist_ = false;
}

// Reads it, and changes nothing: what is to be cut off behind its last whole line is told.
job_record::torn_end job_record::load_lines(output_file& file, bool successes) {
  std::uint64_t number = 0;
  std::uint64_t first_damaged = 0;
  torn_end end;
  const auto refuse_damaged = [&](std::uint64_t line) {
    refuse(fmt::format(
        "{} line {} is damaged; mend or delete that line{}", file.path(), line,
        options_.fresh ? ": what it cost counts for the budget" : ", or start over with --fresh"));
  };
  file.for_each_line([&](std::string_view text, std::uint64_t line_end, bool whole) {
    ++number;
    const auto line = parse_stored_line(text);
    if (!line) {
      if (!whole && json_fault(text)) return;  // torn by a crash: its request is sent again
      // After a power cut the last blocks may be there without their content.
      if (first_damaged == 0) first_damaged = number;
      if (text.find('\0') != std::string_view::npos) return;
      if (number == 1 && !json_fault(text)) refuse(foreign_file_sentence(file.path()));
    }
    if (first_damaged != 0) refuse_damaged(first_damaged);
    if (line->facts.succeeded != successes) refuse_damaged(number);
    if (line->simulated != options_.simulated) {
      refuse(
          fmt::format("{} holds {} results, and this run is {}; give it another place with "
                      "--output-dir{}",
                      file.path(), line->simulated ? "simulated" : "real",
                      options_.simulated ? "simulated" : "real",
                      options_.fresh ? "" : ", or start over with --fresh"));
    }
    remember(*line, successes);
    end.good = line_end;
    ++end.lines;
    end.lacks_newline = !whole;
  });
  return end;
}

void job_record::mend(output_file& file, const torn_end& end) {
  file.holds(end.lines);
  if (end.good < file.size()) file.truncate(end.good);
  if (!end.lacks_newline) return;
  std::string newline = "\n";
  file.append(newline);
  file.holds(end.lines);
}

std::uint32_t job_record::error_index(const std::string& name) {
  const auto found = std::find(error_names_.begin(), error_names_.end(), name);
  if (found != error_names_.end()) return static_cast<std::uint32_t>(found - error_names_.begin());
  if (error_names_.size() == earlier::most_errors) {
    refuse(
        fmt::format("{}: holds more kinds of failures than a run can write; mend it, or start "
                    "over with --fresh",
                    files_.errors));
  }
  error_names_.push_back(name);
  return static_cast<std::uint32_t>(error_names_.size() - 1);
}

void job_record::remember(const stored_line& line, bool success) {
  if (line.of_bad_line) {
    // Counted once the job shows that the line is still bad; the later of two lines stands.
    const stored_bad_line told{words_of(line.facts.error, line.custom_id, line.message),
                               error_index(line.facts.error)};
    if (!stored_bad_lines_.insert_or_assign(line.line, told).second) errors_untidy_ = true;
    return;
  }
  const hash128 id = hash_of(line.custom_id);
  auto [known, fresh] = earlier_.insert(id);
  if (line.kept != usd{}) {
    usd& kept = kept_by_line_[{id.high, id.low}];  // a later line tells of all that came before
    kept_by_lines_ -= kept;
    kept = std::max(kept, line.kept);
    kept_by_lines_ += kept;
  }
  count_attempts(*known, line.attempts);
  if (known->is(done)) {  // output wins over errors, and the first line over the second
    errors_untidy_ = true;
    return;
  }
  if (known->is(failed)) {
    totals_.take_back_failure(error_names_[known->error()], known->is(retryable));
    errors_untidy_ = true;
  }
  known->digest = short_digest(line.digest);
  known->set(done, success);
  if (success) earlier_models_.insert(line.facts.model);
  known->set(failed, !success);
  known->set(retryable, line.facts.retryable);
  known->set(unpriced, success && (!line.facts.cost || line.facts.estimated));
  if (!success) known->set_error(error_index(line.facts.error));
  totals_.add(line.facts);
}

// A line tells of all attempts that its request ever had; of two lines for one request the larger
// number holds the smaller.
void job_record::count_attempts(earlier& known, std::uint32_t attempts) {
  const std::uint32_t before = known.attempts();
  if (attempts <= before) return;
  known.set_attempts(attempts);
  const std::uint32_t more = known.attempts() - before;
  totals_.attempts += more;
  totals_.retries += before == 0 && more > 0 ? more - 1 : more;
}

void job_record::refuse_changed(const std::string& custom_id) const {
  refuse(fmt::format(
      "{}: request \"{}\" has changed since its result was written to {}; undo the change, or "
      "decide with --changed redo (send it again) or --changed keep (let the result stand)",
      files_.job, custom_id, files_.output));
}

// False: an earlier line of the job has the same id.
bool job_record::check_new(const request& next) {
  const hash128 id = hash_of(next.custom_id);
  if (earlier* known = earlier_.find(id)) {
    if (known->is(seen)) return false;
    known->set(seen, true);
    if (known->is(done) && known->digest != short_digest(next.digest)) {
      if (options_.changed == on_change::refuse) refuse_changed(next.custom_id);
      if (options_.changed == on_change::redo) make_outdated(*known);
    }
    return true;
  }
  return ids_.insert(id).second;
}

void job_record::make_outdated(earlier& known) {
  if (files_.job == "-") {
    refuse(
        "--changed redo needs the job as a file: of standard input, the changes are known too late "
        "to make room in the output");
  }
  known.set(outdated, true);
  must_make_room_ = true;
}

void job_record::make_room() {
  const auto stays = [this](const std::optional<stored_line>& line) {
    const earlier* known = line ? earlier_.find(hash_of(line->custom_id)) : nullptr;
    return known != nullptr && !known->is(outdated);
  };
  // What goes was paid. On record before it goes: a crash between the two counts it twice rather
  // than not at all.
  usd paid;
  output_.for_each_line([&](std::string_view text, std::uint64_t, bool) {
    const auto line = parse_stored_line(text);
    if (line && !stays(line)) paid += line->facts.cost.value_or(usd{});
  });
  state_.counters().kept += paid;
  state_.write();
  output_.rewrite(
      [&](std::string_view text, std::uint64_t) { return stays(parse_stored_line(text)); });
}

job_record::input job_record::release_input() {
  if (files_.job != "-") return {};
  return {std::move(reader_), std::exchange(first_line_, std::nullopt)};
}

void job_record::take_input(input&& before) {
  reader_ = std::move(before.reader);
  first_line_ = std::move(before.first_line);
}

void job_record::scan() {
  if (files_.job == "-") {
    if (reader_) return;  // it has been begun
    reader_ = std::make_unique<job_reader>(files_.job, lines_);
    first_line_ = reader_->next();
    if (!first_line_) refuse("standard input is empty; a job has one JSON object a line");
    return;
  }
  job_stamp_ = stamp_of(files_.job);
  job_reader reader(files_.job, lines_);
  while (auto line = reader.next()) {
    count_line(*line);
    job_hash_ = hash_with(job_hash_, *line);
    std::optional<bad_line> bad;
    if (!*line) {
      bad = line->error();
    } else if (!check_new(**line)) {
      duplicates_.push_back((*line)->line);
      bad = duplicate_line((*line)->line, (*line)->custom_id);
    }
    if (bad) {
      ++bad_lines_;
      if (!first_bad_) first_bad_ = std::move(bad);
      continue;
    }
    if (first_models_.size() < 2) first_models_.insert((*line)->model);
    std::uint32_t attempts = 0;
    if (!wanted(**line, attempts)) continue;
    ++to_send_;
    if (budget_ != nullptr) {
      (void)bound_or_refuse(**line);
    } else if (!prices_.find({}, (*line)->model, (*line)->target)) {
      ++unpriced_[(*line)->model];
    }
  }
  if (totals_.requests == 0)
    refuse(fmt::format("{}: is empty; a job has one JSON object a line", files_.job));
  if (lines_.strict && first_bad_) {
    refuse(fmt::format(
        "{} line {}: {} ({} bad lines in all; without --strict they go to the errors file)",
        files_.job, first_bad_->line, first_bad_->message, bad_lines_));
  }
  check_strays();
}

// What an attempt can cost at most; a request that cannot be bounded does not go out under a
// budget.
job_record::priced_bound job_record::bound_or_refuse(const request& next) const {
  const auto where = [&] {
    return fmt::format("{} line {}", files_.job == "-" ? "standard input" : files_.job, next.line);
  };
  std::optional<priced_bound> most;
  for (const std::string& model : named_models(next)) {
    const auto price = prices_.dearest(model, next.target);
    if (!price) {
      refuse(fmt::format(
          "{}: model {} has no price for {}, and --budget needs one; give it with --prices",
          where(), model, to_string(next.target)));
    }
    const auto bound = bound_tokens(next, prices_.is_renamed(model) ? "" : model,
                                    prices_.limits(model).output, options_.assume_max_tokens);
    if (!bound) {
      refuse(fmt::format(
          "{}: the request {}; under --budget, give it max_tokens as a whole number, or a "
          "bound for all with --assume-max-tokens",
          where(), bound.error()));
    }
    const priced_bound now{*bound, *price};
    if (!most || most->cost() < now.cost()) most = now;
  }
  return *most;
}

// By its tokens, which takes longer: not before it is to be sent.
void job_record::bound_cost(request& next) const {
  priced_bound most = bound_or_refuse(next);
  if (!prices_.is_renamed(next.model)) most.tokens.prompt = bound_prompt(next, most.tokens.prompt);
  next.most = most.cost();
  next.model_in_doubt = named_models(next).size() > 1;
}

void job_record::check_job_is_the_same() {
  if (files_.job == "-") return;
  std::string stamp = stamp_of(files_.job);
  if (stamp == job_stamp_) return;
  // Touched or copied anew is not changed.
  if (stamp != no_stamp && hash_of_job() == job_hash_) {
    job_stamp_ = std::move(stamp);
    return;
  }
  if (cancelled_.load()) return;
  refuse(
      fmt::format("{}: was changed while it was run; what is finished is kept, run the same "
                  "command again",
                  files_.job));
}

hash128 job_record::hash_of_job() const {
  hash128 hash;
  job_reader reader(files_.job, lines_);
  while (auto line = reader.next()) {
    if (cancelled_.load()) break;
    hash = hash_with(hash, *line);
  }
  return hash;
}

void job_record::count_line(const boost::system::result<request, bad_line>& line) {
  ++totals_.requests;
  last_line_ = line ? line->line : line.error().line;
}

// Every line of the job has been read, as far as the limit lets: what stands in the files beyond
// it?
void job_record::check_strays() {
  std::uint64_t strays = 0;
  earlier_.for_each([&](earlier& known) {
    if (known.is(seen)) return;
    if (lines_.limit != 0) {  // its request stands behind the limit
      if (known.is(done) || known.is(failed)) ++totals_.requests;
      return;
    }
    if (known.is(done)) {
      ++strays;
      if (options_.changed == on_change::redo) make_outdated(known);
      if (options_.changed == on_change::keep) ++totals_.requests;
    }
    if (known.is(failed)) {  // its request is gone, and so is its failure
      totals_.take_back_failure(error_names_[known.error()], known.is(retryable));
      known.set(failed, false);
      known.set(replaced, true);
      errors_untidy_ = true;
    }
  });
  for (const auto& [number, told] : stored_bad_lines_) {
    if (lines_.limit == 0 || number <= last_line_) continue;  // told anew when it is read again
    ++totals_.requests;
    ++bad_lines_;
    line_facts facts;
    facts.error = error_names_[told.error];
    totals_.add(facts);
  }
  if (strays == 0 || options_.changed != on_change::refuse) return;
  std::string first;
  output_.for_each_line([&](std::string_view text, std::uint64_t, bool) {
    if (!first.empty()) return;
    const auto line = parse_stored_line(text);
    const earlier* known = line ? earlier_.find(hash_of(line->custom_id)) : nullptr;
    if (known != nullptr && !known->is(seen)) first = line->custom_id;
  });
  refuse(fmt::format(
      "{} holds {} result(s) whose request is no longer in {}, \"{}\" first; put it back, or "
      "decide with --changed redo (drop them) or --changed keep (let them stand)",
      files_.output, strays, files_.job, first));
}

// Whether the request has no result yet that stands. Under the mutex, or before the threads start.
bool job_record::wanted(const request& next, std::uint32_t& attempts) {
  const earlier* known = earlier_.find(hash_of(next.custom_id));
  if (known == nullptr) return true;
  attempts = known->attempts();
  if (known->is(done)) return false;
  if (!known->is(failed) || known->is(retryable) || options_.retry_failed) return true;
  return known->digest != short_digest(next.digest);  // changed since it failed
}

void job_record::create() {
  if (options_.fresh) move_aside();
  if (output_exists_) mend(output_, output_end_);
  if (errors_exist_) mend(errors_, errors_end_);
  errors_before_ = errors_exist_ ? errors_.size() : 0;
  // A crash may have left them.
  remove_left_beside(disk_, disk_.resolved(files_.output), begins_as_unplaced_results);
  remove_left_beside(disk_, disk_.resolved(files_.errors), begins_as_unplaced_results);
  remove_left_beside(disk_, disk_.resolved(files_.totals), begins_as_unplaced_totals);
  remove_left_beside(disk_, disk_.resolved(files_.state), begins_as_unplaced_state);
  try {
    if (!output_exists_) {
      output_.create();
      output_made_ = true;
    }
    if (!errors_exist_) {
      errors_.create();
      errors_made_ = true;
    }
    // What an earlier run wrote counts as finished from here on; so it must be safe.
    if (options_.durable != durability::none || budget_ != nullptr) sync();
    if (!options_.fresh) {
      state_made_ = !disk_.exists(files_.state);
      state_.write();
    }
    if (!reader_) reader_ = std::make_unique<job_reader>(files_.job, lines_);
  } catch (...) {
    take_back();
    throw;
  }
}

void job_record::take_back() noexcept {
  if (output_made_) (void)disk_.remove(disk_.resolved(files_.output));
  if (errors_made_) (void)disk_.remove(disk_.resolved(files_.errors));
  if (state_made_) (void)state_.remove();
}

void job_record::cancel() {
  cancelled_.store(true);
  reader_->cancel();
}

bool job_record::complete() const {
  const std::lock_guard lock(mutex_);
  return read_to_end_ && outstanding_ == 0;
}

void job_record::put_bad(const bad_line& bad) {
  const std::string code(to_string(bad.code));
  line_facts facts;
  facts.error = code;
  totals_.add(facts);
  if (files_.job == "-") ++bad_lines_;  // of others, the scan has counted them
  reasons_.emplace(code, fmt::format("line {}: {}", bad.line, bad.message));
  if (const auto stored = stored_bad_lines_.find(bad.line); stored != stored_bad_lines_.end()) {
    if (stored->second.words == words_of(code, bad.custom_id, bad.message)) {
      current_bad_lines_.insert(bad.line);  // told already
      return;
    }
    errors_untidy_ = true;
  }
  result told;
  told.job = index_;
  told.line = bad.line;
  told.custom_id = bad.custom_id;
  failure why;
  why.code = bad.code;
  why.kind = failure_class::permanent;
  why.message = bad.message;
  told.outcome = why;
  error_lines_ += result_line(told, std::nullopt, options_.simulated);
  // A job may be one long list of bad lines, and no result come by that has them written.
  if (error_lines_.size() > most_kept_back) errors_.append(error_lines_);
}

// The next line, the one that scan() took from standard input first.
std::optional<boost::system::result<request, bad_line>> job_record::next_line() {
  if (cancelled_.load()) return std::nullopt;
  if (first_line_) return std::exchange(first_line_, std::nullopt);
  return reader_->next();
}

// Under the mutex.
void job_record::hand_out(request& next) {
  next.job = index_;
  next.attempts = next.settled_attempts;
  if (const auto* unfinished = state_.find(hash_of(next.custom_id))) {
    next.attempts = std::max(next.attempts, unfinished->attempts);
  }
  ++outstanding_;
}

std::vector<request> job_record::look_ahead(std::size_t count) {
  std::vector<request> found;
  if (files_.job == "-" || cancelled_.load()) return found;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  {
    const std::lock_guard lock(mutex_);
    begin = last_given_ + 1;
    end = last_line_ + 1;
  }
  if (begin >= end) return found;
  const std::uint64_t step = std::max<std::uint64_t>((end - begin) / (count + 1), 1);
  std::uint64_t from = begin + step;  // the next one is taken here or behind
  job_reader reader(files_.job, lines_);
  while (found.size() < count && !cancelled_.load()) {
    auto line = reader.next(from);
    if (!line) break;
    if (!*line) continue;
    request& next = **line;
    const bool duplicate = std::binary_search(duplicates_.begin(), duplicates_.end(), next.line);
    if (duplicate) continue;
    if (budget_ != nullptr) bound_cost(next);
    const std::lock_guard lock(mutex_);
    if (next.line <= last_given_ || !wanted(next, next.settled_attempts) ||
        !given_ahead_.insert(next.line).second) {
      continue;
    }
    hand_out(next);
    from = std::max(from + step, next.line + 1);
    found.push_back(std::move(next));
  }
  return found;
}

bool job_record::had_success(std::string_view model) const {
  if (model.empty()) return !earlier_models_.empty();
  return earlier_models_.contains(std::string(model));
}

std::optional<request> job_record::next_request() {
  while (auto line = next_line()) {
    if (++lines_given_ % lines_between_looks == 0) check_job_is_the_same();
    std::unique_lock lock(mutex_);
    const bool first_reading = files_.job == "-";
    if (first_reading) count_line(*line);
    if (!*line) {
      if (first_reading && lines_.strict) {
        refuse(
            fmt::format("standard input line {}: {}", line->error().line, line->error().message));
      }
      put_bad(line->error());
      continue;
    }
    request& next = **line;
    bool duplicate = false;
    if (first_reading) {
      duplicate = !check_new(next);
    } else if (next_duplicate_ < duplicates_.size() && duplicates_[next_duplicate_] == next.line) {
      duplicate = true;
      ++next_duplicate_;
    }
    if (duplicate) {
      put_bad(duplicate_line(next.line, next.custom_id));
      continue;
    }
    if (!wanted(next, next.settled_attempts)) continue;
    last_given_ = next.line;
    if (given_ahead_.erase(next.line) > 0) continue;
    if (budget_ != nullptr) {
      lock.unlock();  // counting takes a while, and results come in
      bound_cost(next);
      lock.lock();
    }
    hand_out(next);
    return std::move(next);
  }
  if (cancelled_.load()) return std::nullopt;
  check_job_is_the_same();
  const std::lock_guard lock(mutex_);
  if (cancelled_.load()) return std::nullopt;
  if (files_.job == "-") check_strays();
  read_to_end_ = true;
  return std::nullopt;
}

funds job_record::reserve(const request& next) {
  return budget_ == nullptr ? funds::reserved : budget_->reserve(next.most);
}

void job_record::unreserve(const request& next) {
  if (budget_ != nullptr) budget_->give_back(next.most);
}

void job_record::attempt_started(const attempt_record& attempt) {
  const std::lock_guard lock(mutex_);
  state_.started(hash_of(attempt.custom_id), attempt.number, attempt.most);
}

void job_record::attempt_ended(const attempt_record& attempt, attempt_end how) {
  const std::lock_guard lock(mutex_);
  state_.ended(hash_of(attempt.custom_id), how);
  if (budget_ == nullptr) return;
  if (keeps_reservation(how)) {
    budget_->settle(attempt.most, attempt.most);
  } else {
    budget_->give_back(attempt.most);
  }
}

void job_record::put(const result& finished) {
  std::optional<usd> cost;
  bool reported = false;
  if (finished.outcome) {
    const reply& whole = *finished.outcome;
    const auto& used = whole.usage ? whole.usage : whole.estimated_usage;
    const auto price = prices_.find(finished.relay, finished.model, finished.target);
    if (used && price) cost = price->cost(*used);
    reported = whole.usage.has_value();
  }
  const hash128 id = hash_of(finished.custom_id);
  std::exception_ptr unrecorded;
  usd kept;
  {
    const std::lock_guard lock(mutex_);
    if (const auto told = kept_by_line_.find({id.high, id.low}); told != kept_by_line_.end())
      kept = told->second;
    if (const auto* attempt = state_.find(id); attempt != nullptr) {
      // Else the relay may bill more than is counted here.
      const bool settles = cost && reported && !finished.model_in_doubt;
      if (attempt->open) {
        if (budget_ != nullptr)
          budget_->settle(attempt->reserved, settles ? *cost : attempt->reserved);
        // On record before the line is: a crash between the two keeps too much rather than too
        // little.
        if (!settles) {
          try {
            state_.ended(id, attempt_end::unpriced, cost.value_or(usd{}));
          } catch (...) {  // the result is paid for: its line is kept all the same
            unrecorded = std::current_exception();
          }
        }
      }
      kept += attempt->kept;
    }
    kept += std::exchange(carried_, {});  // so that the totals are not its only proof
  }
  const std::string line = result_line(finished, cost, options_.simulated, kept);
  const std::lock_guard lock(mutex_);
  state_.settled(id);
  if (earlier* known = earlier_.find(id); known != nullptr && known->is(failed)) {
    totals_.take_back_failure(error_names_[known->error()], known->is(retryable));
    known->set(failed, false);
    known->set(replaced, true);
    errors_untidy_ = true;
  }
  totals_.add(facts_of(finished, cost));
  if (!finished.outcome) {
    const failure why = finished.outcome.error();
    reasons_.emplace(error_name(why), why.message);
  }
  (finished.outcome ? output_lines_ : error_lines_) += line;
  --outstanding_;  // not before: a result that could not be taken leaves the job incomplete
  if (unrecorded) std::rethrow_exception(unrecorded);
}

void job_record::flush() {
  {
    const std::lock_guard lock(mutex_);
    std::exception_ptr fault;
    for (auto [file, lines] : {std::pair{&output_, &output_lines_}, {&errors_, &error_lines_}}) {
      try {
        file->append(*lines);
      } catch (...) {
        fault = std::current_exception();
      }
    }
    if (fault) std::rethrow_exception(fault);
  }
}

std::uint64_t job_record::unwritten() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint64_t>(std::count(output_lines_.begin(), output_lines_.end(), '\n') +
                                    std::count(error_lines_.begin(), error_lines_.end(), '\n') +
                                    static_cast<std::ptrdiff_t>(output_.lost() + errors_.lost()));
}

bool job_record::disk_is_full() const {
  const std::lock_guard lock(mutex_);
  return output_.is_full() || errors_.is_full();
}

void job_record::require_intact() {
  const std::lock_guard lock(mutex_);
  for (output_file* file : {&output_, &errors_}) {
    if (file->is_intact()) continue;
    throw fatal_error(
        fatal_error::kind::cannot_write,
        fmt::format("{}: was moved, replaced or changed by another program while the run went on",
                    file->path()));
  }
}

// Files that others have touched get no more lines: what is known of them goes elsewhere, once.
void job_record::rescue_files() {
  const std::lock_guard lock(mutex_);
  if (rescued_.empty()) {
    for (auto [file, lines] : {std::pair{&output_, &output_lines_}, {&errors_, &error_lines_}}) {
      if (file->is_intact()) continue;
      // Requests whose results do not come back are sent again, and paid again.
      if (file == &output_ && budget_ != nullptr) state_.counters().taken = totals_.cost;
      const std::string sentence = file->rescue(*lines);
      rescued_ += (rescued_.empty() ? "" : "; ") + sentence;
    }
  }
  if (!rescued_.empty()) throw fatal_error(fatal_error::kind::cannot_write, rescued_);
}

void job_record::sync() {
  output_.sync();
  errors_.sync();
}

std::error_code job_record::sync_state() const {
  std::shared_ptr<file> opened;
  {
    const std::lock_guard lock(mutex_);
    opened = state_.opened();
  }
  return opened->sync();
}

job_record::checkpoint_step job_record::begin_checkpoint(job_status status, double run_seconds,
                                                         std::uint64_t most_in_a_minute) {
  flush();
  checkpoint_step begun;
  {
    const std::lock_guard lock(mutex_);
    life_counters& life = state_.counters();
    life.wall_s = earlier_wall_s_ + run_seconds;
    life.max_requests_in_60s = std::max(earlier_most_, most_in_a_minute);
    // Requests behind the limit may have been sent by an earlier run.
    const bool whole_job = lines_.limit == 0 || !state_.has_unfinished();
    const bool nothing_left = status == job_status::completed && whole_job;
    if (!nothing_left) begun.state = state_.begin_writing();
  }
  begun.totals = totals().to_json(files_.job, status);
  return begun;
}

void job_record::end_checkpoint(checkpoint_step&& begun) {
  // The state file forgets an attempt once its line is safe.
  if (options_.durable != durability::none || budget_ != nullptr) sync();
  if (begun.state) place_state(*begun.state);
  require_ours(disk_, files_.totals, begins_as_totals, fatal_error::kind::cannot_write);
  replace_file(disk_, files_.totals, begun.totals, begins_as_unplaced_totals);
  if (begun.state) return;
  // The totals hold the counters from here on.
  if (const auto error = state_.remove()) {
    throw fatal_error(fatal_error::kind::cannot_write,
                      fmt::format("{}: cannot be removed ({}); mend the disk, and run the same "
                                  "command again",
                                  files_.state, error.message()));
  }
}

void job_record::place_state(state_file::rewrite& fresh) {
  constexpr int most_rounds = 3;  // each leaves less to catch up with
  const auto or_throw = [this](const std::error_code& error) {
    if (!error) return;
    throw fatal_error(fatal_error::kind::cannot_write,
                      fmt::format("{}: cannot be written ({}); make room or mend the disk, and run "
                                  "the same command again",
                                  files_.state, error.message()));
  };
  try {
    fresh.write_beside();
    for (int round = 0; round < most_rounds; ++round) {
      bool more = false;
      {
        const std::lock_guard lock(mutex_);
        more = state_.catch_up(fresh);
      }
      if (!more) break;
      or_throw(state_.sync(fresh));
    }
    const std::lock_guard lock(mutex_);
    state_.place(fresh);
    state_.end_writing();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    state_.end_writing();
    throw;
  }
  or_throw(disk_.sync_folder_of(disk_.resolved(files_.state)));
}

// What the errors file says of a bad line is true no more: the line is good, gone, or bad in
// another way.
bool job_record::is_mended(std::uint64_t line) const {
  const bool read = read_to_end_ && (lines_.limit == 0 || line <= last_line_);
  return read && !current_bad_lines_.contains(line);
}

// An errors line that must not stand when the run has ended.
bool job_record::is_stale(std::string_view text, std::uint64_t end) {
  const auto line = parse_stored_line(text);
  if (!line) return true;
  const bool written_now = end > errors_before_;
  if (line->of_bad_line) return !written_now && is_mended(line->line);
  const earlier* known = earlier_.find(hash_of(line->custom_id));
  if (known == nullptr || written_now) return false;
  return known->is(done) || known->is(replaced);
}

void job_record::finish() {
  rescue_files();
  flush();
  const bool bad_lines_changed =
      std::any_of(stored_bad_lines_.begin(), stored_bad_lines_.end(),
                  [&](const auto& stored) { return is_mended(stored.first); });
  if (errors_untidy_ || bad_lines_changed) {
    // Of two lines for one request, or for one bad line, the later one stands.
    const auto subject = [](const stored_line& line) {
      return hash_of(line.of_bad_line ? fmt::format("line\n{}", line.line) : line.custom_id);
    };
    std::uint64_t number = 0;
    id_table<std::uint64_t> last;
    errors_.for_each_line([&](std::string_view text, std::uint64_t, bool) {
      if (const auto line = parse_stored_line(text)) *last.insert(subject(*line)).first = number;
      ++number;
    });
    number = 0;
    errors_.rewrite([&](std::string_view text, std::uint64_t end) {
      const std::uint64_t mine = number++;
      return !is_stale(text, end) && *last.find(subject(*parse_stored_line(text))) == mine;
    });
    errors_before_ = 0;  // what is left stands, however often this is called
  }
  output_.give_back_room();
  errors_.give_back_room();
  if (options_.durable != durability::none) sync();
}

std::map<std::string, std::string> job_record::failure_reasons() const {
  const std::lock_guard lock(mutex_);
  return reasons_;
}

job_totals job_record::totals() const {
  const std::lock_guard lock(mutex_);
  job_totals now = totals_;
  const life_counters& life = state_.counters();
  now.attempts = life.attempts;
  now.retries = life.retries;
  now.maybe_billed_attempts = life.maybe_billed_attempts;
  now.max_requests_in_60s = life.max_requests_in_60s;
  now.wall_s = life.wall_s;
  now.kept = life.kept;
  return now;
}

}  // namespace sluice
