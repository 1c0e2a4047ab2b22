// Plays seed after seed, and tells the first that breaks a rule. The same seed plays the same
// again.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "simulation/scenario.hpp"
#include "support/temp_dir.hpp"

int main(int argc, char** argv) {
  using namespace sluice::simulation;
  CLI::App program{"Runs the engine in virtual time against a simulated relay and disk, by seeds"};
  std::uint64_t first = 1;
  std::uint64_t count = 0;
  std::uint64_t step = 1;
  double seconds = 60;
  bool trace = false;
  program.add_option("--first", first, "The first seed (1)");
  program.add_option("--count", count, "So many seeds, however long it takes; 1 with --trace");
  program.add_option("--step", step,
                     "From one seed to the next: so several can share the work (1)");
  program.add_option("--seconds", seconds, "So long, where no count is given (60)");
  program.add_flag("--trace", trace, "Print all that happens");
  program.footer(
      "Examples:\n"
      "  simulation_soak --seconds 3600\n"
      "  simulation_soak --first 4711 --count 1 --trace");
  CLI11_PARSE(program, argc, argv);

  const sluice::test::temp_dir folder;
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  std::function<void(const std::string&)> tell;
  if (trace) tell = [](const std::string& line) { fmt::print("{}\n", line); };
  std::uint64_t seed = first;
  std::uint64_t played = 0;
  verdict sum;
  while (count != 0 ? played < count : elapsed() < seconds) {
    const verdict told = play(seed, folder.path(), {}, tell);
    ++played;
    sum.lives += told.lives;
    sum.kills += told.kills;
    sum.power_cuts += told.power_cuts;
    sum.attempts += told.attempts;
    if (told.broken) {
      fmt::print(
          "seed {} breaks a rule: {}\nplay it again: simulation_soak --first {} --count 1 "
          "--trace\n",
          seed, *told.broken, seed);
      return 1;
    }
    seed += step;
  }
  fmt::print(
      "{} seeds in {:.1f} s, {:.0f} a minute: {} runs, {} kills, {} power cuts, {} attempts; "
      "every rule held\n",
      played, elapsed(), static_cast<double>(played) / elapsed() * 60, sum.lives, sum.kills,
      sum.power_cuts, sum.attempts);
  return 0;
}
