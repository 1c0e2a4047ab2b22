#include "sluice/run_limit.hpp"

#include "upstream/start_gate.hpp"

namespace sluice {

// Starts are counted by this program's clock alone, so they need no margin for the time of
// transfer.
run_limit::run_limit(clock& time, unsigned requests_per_minute, std::uint64_t tokens_per_minute)
    : gate_(
          std::make_unique<start_gate>(time,
                                       rate_limiter::options{.per_minute = requests_per_minute,
                                                             .margin = {},
                                                             .pace = pacing::burst,
                                                             .tokens_per_minute = tokens_per_minute,
                                                             .store = nullptr},
                                       0)) {
  gate_->close();  // every attempt belongs to a run, and without one the gate sets no alarm
}

run_limit::~run_limit() = default;

void run_limit::set(unsigned requests_per_minute, std::uint64_t tokens_per_minute) {
  gate_->set_limits(0, requests_per_minute, tokens_per_minute);
}

}  // namespace sluice
