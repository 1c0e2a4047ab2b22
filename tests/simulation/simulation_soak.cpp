// Lives through one seed after the other and tells of the first that breaks a rule.
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
    R"(Lives whole runs through in virtual time, each derived from a seed, and checks what must hold.

simulation_soak [--seconds N | --seeds A:B | --seed N [--trace]] [--jobs N]

  --seconds N  as many seeds as fit in so long, from a new one on (default 60; 0: for ever)
  --seeds A:B  the seeds from A up to B
  --seed N     this one; with --trace, all that happens in it
  --jobs N     processes beside each other (default 1)

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
  unsigned jobs = 1;
};

template <typename Number>
bool read(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<options> parse(const std::vector<std::string_view>& words) {
  options chosen;
  chosen.first =
      static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--trace") {
      chosen.trace = true;
      continue;
    }
    const std::string_view value = i + 1 < words.size() ? words[i + 1] : std::string_view();
    bool good = false;
    if (words[i] == "--seconds") good = read(value, chosen.seconds);
    if (words[i] == "--jobs") good = read(value, chosen.jobs) && chosen.jobs > 0;
    if (words[i] == "--seed") {
      good = read(value, chosen.first);
      chosen.last = chosen.first;
    }
    if (words[i] == "--seeds") {
      const std::size_t colon = value.find(':');
      std::uint64_t last = 0;
      good = colon != std::string_view::npos && read(value.substr(0, colon), chosen.first) &&
             read(value.substr(colon + 1), last) && last >= chosen.first;
      chosen.last = last;
    }
    if (!good) return std::nullopt;
    ++i;
  }
  return chosen;
}

void tell(const life_story& story) {
  for (const auto& line : story.events) fmt::print("{}\n", line);
  fmt::print("seed {}: {} processes, {} attempts, {:.0f} s of virtual time, digest {:016x}\n",
             story.seed, story.processes, story.attempts, story.seconds, story.digest);
  for (const auto& one : story.violations) {
    fmt::print("seed {} breaks \"{}\": {}\n", story.seed, one.rule, one.detail);
  }
}

// Every `jobs`th seed from this one's first on. The exit status.
int soak(const options& chosen, unsigned job) {
  const work_folder folder;
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  std::uint64_t lived = 0;
  std::uint64_t attempts = 0;
  double virtual_seconds = 0;
  for (std::uint64_t seed = chosen.first + job;; seed += chosen.jobs) {
    if (chosen.last ? seed > *chosen.last : chosen.seconds > 0 && elapsed() >= chosen.seconds)
      break;
    const life_story story = live(seed, folder.path(), chosen.trace);
    ++lived;
    attempts += story.attempts;
    virtual_seconds += story.seconds;
    if (chosen.trace) tell(story);
    if (story.violations.empty()) continue;
    if (!chosen.trace) tell(live(seed, folder.path(), true));
    return 1;
  }
  fmt::print("{} seeds, {:.0f} a minute; {} attempts, {:.0f} h of virtual time\n", lived,
             static_cast<double>(lived) * 60 / std::max(elapsed(), 1e-9), attempts,
             virtual_seconds / 3600);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string_view> given(words + 1, words + count);
  if (std::find(given.begin(), given.end(), "--help") != given.end() ||
      std::find(given.begin(), given.end(), "-h") != given.end()) {
    fmt::print("{}", usage);
    return 0;
  }
  const auto chosen = parse(given);
  if (!chosen) {
    fmt::print(stderr, "{}", usage);
    return 2;
  }
  spdlog::set_level(spdlog::level::off);
  if (chosen->jobs == 1) return soak(*chosen, 0);
  std::vector<pid_t> children;
  for (unsigned job = 0; job < chosen->jobs; ++job) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int status = soak(*chosen, job);
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
    for (const pid_t child : children) ::kill(child, SIGTERM);  // the first seed is enough
  }
  return worst;
}
