#include "jobs/result_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/id_table.hpp"
#include "base/ordered_tasks.hpp"
#include "base/translated_error.hpp"
#include "jobs/own_files.hpp"
#include "json/text.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

constexpr std::size_t most_kept_back = std::size_t{1} << 20;  // bytes of lines not written yet

std::uint64_t count_lines(const std::string& text) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// A block and its lines, parsed.
class parsed_block {
 public:
  explicit parsed_block(file_block block) : block_(std::move(block)) {
    block_.for_each_line([this](std::string_view text, std::uint64_t end, bool whole) {
      lines_.push_back({text, end, whole, parse_stored_line(text)});
    });
  }
  struct line {
    std::string_view text;
    std::uint64_t end = 0;  // in the file
    bool whole = false;     // it has a newline
    std::optional<stored_line> parsed;
  };
  const std::vector<line>& lines() const { return lines_; }

 private:
  file_block block_;
  std::vector<line> lines_;  // with views into block_
};

}  // namespace

result_files::result_files(const job_setup& job)
    : job_(job),
      output_(job.disk, job.files.output),
      errors_(job.disk, job.files.errors),
      state_(job.disk, job.files.state, std::filesystem::path(job.files.output).filename().string(),
             job.output.simulated) {
  constexpr std::uint64_t errors_share = 16;  // errors are few and short
  output_.file.keep_room(job.room);
  errors_.file.keep_room(job.room / errors_share);
  require_own_sidecars();
  for (lines_file* lines : {&output_, &errors_}) lines->is_there = lines->file.open_existing();
  has_totals_ = job.disk.exists(job.files.totals);
  has_state_ = state_.load();
  for (const lines_file* lines : {&output_, &errors_}) {
    if (lines->is_there) require_own_lines(lines->file);
  }
}

void result_files::require_own_sidecars() const {
  for (const std::string& path : {job_.files.totals, job_.files.state}) {
    if (!job_.disk.is_folder(path)) continue;
    refuse(fmt::format(
        "{}: is a directory; move it away, or choose another place with -o or --output-dir", path));
  }
  require_ours(job_.disk, job_.files.totals, begins_as_totals);
  for (const std::string& other : other_outputs(job_.files)) {
    if (!job_.disk.exists(other) || job_.disk.is_folder(other)) continue;
    std::error_code unreadable;
    const auto opened =
        job_.disk.open(job_.disk.resolved(other), file_system::open_as::read_only, unreadable);
    if (!opened || !opened->is_regular() || !begins_as_results(begin_of(*opened, unreadable)))
      continue;
    refuse(fmt::format("{} and {} would share {} and {}; choose another name with -o",
                       job_.files.output, other, job_.files.errors, job_.files.totals));
  }
}

// Files that are not provably ours are not changed.
void result_files::require_own_lines(const output_file& file) const {
  const std::string begin = file.begin();
  if (begin.empty() || begins_as_results(begin)) return;
  if ((state_.records_output() || has_totals_) && may_be_torn_results(begin)) return;
  // A tool may have written our lines again, and the first line may be longer than `begin`. In this
  // case read() decides.
  const bool goes_on = begin.size() < file.size() && begin.find('\n') == std::string::npos;
  if (goes_on && begin.find("\"custom_id\"") != std::string::npos) return;
  refuse(foreign_file_sentence(file.path()));
}

void result_files::read_lines(const line_visitor& visit) {
  if (output_.is_there) output_.end = read(output_.file, true, visit);
  if (errors_.is_there) errors_.end = read(errors_.file, false, visit);
  // A run that died before its first line has left only its attempts.
  if (const auto simulated = state_.was_simulated())
    require_same_kind(job_.files.state, *simulated);
}

void result_files::require_same_kind(const std::string& path, bool simulated) const {
  const output_options& options = job_.output;
  if (simulated == options.simulated) return;
  throw other_kind(
      fatal_error::kind::cannot_start,
      fmt::format("{} holds {} results, and this run is {}; give it another place with -o or "
                  "--output-dir{}",
                  path, simulated ? "simulated" : "real", options.simulated ? "simulated" : "real",
                  options.fresh ? "" : ", or start over with --fresh"));
}

// Changes nothing. Returns what must be truncated after the last complete line.
result_files::torn_end result_files::read(const output_file& file, bool successes,
                                          const line_visitor& visit) const {
  std::uint64_t number = 0;
  std::uint64_t first_damaged = 0;
  torn_end end;
  const output_options& options = job_.output;
  const auto refuse_damaged = [&](std::uint64_t line) {
    refuse(fmt::format(
        "{} line {} is damaged; repair or delete that line{}", file.path(), line,
        options.fresh ? ": what it cost counts for the budget" : ", or start over with --fresh"));
  };
  const auto take_line = [&](const parsed_block::line& at) {
    ++number;
    const auto& line = at.parsed;
    if (!line) {
      if (!at.whole && json_fault(at.text)) return;  // torn by a crash; its request is sent again
      // After a power failure the last blocks of the file may exist without their content.
      if (first_damaged == 0) first_damaged = number;
      if (at.text.find('\0') != std::string_view::npos) return;
      if (number == 1 && !json_fault(at.text)) refuse(foreign_file_sentence(file.path()));
    }
    if (first_damaged != 0) refuse_damaged(first_damaged);
    if (line->facts.succeeded != successes) refuse_damaged(number);
    require_same_kind(file.path(), line->simulated);
    visit(*line, successes, end.good);
    end.good = at.end;
    ++end.lines;
    end.lacks_newline = !at.whole;
  };
  bool taking = false;  // after an exception: a line was refused
  ordered_tasks<file_block, parsed_block> parse(
      reading_threads(), [](file_block block) { return parsed_block(std::move(block)); },
      [&](const parsed_block& block) {
        taking = true;
        for (const parsed_block::line& line : block.lines()) take_line(line);
        taking = false;
      });
  try {
    file.for_each_block([&](file_block block) { parse.add(std::move(block)); });
  } catch (const fatal_error&) {
    if (!taking) parse.finish();  // the lines before the part that cannot be read count
    throw;
  }
  parse.finish();
  return end;
}

void result_files::drop_results(const std::function<bool(const stored_line&)>& stands) {
  // The removed results were paid for. Their cost is recorded before the lines are removed. A crash
  // between the two steps then counts it twice, which is better than not at all.
  usd paid;
  output_.file.for_each_line([&](std::string_view text, std::uint64_t, bool) {
    const auto line = parse_stored_line(text);
    if (line && !stands(*line)) paid += line->facts.known_cost();
  });
  state_.counters().kept += paid;
  sync_before_state();
  state_.write();
  output_.file.rewrite([&](std::string_view text, std::uint64_t) {
    const auto line = parse_stored_line(text);
    return line && stands(*line);
  });
}

void result_files::create() {
  try {
    make_files();
  } catch (...) {
    take_back();
    throw;
  }
}

void result_files::make_files() {
  if (job_.output.fresh) move_aside();
  for (lines_file* lines : {&output_, &errors_}) {
    if (!lines->is_there) continue;
    // This comes first, because everything else that is written needs the space.
    lines->file.give_back_earlier_room();
    mend(lines->file, lines->end);
  }
  errors_before_ = errors_.is_there ? errors_.file.size() : 0;
  // Remove temporary files that a crash may have left.
  file_system& disk = job_.disk;
  remove_stale_temporary(disk, disk.resolved(job_.files.output), begins_as_unplaced_results);
  remove_stale_temporary(disk, disk.resolved(job_.files.errors), begins_as_unplaced_results);
  remove_stale_temporary(disk, disk.resolved(job_.files.totals), begins_as_unplaced_totals);
  line_order::remove_stale(disk, disk.resolved(job_.files.output));
  line_order::remove_stale(disk, disk.resolved(job_.files.errors));
  remove_stale_temporary(disk, disk.resolved(job_.files.state), begins_as_unplaced_state);
  for (lines_file* lines : {&output_, &errors_}) {
    if (lines->is_there) continue;
    lines->file.create();
    lines->is_made = true;
    sync_folder_elsewhere(lines->file.path());
  }
  // Results of earlier runs count as finished from here on, so they must be on the disk.
  if (job_.output.durable != durability::none || job_.shared != nullptr) sync();
  if (!job_.output.fresh) {
    totals_before_ = read_file(disk, job_.files.totals);
    state_is_made_ = !disk.exists(job_.files.state);
    state_.write_without_folder_sync();  // the first checkpoint syncs the folder
  }
}

void result_files::move_aside() {
  // The cost is recorded before the files are moved. A crash between the two steps then counts it
  // twice, which is better than not at all.
  state_before_ = read_file(job_.disk, job_.files.state);
  state_is_made_ = !state_before_;
  state_.write();
  for (const std::string& path : {job_.files.output, job_.files.errors, job_.files.totals}) {
    if (!job_.disk.exists(path)) continue;
    moved_file moved{path, job_.disk.resolved(path), {}};  // a link stays
    for (int n = 1; job_.disk.exists(moved.to = fmt::format("{}.old-{}", moved.from, n)); ++n) {
    }
    if (const auto error = job_.disk.rename(moved.from, moved.to))
      refuse(fmt::format("{}: cannot be moved aside ({})", path, error.message()));
    moved_.push_back(std::move(moved));
  }
  for (lines_file* lines : {&output_, &errors_}) {
    lines->file.close();  // not earlier: another run would take the file as its own
    lines->is_there = false;
  }
}

void result_files::mend(output_file& file, const torn_end& end) {
  file.holds(end.lines);
  if (end.good < file.size()) file.truncate(end.good);
  if (!end.lacks_newline) return;
  std::string newline = "\n";
  file.append(newline);
  file.holds(end.lines);
}

void result_files::take_back() noexcept {
  const bool all_back = move_back();
  if (output_.is_made) (void)job_.disk.remove(job_.disk.resolved(job_.files.output));
  if (errors_.is_made) (void)job_.disk.remove(job_.disk.resolved(job_.files.errors));
  // The new state contains what the files that were moved aside have cost, and the counters that a
  // complete job has in its totals.
  if (!take_back_totals() || !all_back) return;
  if (state_is_made_) {
    (void)state_.remove();
  } else if (state_before_) {
    try {
      state_.restore(*std::move(state_before_));
    } catch (const fatal_error&) {
      // The new state stays. It counts the results a second time, so no more than the budget is
      // spent.
    }
  }
}

// Moves the files of a fresh start back. Each replaces the file that create() made in its place:
// that one is locked, so no other run can take the place meanwhile.
bool result_files::move_back() noexcept {
  bool all_back = true;
  for (const auto& [path, from, to] : moved_) {
    lines_file* const made = path == job_.files.output   ? &output_
                             : path == job_.files.errors ? &errors_
                                                         : nullptr;
    const bool is_totals = path == job_.files.totals;
    const bool is_ours = is_totals ? totals_are_written_ : made != nullptr && made->is_made;
    if ((!is_ours && job_.disk.exists(from)) || job_.disk.rename(to, from)) {
      all_back = false;
      continue;
    }
    if (is_totals) {
      totals_are_written_ = false;
    } else if (is_ours) {
      made->is_made = false;
    }
    // The new state, which contains their cost, goes only when they are back on the disk.
    if (job_.disk.sync_folder_of(from)) all_back = false;
  }
  moved_.clear();
  return all_back;
}

bool result_files::take_back_totals() noexcept {
  if (!std::exchange(totals_are_written_, false)) return true;
  try {
    const auto now = read_file(job_.disk, job_.files.totals);
    if (now == totals_before_) return true;
    if (!totals_before_) return !job_.disk.remove(job_.disk.resolved(job_.files.totals));
    replace_file(job_.disk, job_.files.totals, *totals_before_, begins_as_unplaced_totals);
  } catch (const fatal_error&) {
    return false;
  }
  return true;
}

void result_files::attempt_started(const hash128& id, std::uint32_t number, usd reserved) {
  const std::lock_guard lock(mutex_);
  state_.started(id, number, reserved);
}

void result_files::attempt_ended(const hash128& id, attempt_end how, usd line_cost) {
  const std::lock_guard lock(mutex_);
  state_.ended(id, how, line_cost);
}

void result_files::rejected(const hash128& id, const std::string& model,
                            const rejected_reply& reply, usd keep) {
  const std::lock_guard lock(mutex_);
  state_.rejected(id, model, reply, keep);
}

std::vector<std::pair<std::string, rejected_reply>> result_files::keep_rejected(
    const std::function<bool(const hash128&)>& is_gone) {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, rejected_reply>> kept;
  state_.for_each_rejected(
      [&](const hash128& id, const std::string& model, const rejected_reply& reply) {
        if (is_gone(id)) kept.emplace_back(model, reply);
      });
  state_.keep_rejected(is_gone);
  return kept;
}

std::optional<state_file::unfinished> result_files::unfinished(const hash128& id) const {
  const std::lock_guard lock(mutex_);
  const auto* found = state_.find(id);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

bool result_files::have_unfinished() const {
  const std::lock_guard lock(mutex_);
  return state_.has_unfinished();
}

bool result_files::have_unfinished(const std::function<bool(const hash128&)>& counts) const {
  const std::lock_guard lock(mutex_);
  return state_.has_unfinished(counts);
}

void result_files::write_records() {
  const std::lock_guard lock(mutex_);
  state_.write_records();
}

std::error_code result_files::sync_state() {
  std::shared_ptr<file> opened;
  {
    const std::lock_guard lock(mutex_);
    opened = state_.opened();
  }
  // The system reports only once that it could not write a file.
  if (opened == unsynced_state_) return state_fault_;
  const std::error_code error = opened->sync();
  if (error && !opened->keeps_unsynced()) {
    unsynced_state_ = std::move(opened);
    state_fault_ = error;
  }
  return error;
}

life_counters result_files::counters() const {
  const std::lock_guard lock(mutex_);
  return state_.counters();
}

void result_files::set_times(double wall_s, std::uint64_t max_requests_in_60s) {
  const std::lock_guard lock(mutex_);
  life_counters& life = state_.counters();
  life.wall_s = wall_s;
  life.max_requests_in_60s = max_requests_in_60s;
}

void result_files::set_rate_limit(std::uint64_t rpm) {
  const std::lock_guard lock(mutex_);
  state_.counters().rpm = rpm;
}

void result_files::put(const hash128& id, std::string_view line, bool success) {
  const std::lock_guard lock(mutex_);
  state_.settled(id);
  (success ? output_ : errors_).waiting += line;
}

void result_files::put_bad_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  errors_.waiting += line;
  // If the job has many bad lines and no results, no flush() would write these lines for a long
  // time.
  if (errors_.waiting.size() > most_kept_back) errors_.file.append(errors_.waiting);
}

void result_files::drop_bad_lines() {
  const std::lock_guard lock(mutex_);
  errors_.waiting.clear();
  if (errors_.file.size() > errors_before_) errors_.file.truncate(errors_before_);
}

void result_files::flush() {
  const std::lock_guard lock(mutex_);
  std::exception_ptr fault;
  const auto attempt = [&fault](const auto& write) {
    try {
      write();
    } catch (...) {
      fault = std::current_exception();
    }
  };
  // Records are written before the lines. A crash between the two then keeps too much of the budget
  // rather than too little. Lines are written in any case, because they are paid for.
  attempt([&] { state_.write_records(); });
  for (lines_file* lines : {&output_, &errors_}) {
    attempt([&] { lines->file.append(lines->waiting); });
  }
  if (fault) std::rethrow_exception(fault);
}

void result_files::sync() {
  output_.file.sync();
  errors_.file.sync();
}

std::uint64_t result_files::unwritten() const {
  const std::lock_guard lock(mutex_);
  return count_lines(output_.waiting) + count_lines(errors_.waiting) + output_.file.lost() +
         errors_.file.lost();
}

bool result_files::disk_is_full() const {
  const std::lock_guard lock(mutex_);
  return output_.file.is_full() || errors_.file.is_full();
}

// Lines that rescue() has saved elsewhere are on the disk.
bool result_files::lacks_sync() const {
  const std::lock_guard lock(mutex_);
  return rescued_.empty() && (output_.file.lacks_sync() || errors_.file.lacks_sync());
}

std::string result_files::find_result(
    const std::function<bool(const std::string&)>& is_meant) const {
  const std::lock_guard lock(mutex_);
  std::string first;
  output_.file.for_each_line([&](std::string_view text, std::uint64_t, bool) {
    if (!first.empty()) return;
    const auto line = parse_stored_line(text);
    if (line && is_meant(line->custom_id)) first = line->custom_id;
  });
  return first;
}

void result_files::read_written(
    const std::function<void(const stored_line&, bool, std::uint64_t, bool)>& visit) const {
  const std::lock_guard lock(mutex_);
  for (const lines_file* lines : {&output_, &errors_}) {
    const bool success = lines == &output_;
    std::uint64_t begin = 0;
    lines->file.for_each_line([&](std::string_view text, std::uint64_t end, bool whole) {
      const std::uint64_t offset = std::exchange(begin, end);
      const auto line = whole ? parse_stored_line(text) : std::nullopt;
      if (line) visit(*line, success, offset, !success && offset < errors_before_);
    });
  }
}

void result_files::read_failures(
    const std::function<void(const stored_line&, std::uint64_t)>& visit) const {
  const std::lock_guard lock(mutex_);
  if (!errors_.is_there) return;
  std::uint64_t begin = 0;
  errors_.file.for_each_line([&](std::string_view text, std::uint64_t end, bool) {
    const std::uint64_t offset = std::exchange(begin, end);
    if (const auto line = parse_stored_line(text)) visit(*line, offset);
  });
}

std::string result_files::line_at(bool success, std::uint64_t offset) const {
  const std::lock_guard lock(mutex_);
  return (success ? output_ : errors_).file.line_at(offset);
}

void result_files::require_intact() {
  const std::lock_guard lock(mutex_);
  for (lines_file* lines : {&output_, &errors_}) {
    if (lines->file.is_intact()) continue;
    throw fatal_error(
        fatal_error::kind::cannot_write,
        fmt::format("{}: was moved, replaced or changed by another program while the run went on",
                    lines->file.path()));
  }
}

void result_files::rescue(usd paid) {
  const std::lock_guard lock(mutex_);
  if (rescued_.empty()) {
    for (lines_file* lines : {&output_, &errors_}) {
      if (lines->file.is_intact()) continue;
      // Requests whose results are lost are sent again and paid for again. Lines of the errors file
      // may have a cost, too: that of rejected replies.
      state_.counters().taken = paid;
      const std::string sentence = lines->file.rescue(lines->waiting);
      rescued_ += (rescued_.empty() ? "" : "; ") + sentence;
    }
  }
  if (!rescued_.empty()) throw fatal_error(fatal_error::kind::cannot_write, rescued_);
}

// A crash between this and the removal of the lines counts the amount twice, which is better than
// not at all.
void result_files::keep(usd amount) {
  sync_before_state();
  const std::lock_guard lock(mutex_);
  state_.counters().kept += amount;
  try {
    state_.write();
  } catch (...) {
    state_.counters().kept -= amount;  // the lines stay
    throw;
  }
}

void result_files::tidy_errors(const std::function<bool(const stored_line&)>& is_stale) {
  const std::lock_guard lock(mutex_);
  output_.file.sync();  // a line is removed only after its replacement is on the disk
  const auto subject = [](const stored_line& line) {
    return hash_of(line.of_bad_line ? fmt::format("line\n{}", line.line) : line.custom_id);
  };
  std::uint64_t number = 0;
  id_table<std::uint64_t> last;
  errors_.file.for_each_line([&](std::string_view text, std::uint64_t, bool) {
    if (const auto line = parse_stored_line(text)) *last.insert(subject(*line)).first = number;
    ++number;
  });
  number = 0;
  errors_.file.rewrite([&](std::string_view text, std::uint64_t end) {
    const std::uint64_t mine = number++;
    const auto line = parse_stored_line(text);
    if (!line || *last.find(subject(*line)) != mine) return false;
    return end > errors_before_ || !is_stale(*line);
  });
  errors_before_ = 0;  // the remaining lines stay, even if this is called again
}

void result_files::give_back_room() {
  const std::lock_guard lock(mutex_);
  output_.file.give_back_room();
  errors_.file.give_back_room();
}

void result_files::replace_unsynced() {
  const std::lock_guard lock(mutex_);
  for (lines_file* lines : {&output_, &errors_}) {
    output_file& file = lines->file;
    if (!file.lacks_sync() || !file.is_intact()) continue;
    file.rewrite([&](std::string_view text, std::uint64_t end) {
      if (end > file.size()) return false;  // an incomplete line
      if (parse_stored_line(text)) return true;
      // The system may have dropped what it could not write.
      throw fatal_error(
          fatal_error::kind::cannot_write,
          fmt::format("{}: lines that could not be written to the disk are lost; fix the disk, and "
                      "run the same command again",
                      file.path()));
    });
  }
}

void result_files::sort() {
  const std::lock_guard lock(mutex_);
  output_.file.sort(job_line_of);
  errors_.file.sort(job_line_of);
}

result_files::checkpoint result_files::begin_checkpoint(std::string totals, bool needs_state) {
  const std::lock_guard lock(mutex_);
  checkpoint begun;
  begun.totals = std::move(totals);
  begun.needs_state = needs_state;
  if (needs_state && !state_.is_current()) begun.state = state_.begin_writing();
  return begun;
}

// The state file forgets an attempt only when its line is on the disk.
void result_files::sync_before_state() {
  if (job_.output.durable != durability::none || job_.shared != nullptr) sync();
}

void result_files::end_checkpoint(checkpoint&& begun) {
  sync_before_state();
  if (begun.state) place_state(*begun.state);
  require_ours(job_.disk, job_.files.totals, begins_as_totals, fatal_error::kind::cannot_write);
  totals_are_written_ = true;
  replace_file(job_.disk, job_.files.totals, begun.totals, begins_as_unplaced_totals);
  if (begun.needs_state) {
    // The state file may be new in its folder: create() does not sync it.
    if (!begun.state) sync_folder_elsewhere(job_.files.state);
    return;
  }
  // From here on the totals contain the counters.
  const std::lock_guard lock(mutex_);
  if (const auto error = state_.remove()) {
    throw fatal_error(fatal_error::kind::cannot_write,
                      fmt::format("{}: cannot be removed ({}); fix the disk, and run the same "
                                  "command again",
                                  job_.files.state, error.message()));
  }
}

// Syncs the folder of the file if it is not that of the totals, which a checkpoint syncs.
void result_files::sync_folder_elsewhere(const std::string& path) const {
  const std::string target = job_.disk.resolved(path);
  const std::string totals = job_.disk.resolved(job_.files.totals);
  if (std::filesystem::path(target).parent_path() == std::filesystem::path(totals).parent_path())
    return;
  throw_if(job_.disk.sync_folder_of(target), path);
}

void result_files::throw_if(const std::error_code& error, const std::string& path) {
  if (!error) return;
  throw translated_error(fatal_error::kind::cannot_write,
                         worded("{}: cannot be written ({}); make room or fix the disk, and run "
                                "the same command again",
                                path, error.message()));
}

void result_files::place_state(state_file::rewrite& fresh) {
  constexpr int most_rounds = 3;  // each round leaves less to add
  try {
    fresh.write_beside();
    for (int round = 0; round < most_rounds; ++round) {
      bool more = false;
      {
        const std::lock_guard lock(mutex_);
        more = state_.catch_up(fresh);
      }
      if (!more) break;
      throw_if(state_.sync(fresh), job_.files.state);
    }
    const std::lock_guard lock(mutex_);
    state_.place(fresh);
    state_.end_writing();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    state_.end_writing();
    throw;
  }
  throw_if(job_.disk.sync_folder_of(job_.disk.resolved(job_.files.state)), job_.files.state);
}

}  // namespace sluice
