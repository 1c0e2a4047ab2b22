#include "life.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/hash.hpp"
#include "lockstep_source.hpp"
#include "neighbour.hpp"
#include "scenario.hpp"
#include "sluice/engine.hpp"
#include "sluice/error.hpp"
#include "sluice/job_set.hpp"
#include "upstream/shared_mapping.hpp"
#include "upstream/shared_window.hpp"

namespace sluice::simulation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
namespace asio = boost::asio;

// A finished line may wait one second until its sync begins, and then for the syncs that are before
// it in the queue.
constexpr duration longest_aside = 20 * simulated_files::longest_aside;
constexpr duration longest_unsynced = 1s + longest_aside;
constexpr duration longest_run = 6h;
constexpr duration longest_end = 1min;  // after the run was aborted
constexpr duration totals_interval = 10s;
constexpr int most_calm_runs = 40;

template <typename Part>
Part& wrap(const breakage::wrapper<Part>& wrapper, Part& part, std::unique_ptr<Part>& owner) {
  if (!wrapper) return part;
  owner = wrapper(part);
  return *owner;
}

// Passes all calls on to the real sink, and records the results.
class witness final : public result_sink {
 public:
  struct finished {
    std::string id;
    std::size_t job = 0;
    time_point at{};
    std::size_t attempts_before = 0;  // number of attempts at the relay until then
  };

  witness(result_sink& behind, const clock& time, simulated_relay& relay, trace& events)
      : behind_(behind), time_(time), relay_(relay), trace_(events) {}

  std::vector<finished> results;
  // The index of each rejected attempt at the relay, and the time of the rejection.
  std::vector<std::pair<std::size_t, time_point>> rejected;

  bool examines_replies() const override { return behind_.examines_replies(); }
  reply_verdict examine(request& asked, const result& with_reply) override {
    const reply_verdict verdict = behind_.examine(asked, with_reply);
    if (verdict.next == reply_verdict::step::accept) return verdict;
    trace_.note("rejected {}: {}", with_reply.custom_id, verdict.reason);
    const auto number = relay_.attempt_number(with_reply.outcome->request_id);
    if (number) rejected.emplace_back(*number, time_.now());
    return verdict;
  }

  funds reserve(const request& next) override { return behind_.reserve(next); }
  void unreserve(const request& next) override { behind_.unreserve(next); }
  void attempt_started(const attempt_record& attempt) override {
    trace_.note("start {} {}", attempt.custom_id, attempt.number);
    behind_.attempt_started(attempt);
  }
  bool must_be_recorded() const override { return behind_.must_be_recorded(); }
  bool must_be_durable() const override { return behind_.must_be_durable(); }
  void record(const std::function<void(std::exception_ptr)>& done) override {
    behind_.record(done);
  }
  void attempt_ended(const attempt_record& attempt, attempt_end how) override {
    trace_.note("end {} {} as {}", attempt.custom_id, attempt.number, static_cast<int>(how));
    behind_.attempt_ended(attempt, how);
  }
  void put(result&& done) override {
    trace_.note("result of {}: {}", done.custom_id,
                done.outcome ? "success" : done.outcome.error().message);
    results.push_back({done.custom_id, done.job, time_.now(), relay_.attempts().size()});
    behind_.put(std::move(done));
  }
  void flush() override { behind_.flush(); }
  void make_durable(const std::function<void(std::exception_ptr)>& done) override {
    behind_.make_durable(done);
  }
  void sync() override { behind_.sync(); }

 private:
  result_sink& behind_;
  const clock& time_;
  simulated_relay& relay_;
  trace& trace_;
};

// The parts of one process.
struct machine {
  machine(const breakage& broken, const config& options, const price_table& prices,
          const std::vector<std::string>& named, file_system& files, clock& time,
          const simulated_clock& own_time, simulated_relay& relay, trace& events)
      : runner(loop, options, time, wrap_all(broken, relay)),
        jobs(named, options.job, options.output, prices, files),
        sink(wrap<result_sink>(broken.sink, jobs, own_sink), own_time, relay, events),
        source(wrap<request_source>(broken.source, jobs, own_source)) {}

  std::vector<http_client*> wrap_all(const breakage& broken, const simulated_relay& relay) {
    std::vector<http_client*> all;
    for (http_client* door : relay.doors()) {
      all.push_back(&wrap<http_client>(broken.client, *door, own_clients.emplace_back()));
    }
    return all;
  }

  asio::io_context loop{1};
  std::deque<std::unique_ptr<http_client>> own_clients;
  engine runner;
  job_set jobs;
  std::unique_ptr<result_sink> own_sink;
  std::unique_ptr<request_source> own_source;
  witness sink;
  lockstep_source source;
};

// Replaces standard input with a file.
class standard_input {
 public:
  explicit standard_input(const std::string& path) : before_(::dup(STDIN_FILENO)) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::dup2(file, STDIN_FILENO);
    ::close(file);
  }
  standard_input(const standard_input&) = delete;
  standard_input& operator=(const standard_input&) = delete;
  ~standard_input() {
    if (before_ >= 0) {
      ::dup2(before_, STDIN_FILENO);
      ::close(before_);
    } else {
      ::close(STDIN_FILENO);
    }
  }

 private:
  const int before_;
};

// Keeps a machine if its run hangs: its waiting coroutines cannot be destroyed cleanly.
void leak(std::unique_ptr<machine> hung) {
  static auto& all = *new std::vector<machine*>;
  all.push_back(hung.release());
}

// A line of an output or errors file.
struct stored_line {
  std::string id;  // for a bad line: "line N"
  json all;
  bool bad = false;

  bool retryable() const { return all["sluice"].value("retryable", false); }
};

struct job_paths {
  std::string job;
  std::string output;
  std::string errors;
  std::string totals;
  std::string state;
};

// The complete lines at the start of the content.
std::string_view whole_lines(const std::string& content) {
  return std::string_view(content).substr(0, content.rfind('\n') + 1);
}

// The number of lines that are not blank.
std::uint64_t lines_in(std::string_view text) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && i > 0 && text[i - 1] != '\n') ++count;
  }
  return count;
}

class life {
 public:
  life(std::uint64_t seed, const std::string& folder, bool keep_events, const breakage& broken,
       theme about)
      : scene_(seed, about),
        broken_(broken),
        folder_(folder),
        random_(scene_.chance),
        trace_(time_, keep_events),
        disk_(time_, random_.fork(), trace_),
        relay_(time_, random_.fork(), trace_, scene_.options.relay, scene_.relay, scene_.prices) {
    story_.seed = seed;
    for (std::size_t job = 0; job < scene_.jobs.size(); ++job) {
      const std::string name = fmt::format("job{}", job);
      const std::string stem = job == 0 && scene_.first_on_stdin ? "stdin" : name;
      paths_.push_back(
          {fmt::format("{}/{}.jsonl", folder, name), fmt::format("/out/{}.output.jsonl", stem),
           fmt::format("/out/{}.errors.jsonl", stem), fmt::format("/out/{}.totals.json", stem),
           fmt::format("/out/{}.state", stem)});
      texts_.push_back(scene_.jobs[job]);
      write_job(job);
    }
    clear_limits();
    disk_.on_death = [this] {
      relay_.die();
      died_at_ = time_.now();
      neighbour_.reset();
      late_neighbour_.reset();
      remember_window();
    };
  }
  life(const life&) = delete;
  life& operator=(const life&) = delete;
  ~life() { clear_limits(); }

  life_story live() {
    for (const auto& plan : scene_.processes) {
      process(plan);
      if (!story_.violations.empty()) return end();
      time_.advance(plan.until_next);
    }
    relay_.calm_down();
    calm_ = true;
    for (int run = 1; story_.violations.empty(); ++run) {
      process(run == 1 ? scene_.last : process_plan{});
      if (outcome_ && outcome_->reason == stop_reason::budget_spent &&
          scene_.options.output.scope == budget_scope::run && run < most_calm_runs) {
        continue;
      }
      break;
    }
    if (story_.violations.empty()) check_completion();
    return end();
  }

 private:
  template <typename... Args>
  void violated(std::string_view rule, fmt::format_string<Args...> form, Args&&... args) {
    story_.violations.push_back(
        {std::string(rule), fmt::format(form, std::forward<Args>(args)...)});
    trace_.note("VIOLATED: {}: {}", rule, story_.violations.back().detail);
  }

  life_story end() {
    story_.digest = trace_.digest();
    story_.events = trace_.text();
    story_.attempts = relay_.attempts().size();
    story_.seconds = time_.since_start();
    story_.billed = relay_.billed();
    story_.budget = scene_.options.output.budget.value_or(usd{});
    return std::move(story_);
  }

  void write_job(std::size_t job) const {
    std::ofstream(paths_[job].job, std::ios::binary) << texts_[job];
  }

  // Changes the bodies of some requests, so that their results are outdated, or removes requests.
  void edit_jobs(unsigned count) {
    const std::vector<std::string> ids(scene_.requests.begin(), scene_.requests.end());
    for (; count > 0 && !ids.empty(); --count) {
      const std::string& id = ids[random_.below(ids.size())];
      if (removed_.contains(id)) continue;
      const std::size_t job = id.starts_with("0-") ? 0 : 1;
      std::string& text = texts_[job];
      constexpr std::string_view member = R"("seed":)";
      const std::string name = fmt::format(R"("custom_id":"{}")", id);
      const std::size_t line = text.find(name);
      const bool alone = text.find(name, line + 1) == std::string::npos;
      if (alone && lines_in(text) > 1 && random_.percent(25)) {
        trace_.note("{} is removed", id);
        const std::size_t first = text.rfind('\n', line) + 1;  // 0 if there is no line before
        text.erase(first, text.find('\n', first) - first);  // leave a blank line: line numbers stay
        removed_.insert(id);
        write_job(job);
        continue;
      }
      trace_.note("{} is changed", id);
      const std::size_t begin = text.find(member, line) + member.size();
      text.replace(begin, text.find(',', begin) - begin, std::to_string(++versions_[id]));
      forget_keys(id);  // a changed body gets a new key
      write_job(job);
    }
  }

  bool edited() const { return !versions_.empty() || !removed_.empty(); }

  std::string limits() const { return folder_ + "/limits"; }
  void clear_limits() const {
    std::error_code ignored;
    std::filesystem::remove_all(limits(), ignored);
    std::filesystem::remove_all(folder_ + "/away", ignored);
  }

  // Saves the window files at the moment of death. The simulated process runs on for a while and
  // would clean them up, which a killed process cannot do.
  void remember_window() {
    window_at_death_.clear();
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(limits(), none)) {
      std::ifstream file(entry.path(), std::ios::binary);
      window_at_death_[entry.path()] = {std::istreambuf_iterator<char>(file), {}};
    }
  }
  void restore_window() {
    for (const auto& [path, content] : std::exchange(window_at_death_, {})) {
      if (!std::filesystem::exists(path)) continue;
      std::filesystem::resize_file(path, content.size());
      std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << content;
    }
  }

  // The path of a member's window file on this machine, without its ending.
  std::string window_path(std::size_t member) const {
    const auto members = scene_.options.relays();
    return fmt::format("{}/{}", limits(), window_name(members[member].relay));
  }

  // Moves the window file or its folder away, or damages it, while this process uses it.
  void lose_window(const process_plan& plan, std::size_t number) {
    for (const auto& one : relay_.attempts()) {
      if (one.process != number) continue;
      const std::string path = limit_file_name(window_path(one.member), current_host().boot);
      std::error_code none;
      if (!std::filesystem::exists(path, none)) return;
      trace_.note("the window is lost: {}", static_cast<int>(plan.loss));
      timers_.push_back(time_.call_at(
          time_.now() + 2500ms, [this, path, waited = waits_for_limit()] { join(path, waited); }));
      if (plan.loss == window_loss::cut) return std::filesystem::resize_file(path, 0);
      // In a pool, lose only the window of a member in use. The windows of unused members would
      // stay lost.
      const bool whole = plan.loss == window_loss::folder_moved && scene_.options.pool.empty();
      moved_from_ = whole ? limits() : path;
      std::filesystem::remove_all(folder_ + "/away");
      return std::filesystem::rename(moved_from_, folder_ + "/away");
    }
  }
  bool waits_for_limit() const { return runner_ != nullptr && runner_->now().next_start; }

  // Called some time after the window was lost. A process that waits for a slot must have created a
  // new file by now, and a process that starts now must use this file.
  void join(const std::string& path, bool waited) {
    if (disk_.dead()) return;
    if (std::filesystem::exists(path)) {
      late_neighbour_.emplace(time_, random_.fork(), trace_, relay_, window_path(0), 0,
                              scene_.caps[0]);
    } else if (waited && waits_for_limit() && !neighbour_ && scene_.options.pool.empty()) {
      violated("a lost window file is created again", "{}", path);
    }
  }

  // If this process ended before it noticed the loss, moves the window back: a later process cannot
  // know about a window without a file.
  void find_window_again() {
    if (const std::string path = std::exchange(moved_from_, {});
        !path.empty() && !std::filesystem::exists(path)) {
      std::filesystem::rename(folder_ + "/away", path);
    }
  }

  // Runs one process from its start to its end. The process may end in any way.
  void process(const process_plan& plan) {
    const std::size_t number = story_.processes++;
    trace_.note("process {}{}{}", number, plan.fresh ? " --fresh" : "",
                plan.retry_failed ? " --retry-failed" : "");
    if (number > 0) edit_jobs(plan.edited);
    if (number > 0 && broken_.between) broken_.between(limits());
    options_ = scene_.options;
    options_.output.fresh = plan.fresh;
    options_.output.retry_failed = plan.retry_failed;
    last_retries_ = plan.retry_failed;
    retried_ = retried_ || plan.retry_failed;
    if (edited()) options_.output.changed = scene_.changed;
    if (scene_.shares_window) options_.pace.limit_folder = limits();
    disk_.boot(plan.disk);
    relay_.boot(number);
    billed_before_ = relay_.billed();
    remember_files();
    started_ = faulted_ = false;
    outcome_.reset();
    results_.clear();

    std::unique_ptr<file_system> own_files;
    std::unique_ptr<clock> own_clock;
    file_system& files = wrap<file_system>(broken_.files, disk_, own_files);
    clock& time = wrap<clock>(broken_.time, time_, own_clock);
    std::vector<clock::timer> timers;
    if (plan.neighbour) {
      neighbour_.emplace(time_, random_.fork(), trace_, relay_, window_path(0), 0, scene_.caps[0]);
    }
    if (plan.loss != window_loss::none) {
      timers.push_back(time_.call_at(time_.now() + plan.lost_after,
                                     [this, &plan, number] { lose_window(plan, number); }));
    }
    const std::size_t attempts_before = relay_.attempts().size();
    try {
      run(plan, files, time, timers);
    } catch (const fatal_error& refusal) {
      trace_.note("refused: {}", refusal.what());
      faulted_ = true;
      if (!disk_.dead() && !disk_.failed()) violated("the jobs can be run", "{}", refusal.what());
    } catch (const std::exception& other) {
      violated("no unexpected exception", "{}", other.what());
    }
    for (const auto timer : timers) time_.cancel(timer);
    runner_ = nullptr;
    for (const auto timer : std::exchange(timers_, {})) time_.cancel(timer);
    neighbour_.reset();
    late_neighbour_.reset();
    restore_window();
    find_window_again();
    if (plan.fresh) after_fresh_start(attempts_before);
    if (!story_.violations.empty()) return;
    if (time_.calls_to_come() > 0) {
      violated("nothing is left waiting", "{} calls of the clock", time_.calls_to_come());
    }
    if (relay_.in_flight() > 0) {
      violated("nothing is left waiting", "{} exchanges in flight", relay_.in_flight());
    }
    check_process(number);
    check_files(plan);
  }

  // Does the same as the command `run`.
  void run(const process_plan& plan, file_system& files, clock& time,
           std::vector<clock::timer>& timers) {
    const time_point began = time_.now();
    const auto seconds = [&] { return std::chrono::duration<double>(time_.now() - began).count(); };
    if (plan.killed_after) {
      timers.push_back(time_.call_at(began + *plan.killed_after, [this] { disk_.die(); }));
    }
    if (plan.wall_step_after) {
      timers.push_back(time_.call_at(began + *plan.wall_step_after, [this, step = plan.wall_step] {
        trace_.note("the wall clock is set by {} s", step);
        time_.step_wall_clock(step);
      }));
    }

    std::vector<std::string> named;
    for (const auto& job : paths_) named.push_back(job.job);
    std::optional<standard_input> input;
    if (scene_.first_on_stdin) input.emplace(std::exchange(named.front(), "-"));
    auto whole = std::make_unique<machine>(broken_, options_, scene_.prices, named, files, time,
                                           time_, relay_, trace_);
    if (disk_.dead()) return;
    started_ = true;
    auto& [loop, own_clients, runner, jobs, own_sink, own_source, sink, source] = *whole;

    std::exception_ptr fault;
    bool ended = false;
    runner_ = &runner;

    if (plan.stopped_after) {
      timers.push_back(time_.call_at(began + *plan.stopped_after, [&] {
        trace_.note("signal");
        runner.stop();
        timers.push_back(time_.call_at(time_.now() + plan.grace, [&] {
          trace_.note("grace is over");
          runner.abort();
        }));
      }));
    }
    clock::timer next_totals = 0;
    const std::function<void()> totals_later = [&] {
      next_totals = time_.call_at(time_.now() + totals_interval, [&] {
        next_totals = 0;
        try {
          jobs.checkpoint(seconds(), runner.now().most_in_a_minute);
          totals_later();
        } catch (const fatal_error&) {
          if (!fault) fault = std::current_exception();
          runner.abort();
        }
      });
    };
    totals_later();

    std::exception_ptr thrown;
    run_outcome outcome;
    asio::co_spawn(loop, runner.run(source, sink), [&](std::exception_ptr why, run_outcome result) {
      thrown = std::move(why);
      outcome = std::move(result);
      ended = true;
    });
    bool read = false;
    bool aborted = false;
    while (!ended) {
      loop.restart();
      while (loop.poll() > 0) {
      }
      if (ended) break;
      if (disk_.dead() && !std::exchange(aborted, true)) {
        runner.abort();
        continue;
      }
      if (!std::exchange(read, true)) {
        source.read_all();
        continue;
      }
      if (aborted && time_.now() - died_at_ > longest_end) {
        violated("the run ends", "it still runs after it was aborted");
        break;
      }
      if (!aborted && time_.now() - began > longest_run) {
        violated("the run ends", "it still runs after {} h", longest_run / 1h);
        disk_.die();
        continue;
      }
      if (!time_.run_next()) {
        violated("the run ends", "it waits, but there is no timer left");
        break;
      }
    }
    if (next_totals != 0) time_.cancel(next_totals);
    for (const auto timer : std::exchange(timers, {})) time_.cancel(timer);
    if (!ended) return leak(std::move(whole));
    loop.restart();
    while (loop.poll() > 0) {
    }
    if (!loop.stopped()) violated("nothing is left waiting", "the event loop still has work");
    results_ = std::move(sink.results);
    for (const auto& [number, at] : sink.rejected) {
      if (!disk_.dead() || at < died_at_) {
        rejected_.insert(number);
      } else {
        // The rejection may be on record or not, and the key depends on it.
        forget_keys(relay_.attempts()[number].id);
      }
    }
    if (disk_.dead()) return;
    if (thrown) fault = thrown;
    const auto most = runner.now().most_in_a_minute;
    try {
      if (fault) {
        try {
          jobs.finish(job_status::stopped, seconds(), most);
        } catch (const fatal_error&) {  // report only the first fault
        }
        std::rethrow_exception(fault);
      }
      jobs.finish(outcome.reason == stop_reason::none          ? job_status::completed
                  : outcome.reason == stop_reason::interrupted ? job_status::interrupted
                                                               : job_status::stopped,
                  seconds(), most);
    } catch (const fatal_error& why) {
      if (disk_.dead()) return;
      trace_.note("fault: {}", why.what());
      faulted_ = true;
      if (!disk_.failed()) violated("no unexpected exception", "{}", why.what());
      return;
    }
    if (disk_.dead()) return;
    trace_.note("the run ends: {} {}", static_cast<int>(outcome.reason), outcome.message);
    outcome_ = outcome;
  }

  void remember_files() {
    before_.clear();
    done_.clear();
    outdated_.clear();
    for (const auto& job : paths_) {
      before_.push_back(disk_.content(job.output).value_or(""));
      for (const auto& line : lines_of(job.output)) {
        if (is_outdated(line)) {
          outdated_.insert(line.id);
        } else {
          done_.insert(line.id);
        }
      }
      std::map<std::string, bool> failed_for_good;  // of two lines, the later one counts
      for (const auto& line : lines_of(job.errors)) {
        if (line.bad) continue;
        const bool again = options_.output.retry_failed || versions_.contains(line.id);
        failed_for_good[line.id] = !line.retryable() && !again;
        forget_keys(line.id);  // a retry in a new run is a new request
      }
      for (const auto& [id, for_good] : failed_for_good) {
        if (for_good) done_.insert(id);
      }
    }
    if (options_.output.fresh) {
      done_.clear();
      keys_.clear();
    }
    done_.insert(removed_.begin(), removed_.end());
  }

  void forget_keys(const std::string& id) {
    std::erase_if(keys_, [&](const auto& one) { return std::get<std::string>(one.first) == id; });
  }

  // Whether a result is for an older body of its request, so that a new run replaces it.
  bool is_outdated(const stored_line& line) const {
    if (options_.output.changed != on_change::redo) return false;
    if (removed_.contains(line.id)) return true;
    if (!versions_.contains(line.id)) return false;
    const relay_attempt* attempt = attempt_of(line);
    return attempt != nullptr && attempt->version != versions_.at(line.id);
  }

  const relay_attempt* attempt_of(const stored_line& line) const {
    const json& response = line.all["response"];
    return response.is_object() && response["request_id"].is_string()
               ? relay_.by_reply(response["request_id"])
               : nullptr;
  }

  // After a fresh start: the old files must exist under other names, and counts start at 0.
  void after_fresh_start(std::size_t attempts_before) {
    const auto aside = [&](const std::string& path, const std::string& content) {
      for (int n = 1;; ++n) {
        const auto old = disk_.content(fmt::format("{}.old-{}", path, n));
        if (!old) return false;
        if (*old == content) return true;
      }
    };
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      const bool there = before_[job].empty() || aside(paths_[job].output, before_[job]) ||
                         disk_.content(paths_[job].output) == before_[job];
      if (!there) violated("a fresh start keeps the old files", "{}", paths_[job].output);
    }
    if (started_) {
      before_.assign(paths_.size(), "");
      epoch_ = attempts_before;
    } else {
      records_lost_ = true;  // the process may have moved only some of the files
      for (std::size_t job = 0; job < paths_.size(); ++job) {
        before_[job] = disk_.content(paths_[job].output).value_or("");
      }
      keys_.clear();
    }
  }

  // Whether the content still has the lines of `earlier`, except outdated ones.
  bool keeps(const std::string& content, std::string_view earlier) const {
    if (outdated_.empty()) return content.starts_with(earlier);
    while (!earlier.empty()) {
      const std::string_view line = earlier.substr(0, earlier.find('\n') + 1);
      earlier.remove_prefix(line.size());
      const json fields = json::parse(line, nullptr, false);
      if (fields.is_object() && outdated_.contains(fields["custom_id"].get<std::string>())) {
        continue;
      }
      if (content.find(line) == std::string::npos) return false;
    }
    return true;
  }

  // The lines that the next process finds. Like the program, this takes a whole last line whose
  // newline was lost, and leaves out a torn one.
  std::vector<stored_line> lines_of(const std::string& path) const {
    std::vector<stored_line> lines;
    const std::string content = disk_.content(path).value_or("");
    std::string_view rest = content;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      const bool ended = end != std::string_view::npos;
      const std::string_view text = rest.substr(0, end);
      rest.remove_prefix(ended ? end + 1 : rest.size());
      stored_line line;
      line.all = json::parse(text, nullptr, false);
      if (!line.all.is_object()) {
        if (!ended) break;
        line.all = {{"sluice", json::object()}};
        line.id = "not JSON";
        lines.push_back(std::move(line));
        continue;
      }
      line.bad = !line.all["sluice"].contains("digest");
      line.id = line.bad ? fmt::format("line {}", line.all["sluice"]["line"].dump())
                         : line.all["custom_id"].get<std::string>();
      lines.push_back(std::move(line));
    }
    return lines;
  }

  // Checks what the relay received from this process.
  void check_process(std::size_t number) {
    const config& options = scene_.options;
    for (std::size_t window = 0; window < scene_.caps.size(); ++window) {
      const unsigned cap = scene_.caps[window];
      if (cap == 0) continue;
      const auto most = scene_.shares_window ? relay_.most_in_a_minute(window)
                                             : relay_.most_in_a_minute(window, number);
      if (most > cap) violated("no window above the cap", "{} of {}", most, cap);
    }
    if (relay_.most_in_flight > options.pace.concurrency) {
      violated("no more in flight than allowed", "{} of {}", relay_.most_in_flight,
               options.pace.concurrency);
    }
    if (options.output.budget) {
      usd billed = relay_.billed();
      if (options.output.scope == budget_scope::run) billed -= billed_before_;
      if (billed > *options.output.budget) {
        violated("the budget is never exceeded", "{} of {}", billed.to_string(),
                 options.output.budget->to_string());
      }
    }
    const auto& attempts = relay_.attempts();
    for (const auto& one : attempts) {
      if (one.process != number) continue;
      if (done_.contains(one.id)) violated("a finished request is not sent again", "{}", one.id);
      const auto index = static_cast<std::size_t>(&one - attempts.data());
      if (bodies_.try_emplace(one.key, one.body).first->second != one.body) {
        violated("no key is sent with two bodies", "{}", one.id);
      }
      // After a rejected reply, the request is sent again with a new key. With --tell-why its body
      // contains the reason, but not after a restart.
      const auto rejections =
          std::count_if(rejected_.begin(), rejected_.lower_bound(index),
                        [&](std::size_t before) { return attempts[before].id == one.id; });
      // If the process died, the test cannot know whether the process had already rejected the last
      // reply.
      if (options.job.expect && disk_.dead()) continue;
      const auto [entry, is_new] = keys_.try_emplace({one.id, rejections, one.body}, one.key);
      if (!is_new && entry->second != one.key) {
        violated("all attempts of a request have the same key", "{}", one.id);
      }
    }
    for (const auto& finished : results_) {
      for (std::size_t i = finished.attempts_before; i < attempts.size(); ++i) {
        if (attempts[i].process == number && attempts[i].id == finished.id)
          violated("a finished request is not sent again", "{}", finished.id);
      }
    }
  }

  // Checks the files that the process left.
  void check_files(const process_plan& plan) {
    const bool died = disk_.dead();
    const config& options = scene_.options;
    const bool safe = options.output.durable != durability::none;
    if (died || disk_.failed()) exact_ = false;
    if (died && !disk_.failed()) check_at_once();

    // The content that must survive a power failure at this moment.
    std::vector<std::string> safe_output(paths_.size());
    std::vector<std::optional<std::string>> at_end;
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      const auto content = disk_.content(paths_[job].output).value_or("");
      at_end.push_back(content);
      if (!started_ || disk_.failed()) continue;
      if (safe || options.output.budget) safe_output[job] = before_[job];
      if (!safe) continue;
      // With durability::each, results go to the disk's thread at once; otherwise after at most a
      // second.
      const bool at_once = options.output.durable == durability::each;
      const time_point deadline = died_at_ - (at_once ? longest_aside : longest_unsynced);
      const std::size_t size =
          died ? disk_.written_before(paths_[job].output, deadline) : content.size();
      if (size > safe_output[job].size()) safe_output[job] = content.substr(0, size);
    }
    const bool completed = outcome_ && outcome_->reason == stop_reason::none;
    std::vector<std::string> totals_at_end;
    for (const auto& job : paths_) totals_at_end.push_back(disk_.content(job.totals).value_or(""));

    if (plan.power_cut) {
      disk_.lose_power();
      if (!options.output.budget && (died || faulted_ || !safe)) records_lost_ = true;
      if (!safe) keys_.clear();  // lines may be lost, and their requests are sent again
    }
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      const auto content = disk_.content(paths_[job].output).value_or("");
      if (plan.power_cut) {
        if (!keeps(content, whole_lines(safe_output[job]))) {
          violated("a finished line reaches the disk within a second", "{}: {} bytes remain of {}",
                   paths_[job].output, content.size(), safe_output[job].size());
        }
        if (completed && safe && disk_.content(paths_[job].totals) != totals_at_end[job]) {
          violated("a complete job does not change", "{} is lost", paths_[job].totals);
        }
      } else if (!keeps(content, whole_lines(before_[job]))) {
        violated("a finished line stays", "{}", paths_[job].output);
      }
      std::set<std::string> ids;
      for (const auto& line : lines_of(paths_[job].output)) {
        if (!ids.insert(line.id).second) violated("one line for each request", "{} twice", line.id);
        check_reply(line);
      }
    }
    count_replaced();
    if (plan.fresh && plan.power_cut) records_lost_ = true;  // the old files may have returned
    if (outcome_ && !disk_.failed() && !plan.power_cut) check_end();
  }

  // Counts the results that were billed and then replaced.
  void count_replaced() {
    for (const auto& job : paths_) {
      for (const auto& line : lines_of(job.output)) {
        if (is_outdated(line)) outdated_.erase(line.id);
      }
    }
    replaced_ += outdated_.size();
  }

  // After a kill: all finished results must be in the files.
  void check_at_once() {
    if (results_.empty()) return;
    std::vector<std::set<std::string>> stored;
    for (const auto& job : paths_) {
      auto& ids = stored.emplace_back();
      for (const auto& path : {job.output, job.errors}) {
        for (const auto& line : lines_of(path)) ids.insert(line.id);
      }
    }
    for (const auto& finished : results_) {
      if (finished.at < died_at_ && !stored[finished.job].contains(finished.id))
        violated("a finished line reaches the file at once", "{}", finished.id);
    }
  }

  // The line must hold a reply that the relay sent and billed for this request.
  void check_reply(const stored_line& line) {
    if (line.id == "not JSON") return violated("a line belongs to its request", "it is not JSON");
    const json& extra = line.all["sluice"];
    const json& response = line.all["response"];
    const relay_attempt* attempt = attempt_of(line);
    if (attempt == nullptr || !attempt->billed || attempt->id != line.id) {
      return violated("a line belongs to its request", "{}: {}", line.id, response.dump());
    }
    const json& choice = response["body"]["choices"][0];
    const std::string text =
        choice.contains("text") ? choice["text"] : choice["message"]["content"];
    if (!text.starts_with(line.id + " #")) {
      violated("a line belongs to its request", "{}: {}", line.id, text);
    }
    if (!extra["usage"].is_object()) return;
    if (extra["usage"]["prompt_tokens"] != attempt->usage.prompt_tokens ||
        extra["usage"]["cached_tokens"] != attempt->usage.cached_tokens ||
        extra["usage"].value("cache_write_tokens", 0) != attempt->usage.cache_write_tokens ||
        extra["usage"]["completion_tokens"] != attempt->usage.completion_tokens) {
      violated("a line belongs to its request", "{}: {}", line.id, extra.dump());
    }
    if (extra["model"] != "m") return;
    const char* const own_cost = extra.contains("rejected") ? "reply_cost_usd" : "cost_usd";
    const auto cost = usd::parse(extra[own_cost].is_string() ? extra[own_cost].get<std::string>()
                                                             : std::string("none"));
    // A relay may bill by the price of any moment of the attempt. The program uses the highest of
    // these prices.
    const bool timeless = !scene_.relay.bills || scene_.relay.bills->timeless();
    if (!cost || *cost < attempt->cost || (timeless && *cost != attempt->cost)) {
      violated("costs are exact", "{}: {}, but the relay billed {}", line.id,
               extra["cost_usd"].dump(), attempt->cost.to_string());
    }
  }

  // Sums of rejected replies.
  struct rejected_sums {
    std::uint64_t replies = 0;
    std::uint64_t unpriced = 0;
    std::int64_t prompt = 0;
    std::int64_t cached = 0;
    std::int64_t completion = 0;
    usd cost;
  };

  // Adds the rejected replies of a request. The relay must have sent each of them for this request,
  // and must have billed it at this cost.
  void add_rejected(const json& replies, const std::string& id, rejected_sums& sums,
                    std::set<std::size_t>& numbers) {
    for (const json& one : replies) {
      const std::string reason = one["reason"];
      const auto number = relay_.attempt_number("req_" + reason.substr(reason.rfind('#') + 1));
      if (!number || !numbers.insert(*number).second) {
        violated("a rejected reply is counted once", "{}", one.dump());
        continue;
      }
      const relay_attempt& attempt = relay_.attempts()[*number];
      if (!attempt.billed || (!id.empty() && attempt.id != id))
        violated("a line belongs to its request", "{}: {}", id, one.dump());
      ++sums.replies;
      if (one["usage"].is_object()) {
        sums.prompt += one["usage"]["prompt_tokens"].get<std::int64_t>();
        sums.cached += one["usage"]["cached_tokens"].get<std::int64_t>();
        sums.completion += one["usage"]["completion_tokens"].get<std::int64_t>();
      }
      if (!one["cost_usd"].is_string()) {
        ++sums.unpriced;
        continue;
      }
      const usd cost = usd::parse(one["cost_usd"].get<std::string>()).value();
      sums.cost += cost;
      if (cost != attempt.cost) {
        violated("costs are exact", "{}: {}, but the relay billed {}", id, one.dump(),
                 attempt.cost.to_string());
      }
    }
  }

  // Adds the rejected replies of requests that have no line yet.
  void add_pending_rejected(const std::string& state, rejected_sums& sums,
                            std::set<std::size_t>& numbers) {
    const std::string content = disk_.content(state).value_or("");
    const json summary = json::parse(content.substr(0, content.find('\n')), nullptr, false);
    if (!summary.is_object()) return;
    for (const json& row : summary["unfinished"]) {
      if (row.size() > 4) add_rejected(row[4]["replies"], "", sums, numbers);
    }
  }

  // Whether the state file has records of one of these requests. A failed request has some if it
  // was sent again by a run with --retry-failed that did not write its line.
  static bool has_records_of(const std::string& state, const std::set<std::string>& ids) {
    const json summary = json::parse(state.substr(0, state.find('\n')), nullptr, false);
    if (!summary.is_object()) return false;
    return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      const hex_digits hash(hash_of(id));
      return std::any_of(summary["unfinished"].begin(), summary["unfinished"].end(),
                         [&](const json& row) { return row[0] == std::string_view(hash); });
    });
  }

  // Checks a run that ended by itself.
  void check_end() {
    std::map<std::string, std::uint64_t> sent;
    const std::vector<relay_attempt> attempts_now(
        relay_.attempts().begin() + static_cast<std::ptrdiff_t>(epoch_), relay_.attempts().end());
    for (const auto& one : attempts_now) ++sent[one.id];
    std::uint64_t reported_attempts = 0;
    std::uint64_t maybe_billed = 0;
    std::uint64_t successes = 0;
    std::set<std::size_t> rejected_numbers;
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      const auto outputs = lines_of(paths_[job].output);
      const auto errors = lines_of(paths_[job].errors);
      std::set<std::string> ids;
      std::int64_t prompt = 0;
      std::int64_t cached = 0;
      std::int64_t completion = 0;
      std::uint64_t unpriced = 0;
      usd cost;
      rejected_sums rejected;
      for (const auto* lines : {&outputs, &errors}) {
        for (const auto& line : *lines) {
          if (!ids.insert(line.id).second) {
            violated("one line for each request", "{} twice", line.id);
          }
          const json& extra = line.all["sluice"];
          if (line.bad) continue;
          // A change of the body restarts the count, and a failed request may have been retried
          // since then.
          const bool counted = !records_lost_ && !versions_.contains(line.id) &&
                               !removed_.contains(line.id) &&
                               (lines == &outputs || !(line.retryable() || retried_));
          const std::uint64_t attempts = extra["attempts"];
          if (counted && (exact_ ? attempts != sent[line.id] : attempts < sent[line.id])) {
            violated("attempts are counted", "{}: {}, but the relay has {}", line.id, attempts,
                     sent[line.id]);
          }
          if (extra.contains("rejected"))
            add_rejected(extra["rejected"], line.id, rejected, rejected_numbers);
          if (lines == &errors) continue;
          if (extra["usage"].is_object()) {
            prompt += extra["usage"]["prompt_tokens"].get<std::int64_t>();
            cached += extra["usage"]["cached_tokens"].get<std::int64_t>();
            completion += extra["usage"]["completion_tokens"].get<std::int64_t>();
          }
          const json& own = extra[extra.contains("rejected") ? "reply_cost_usd" : "cost_usd"];
          if (own.is_string()) {
            cost += usd::parse(own.get<std::string>()).value();
          } else {
            ++unpriced;
          }
        }
      }
      successes += outputs.size();
      add_pending_rejected(paths_[job].state, rejected, rejected_numbers);
      prompt += rejected.prompt;
      cached += rejected.cached;
      completion += rejected.completion;
      cost += rejected.cost;
      const json totals =
          json::parse(disk_.content(paths_[job].totals).value_or(""), nullptr, false);
      if (!totals.is_object()) {
        violated("totals equal the sums of the lines", "there is no totals file");
        continue;
      }
      const auto must = [&](const char* name, const json& stored, const json& expected) {
        if (stored != expected) {
          violated("totals equal the sums of the lines", "{} {}: {} instead of {}",
                   paths_[job].totals, name, stored.dump(), expected.dump());
        }
      };
      std::uint64_t requests = lines_in(texts_[job]);
      for (const auto& line : outputs) {
        if (removed_.contains(line.id)) ++requests;  // its result stays
      }
      must("requests", totals["requests"], requests);
      must("succeeded", totals["succeeded"], outputs.size());
      must("failed", totals["failed"], errors.size());
      must("pending", totals["pending"], requests - outputs.size() - errors.size());
      must("prompt", totals["tokens"]["prompt"], prompt);
      must("cached", totals["tokens"]["cached"], cached);
      must("completion", totals["tokens"]["completion"], completion);
      must("unpriced_requests", totals["unpriced_requests"], unpriced);
      const json none = {{"replies", 0}, {"unpriced_replies", 0}, {"cost_usd", "0"}};
      const json told = totals.value("rejected", none);
      must("rejected.replies", told["replies"], rejected.replies);
      must("rejected.unpriced_replies", told["unpriced_replies"], rejected.unpriced);
      must("rejected.cost_usd", told["cost_usd"], rejected.cost.to_string());
      if (totals["cost_usd"].is_string() || cost != usd{}) {
        must("cost_usd", totals["cost_usd"], cost.to_string());
      }
      if (totals["status"] == "completed" && totals["pending"] != 0) {
        violated("totals equal the sums of the lines", "{}: {} with {} pending", paths_[job].totals,
                 totals["status"].dump(), totals["pending"].dump());
      }
      reported_attempts += totals["attempts"].get<std::uint64_t>();
      maybe_billed += totals["maybe_billed_attempts"].get<std::uint64_t>();
    }
    if (records_lost_) return;
    const std::uint64_t total = attempts_now.size();
    if (exact_ && !edited() ? reported_attempts != total : reported_attempts < total) {
      violated("attempts are counted", "{}, but the relay has {}", reported_attempts, total);
    }
    const auto billed = static_cast<std::uint64_t>(
        std::count_if(attempts_now.begin(), attempts_now.end(),
                      [](const relay_attempt& one) { return one.billed; }));
    for (const std::size_t number : rejected_) {
      if (!rejected_numbers.contains(number)) {
        violated("no rejected reply is lost", "{} #{}", relay_.attempts()[number].id, number);
      }
    }
    if (billed > successes + replaced_ + maybe_billed + rejected_numbers.size()) {
      violated("attempts that may be billed are reported",
               "{} with a line and {} without, but {} are billed", successes, maybe_billed, billed);
    }
  }

  // The last run had no faults: either all requests must be finished, or the budget must be used
  // up.
  void check_completion() {
    if (!outcome_) return violated("a run without faults completes", "it did not end");
    if (outcome_->reason == stop_reason::budget_spent) return check_budget_is_spent();
    if (outcome_->reason != stop_reason::none) {
      return violated("a run without faults completes", "it stopped: {} {}",
                      static_cast<int>(outcome_->reason), outcome_->message);
    }
    std::set<std::string> stored;
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      std::set<std::uint64_t> bad;
      std::set<std::string> failed;
      for (const auto& path : {paths_[job].output, paths_[job].errors}) {
        for (const auto& line : lines_of(path)) {
          if (line.bad) {
            bad.insert(line.all["sluice"]["line"].get<std::uint64_t>());
            continue;
          }
          if (path == paths_[job].errors) failed.insert(line.id);
          stored.insert(line.id);
          if (is_outdated(line)) violated("a line belongs to its request", "{} is old", line.id);
        }
      }
      if (bad != scene_.bad_lines[job]) {
        violated("one line for each request", "{}: bad lines", paths_[job].errors);
      }
      if (const auto state = disk_.content(paths_[job].state)) {
        if (last_retries_ || !has_records_of(*state, failed)) {
          violated("a complete job does not change", "{} is still there", paths_[job].state);
        }
      }
    }
    for (const auto& id : scene_.requests) {
      if (!stored.contains(id) && !removed_.contains(id))
        violated("one line for each request", "{} has none", id);
    }
    if (!story_.violations.empty() || story_.seed % 4 != 0) return;

    std::vector<std::optional<std::string>> files;
    for (const auto& job : paths_) {
      files.push_back(disk_.content(job.output));
      files.push_back(disk_.content(job.errors));
    }
    const std::size_t sent = relay_.attempts().size();
    process({});
    if (relay_.attempts().size() != sent)
      violated("a complete job does not change", "it was sent again");
    for (std::size_t job = 0; job < paths_.size(); ++job) {
      if (disk_.content(paths_[job].output) != files[2 * job] ||
          disk_.content(paths_[job].errors) != files[2 * job + 1]) {
        violated("a complete job does not change", "its files have changed");
      }
    }
  }

  void check_budget_is_spent() {
    if (!scene_.options.output.budget) {
      return violated("the whole budget is used", "there is no budget");
    }
    usd spent = scene_.dearest_attempt;
    for (const auto& job : paths_) {
      const json totals = json::parse(disk_.content(job.totals).value_or(""), nullptr, false);
      if (totals["cost_usd"].is_string())
        spent += usd::parse(totals["cost_usd"].get<std::string>()).value();
      if (totals.contains("kept_usd"))
        spent += usd::parse(totals["kept_usd"].get<std::string>()).value();
    }
    if (spent <= *scene_.options.output.budget) {
      violated("the whole budget is used", "{} with one attempt more, of {}", spent.to_string(),
               scene_.options.output.budget->to_string());
    }
  }

  life_story story_;
  const scenario scene_;
  const breakage& broken_;
  const std::string folder_;
  dice random_;
  simulated_clock time_;
  trace trace_;
  simulated_files disk_;
  simulated_relay relay_;
  std::vector<job_paths> paths_;
  std::vector<std::string> texts_;                // the current text of each job
  std::map<std::string, std::int64_t> versions_;  // changed requests
  std::set<std::string> removed_;                 // requests removed from the jobs

  // State of the process that runs now or has just ended.
  time_point died_at_{};
  bool started_ = false;                // the process has accepted its jobs
  bool faulted_ = false;                // the process stopped because of a disk fault
  std::optional<run_outcome> outcome_;  // set if the process ended by itself
  std::vector<witness::finished> results_;
  std::vector<std::string> before_;  // the output files when the process started
  std::set<std::string> done_;       // requests that the process must not send
  std::set<std::string> outdated_;   // the process replaces the results of these requests
  config options_;
  std::optional<neighbour> neighbour_;
  std::optional<neighbour> late_neighbour_;
  const engine* runner_ = nullptr;
  std::vector<clock::timer> timers_;  // timers other than those of run()
  std::map<std::filesystem::path, std::string> window_at_death_;
  std::string moved_from_;  // the old path of the window's file or folder
  usd billed_before_;

  // State of the whole life.
  bool calm_ = false;
  bool exact_ = true;               // no process has died or had a disk fault yet
  bool records_lost_ = false;       // a power failure has lost records of attempts
  bool retried_ = false;            // a process used --retry-failed
  bool last_retries_ = false;       // the last process uses it
  std::size_t epoch_ = 0;           // attempts before the last fresh start
  std::size_t replaced_ = 0;        // results that were replaced
  std::set<std::size_t> rejected_;  // attempts with a rejected reply that is on record
  /// By the id of a request, its number of rejected replies, and a hash of its body.
  std::map<std::tuple<std::string, std::ptrdiff_t, std::uint64_t>, std::string> keys_;
  std::map<std::string, std::uint64_t> bodies_;  // a hash of the body that was sent with a key
};

}  // namespace

life_story live(std::uint64_t seed, const std::string& folder, bool keep_events,
                const breakage& broken, theme about) {
  shared_mapping::handle_cut_files();  // as the program does
  return life(seed, folder, keep_events, broken, about).live();
}

}  // namespace sluice::simulation
