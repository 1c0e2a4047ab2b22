#include "cli/commands/bench_attendant.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "cli/views/progress.hpp"

namespace sluice::cli {
namespace {

constexpr std::chrono::milliseconds live_interval{200};
constexpr std::chrono::seconds plain_interval{10};

}  // namespace

std::string bench_progress(const bench::benchmark::status& now) {
  if (now.waiting_for_others) return "waiting until earlier starts no longer count";
  std::string line = "looking for the limit";
  if (!now.load.empty()) {
    line = fmt::format("load {}{}, {}", now.number,
                       now.of ? fmt::format(" of {}", *now.of) : std::string(), now.load);
  }
  line += fmt::format(": {} done, {} in flight, {} started in the last 60 s", grouped(now.ended),
                      now.in_flight, grouped(now.started_last_minute));
  if (now.cost) line += fmt::format(", ${}", now.cost->to_string());
  return line;
}

bench_attendant::bench_attendant(boost::asio::io_context& loop, clock& time,
                                 bench::benchmark& attended, screen& shown,
                                 const run_settings& chosen)
    : time_(time), bench_(attended), screen_(shown), grace_(chosen.grace), interrupts_(loop) {
  interrupts_.listen([this] { end_in_order(); }, [this] { bench_.abort(); });
  if (!chosen.quiet) repeat();
}

void bench_attendant::leave() {
  interrupts_.leave();
  for (clock::timer* timer : {&progress_, &end_}) {
    if (*timer != 0) time_.cancel(std::exchange(*timer, 0));
  }
  screen_.clear_live();
}

void bench_attendant::repeat() {
  const duration interval = screen_.is_terminal() ? duration(live_interval) : plain_interval;
  progress_ = time_.call_at(time_.now() + interval, [this] {
    const std::string line = bench_progress(bench_.now());
    if (screen_.is_terminal()) {
      screen_.live(line);
    } else {
      screen_.line(line);
    }
    repeat();
  });
}

void bench_attendant::end_in_order() {
  bench_.stop("interrupted");
  spdlog::warn("interrupted: {} in flight may finish within {}; interrupt again to stop at once",
               bench_.now().in_flight, short_time(std::chrono::duration<double>(grace_).count()));
  end_ = time_.call_at(time_.now() + grace_, [this] { bench_.abort(); });
}

}  // namespace sluice::cli
