#include "cli/graceful_stop.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "views/progress.hpp"

namespace sluice::cli {

graceful_stop::graceful_stop(boost::asio::io_context& loop, clock& time, duration grace,
                             actions work)
    : time_(time), grace_(grace), work_(std::move(work)), signals_(loop) {
  signals_.listen([this] { end_in_order(); }, work_.abort);
}

void graceful_stop::stop() {
  work_.stop();
  if (std::exchange(stopping_, true)) return;
  end_of_grace_ = time_.call_at(time_.now() + grace_, [this] {
    end_of_grace_ = 0;
    work_.abort();
  });
}

void graceful_stop::end_in_order() {
  stop();
  if (!work_.in_flight) return;
  spdlog::warn("interrupted: {} in flight may finish within {}; interrupt again to stop at once",
               work_.in_flight(), short_time(std::chrono::duration<double>(grace_).count()));
}

void graceful_stop::leave() {
  signals_.leave();
  if (end_of_grace_ != 0) time_.cancel(std::exchange(end_of_grace_, 0));
}

exit_status graceful_stop::status(exit_status ended) const noexcept {
  const bool stronger = ended == cannot_start || ended == results_lost;
  return signals_.came() && !stronger ? cli::interrupted : ended;
}

}  // namespace sluice::cli
