// Runs one seed after another, and reports the first seed that breaks a rule.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "life.hpp"
#include "work_folder.hpp"

namespace {

using namespace sluice::simulation;

constexpr std::string_view usage =
    R"(Simulates whole runs in virtual time, each derived from a seed, and checks that all rules hold.

simulation_soak [--seconds N | --seeds A:B | --seed N [--trace]] [--theme bills|shapes] [--jobs N]

  --seconds N  run new seeds for N seconds (default 60; 0: without end)
  --seeds A:B  run the seeds from A to B
  --seed N     run this seed; with --trace, print all its events
  --theme bills  budgets, and relays that bill by tiers, hours, steps and cache writes
  --theme shapes replies of the wrong shape (--expect), kills and signals
  --jobs N     run N processes in parallel (default 1)

Exit status: 0 every rule held, 1 a seed broke one, 2 usage.

Examples:
  simulation_soak --seconds 60 --jobs 2
  simulation_soak --seed 4711 --trace
)";

struct options {
  double seconds = 60;
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last;
  bool trace = false;
  theme about = theme::any;
  unsigned jobs = 1;
};

template <typename Number>
bool read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<options> parse(const std::vector<std::string_view>& words) {
  options settings;
  settings.first =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--trace") {
      settings.trace = true;
      continue;
    }
    const std::string_view value = i + 1 < words.size() ? words[i + 1] : std::string_view();
    bool good = false;
    if (words[i] == "--seconds") good = read(value, settings.seconds);
    if (words[i] == "--jobs") good = read(value, settings.jobs) && settings.jobs > 0;
    if (words[i] == "--theme") {
      good = value == "bills" || value == "shapes";
      settings.about = value == "shapes" ? theme::shapes : theme::dear_bills;
    }
    if (words[i] == "--seed") {
      good = read(value, settings.first);
      settings.last = settings.first;
    }
    if (words[i] == "--seeds") {
      const std::size_t colon = value.find(':');
      std::uint64_t last = 0;
      good = colon != std::string_view::npos && read(value.substr(0, colon), settings.first) &&
             read(value.substr(colon + 1), last) && last >= settings.first;
      settings.last = last;
    }
    if (!good) return std::nullopt;
    ++i;
  }
  return settings;
}

void tell(const life_story& story) {
  for (const auto& line : story.events) fmt::print("{}\n", line);
  fmt::print("seed {}: {} processes, {} attempts, {:.0f} s of virtual time, digest {:016x}\n",
             story.seed, story.processes, story.attempts, story.seconds, story.digest);
  for (const auto& one : story.violations) {
    fmt::print("seed {} breaks \"{}\": {}\n", story.seed, one.rule, one.detail);
  }
}

// Runs every `jobs`th seed, beginning with the first seed of this job. Returns the exit status.
int soak(const options& settings, unsigned job) {
  const work_folder folder;
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  std::uint64_t lived = 0;
  std::uint64_t attempts = 0;
  double virtual_seconds = 0;
  for (std::uint64_t seed = settings.first + job;; seed += settings.jobs) {
    if (settings.last ? seed > *settings.last
                      : settings.seconds > 0 && elapsed() >= settings.seconds)
      break;
    const life_story story = live(seed, folder.path(), settings.trace, {}, settings.about);
    ++lived;
    attempts += story.attempts;
    virtual_seconds += story.seconds;
    if (settings.trace) tell(story);
    if (story.violations.empty()) continue;
    if (!settings.trace) tell(live(seed, folder.path(), true, {}, settings.about));
    return 1;
  }
  fmt::print("{} seeds, {:.0f} per minute; {} attempts, {:.0f} h of virtual time\n", lived,
             static_cast<double>(lived) * 60 / std::max(elapsed(), 1e-9), attempts,
             virtual_seconds / 3600);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string_view> arguments(words + 1, words + count);
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end() ||
      std::find(arguments.begin(), arguments.end(), "-h") != arguments.end()) {
    fmt::print("{}", usage);
    return 0;
  }
  const auto settings = parse(arguments);
  if (!settings) {
    fmt::print(stderr, "{}", usage);
    return 2;
  }
  spdlog::set_level(spdlog::level::off);
  if (settings->jobs == 1) return soak(*settings, 0);
  std::vector<pid_t> children;
  for (unsigned job = 0; job < settings->jobs; ++job) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int status = soak(*settings, job);
      std::fflush(stdout);
      ::_exit(status);
    }
    children.push_back(child);
  }
  int worst = 0;
  for (std::size_t left = children.size(); left > 0; --left) {
    int status = 0;
    if (::wait(&status) < 0) return 1;
    worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    if (worst == 0) continue;
    for (const pid_t child : children) ::kill(child, SIGTERM);  // one bad seed is enough
  }
  return worst;
}
