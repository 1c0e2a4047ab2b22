#include "jobs/job_follower.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/hash.hpp"
#include "base/refuse.hpp"
#include "files/file_system.hpp"
#include "files/locks.hpp"
#include "jobs/stored_line.hpp"

namespace sluice {
namespace {

constexpr std::size_t read_size = std::size_t{1} << 20;
constexpr std::size_t most_kinds = std::numeric_limits<std::uint16_t>::max();

class descriptor {
 public:
  explicit descriptor(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int operator*() const noexcept { return number_; }
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_;
};

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The start time of the process, as Unix time. /proc/PID/stat contains it in clock ticks since
// boot, after the process name, which may contain any character.
std::optional<double> start_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::string word;
  constexpr int field_of_start = 20;  // counted after the name
  for (int i = 0; i < field_of_start; ++i) fields >> word;
  if (!fields || word.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  timespec up{};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  const double since_boot = std::stod(word) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double running =
      static_cast<double>(up.tv_sec) + static_cast<double>(up.tv_nsec) / 1e9 - since_boot;
  return unix_now() - std::max(running, 0.0);
}

double seconds_since_written(const job_files& files) {
  double last = 0;
  for (const auto& path : {files.output, files.errors, files.state, files.totals}) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) continue;
    last = std::max(last, static_cast<double>(info.st_mtim.tv_sec) +
                              static_cast<double>(info.st_mtim.tv_nsec) / 1e9);
  }
  return last == 0 ? 0 : std::max(unix_now() - last, 0.0);
}

}  // namespace

job_life life_of(const job_files& files, std::string_view status) {
  job_life life;
  life.quiet_s = seconds_since_written(files);
  const descriptor output(files.output);
  auto lock = output ? lock_on(*output) : lock_state::free;
  const auto holder = lock == lock_state::held ? holder_of(*output) : std::nullopt;
  if (lock == lock_state::held && !holder) lock = lock_on(*output);  // it may have ended meanwhile
  if (lock == lock_state::held) {
    life.is = job_life::state::running;
    life.process = holder ? holder->process : 0;
    if (holder) life.since = start_of(holder->process);
  } else if (status == to_string(job_status::running)) {
    life.is = lock == lock_state::free ? job_life::state::killed : job_life::state::unknown;
  }
  return life;
}

void job_follower::forget() {
  output_ = errors_ = {};
  totals_ = {};
  entries_ = {};
  rejected_.clear();
  bad_lines_.clear();
  error_names_.clear();
}

// Returns false if the file is not the same as before, or has become shorter.
bool job_follower::read(const std::string& path, followed& at, bool successes) {
  const descriptor file(path);
  if (!file) {
    if (errno == ENOENT) return at.offset == 0;
    refuse(fmt::format("{}: cannot be read ({})", path, std::strerror(errno)));
  }
  struct stat info {};
  if (::fstat(*file, &info) != 0 || !S_ISREG(info.st_mode)) {
    refuse(fmt::format("{}: cannot be read; it is not a regular file", path));
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const bool same = info.st_dev == at.device && info.st_ino == at.number;
  if (at.offset > 0 && (!same || size < at.offset)) return false;
  at.device = info.st_dev;
  at.number = info.st_ino;
  std::string text;
  std::uint64_t offset = at.offset;
  for (;;) {
    const std::size_t before = text.size();
    text.resize(before + read_size);
    const ssize_t n = ::pread(*file, text.data() + before, read_size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) {
      text.resize(before);
      continue;
    }
    if (n < 0) refuse(fmt::format("{}: cannot be read ({})", path, std::strerror(errno)));
    text.resize(before + static_cast<std::size_t>(n));
    if (n == 0) return true;  // an incomplete line at the end is read again later
    offset += static_cast<std::uint64_t>(n);
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      count(std::string_view(text).substr(begin, end - begin), successes);
    }
    text.erase(0, begin);
    at.offset += begin;
  }
}

std::uint16_t job_follower::number_of(const std::string& error) {
  const auto found = std::find(error_names_.begin(), error_names_.end(), error);
  if (found == error_names_.end() && error_names_.size() < most_kinds) {
    error_names_.push_back(error);
    return static_cast<std::uint16_t>(error_names_.size() - 1);
  }
  return static_cast<std::uint16_t>(found - error_names_.begin());
}

// As in earlier_results: a line in the output counts before one in the errors file, and of two
// failures the later one counts.
void job_follower::count(std::string_view line, bool success) {
  const auto stored = parse_stored_line(line);
  if (!stored) return;
  if (stored->of_bad_line) {
    if (bad_lines_.emplace(stored->line, true).second) totals_.add(stored->facts);
    return;
  }
  const hash128 id = hash_of(stored->custom_id);
  entry& known = *entries_.insert(id).first;
  known.attempts = std::max(known.attempts, stored->attempts);
  if (known.done) return;
  if (known.failed) {
    totals_.take_back_failure(error_names_[known.error], known.retryable);
  }
  known.error = success ? std::uint16_t{0} : number_of(stored->facts.error);
  known.done = success;
  known.failed = !success;
  known.retryable = stored->facts.retryable;
  totals_.add(stored->facts);
  rejected_.add(id, *stored, 0, totals_);  // the line is not read again
}

// Adds the records of attempts that no line contains.
void job_follower::add_life(const state_file& state, job_totals& now) {
  const life_counters& life = state.counters();
  now.attempts = std::max(now.attempts, life.attempts);
  now.retries = std::max(now.retries, life.retries);
  now.maybe_billed_attempts = std::max(now.maybe_billed_attempts, life.maybe_billed_attempts);
  now.kept = std::max(now.kept, life.kept);
  state.for_each_rejected(
      [&](const hash128& id, const std::string& model, const rejected_reply& reply) {
        const entry* line = entries_.find(id);
        if (line != nullptr && state.find(id)->attempts <= line->attempts) return;
        now.add_rejected(model, reply);
      });
}

std::string job_follower::totals_now(const std::string& stored, job_status status) {
  // The state comes first: of a request that gets its line meanwhile, the line counts.
  const auto disk = system_files();
  const std::string output = std::filesystem::path(files_.output).filename().string();
  state_file state(*disk, files_.state, output);
  bool has_state = false;
  try {
    has_state = state.load();
  } catch (const fatal_error&) {  // use the totals, at most 10 s old
  }
  if (!read(files_.output, output_, true) || !read(files_.errors, errors_, false)) {
    forget();
    read(files_.output, output_, true);
    read(files_.errors, errors_, false);
  }
  job_totals now = totals_;
  const auto document = nlohmann::json::parse(stored, nullptr, false);
  const auto take = [&](std::uint64_t& counter, const char* name) {
    if (!document.is_object()) return;
    const auto found = document.find(name);
    if (found != document.end() && found->is_number_unsigned()) counter = *found;
  };
  take(now.requests, "requests");
  take(now.attempts, "attempts");
  take(now.retries, "retries");
  take(now.maybe_billed_attempts, "maybe_billed_attempts");
  take(now.max_requests_in_60s, "max_requests_in_60s");
  if (document.is_object() && document.contains("wall_s") && document["wall_s"].is_number()) {
    now.wall_s = document["wall_s"];
  }
  if (document.is_object() && document.contains("rpm") && document["rpm"].is_number_unsigned()) {
    now.rpm = document["rpm"].get<std::uint64_t>();
  }
  if (document.is_object() && document.contains("kept_usd") && document["kept_usd"].is_string()) {
    now.kept = usd::parse(document["kept_usd"].get<std::string>()).value_or(usd{});
  }
  if (has_state) add_life(state, now);
  now.requests = std::max(now.requests, now.succeeded + now.failed);
  const std::string job =
      document.is_object() && document.contains("job") && document["job"].is_string()
          ? document["job"].get<std::string>()
          : files_.job;
  return now.to_json(job, status);
}

}  // namespace sluice
