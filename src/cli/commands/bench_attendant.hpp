#pragma once

#include <boost/asio/io_context.hpp>
#include <string>

#include "cli/settings/run_settings.hpp"
#include "cli/views/screen.hpp"
#include "loadtest/benchmark.hpp"
#include "sluice/clock.hpp"
#include "terminal/interrupts.hpp"

namespace sluice::cli {

/// What a benchmark is doing, as one line for a person.
std::string bench_progress(const bench::benchmark::status& now);

/// What happens beside a benchmark on the same loop: progress, and the signals, the first of
/// which lets what is in flight end.
class bench_attendant {
 public:
  bench_attendant(boost::asio::io_context& loop, clock& time, bench::benchmark& attended,
                  screen& shown, const run_settings& chosen);
  bench_attendant(const bench_attendant&) = delete;
  bench_attendant& operator=(const bench_attendant&) = delete;
  ~bench_attendant() { leave(); }

  /// The benchmark is over.
  void leave();
  bool interrupted() const noexcept { return interrupts_.came(); }

 private:
  void repeat();
  void end_in_order();

  clock& time_;
  bench::benchmark& bench_;
  screen& screen_;
  duration grace_;
  interrupts interrupts_;
  clock::timer progress_ = 0;
  clock::timer end_ = 0;
};

}  // namespace sluice::cli
