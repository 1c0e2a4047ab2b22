#include "cli/graceful_stop.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "views/progress.hpp"

namespace sluice::cli {

graceful_stop::graceful_stop(boost::asio::io_context& loop, clock& time, duration grace,
                             actions work)
    : time_(time), grace_(grace), work_(std::move(work)), signals_(loop) {
  signals_.listen([this] { end_in_order(); }, [this] { abandon("interrupted again"); });
}

void graceful_stop::stop() {
  work_.stop();
  if (std::exchange(stopping_, true)) return;
  end_ = time_.now() + grace_;
  end_of_grace_ = time_.call_at(end_, [this] {
    end_of_grace_ = 0;
    abandon(fmt::format("the {} of --grace are over",
                        short_time(std::chrono::duration<double>(grace_).count())));
  });
}

void graceful_stop::abandon(const std::string& why) {
  const std::uint64_t count = work_.in_flight ? work_.in_flight() : 0;
  abandoned_ += count;
  if (count > 0) {
    spdlog::warn("{}: {} in flight {} abandoned; the relay may bill {}", why, count,
                 count == 1 ? "is" : "are", count == 1 ? "it" : "them");
  }
  work_.abort();
}

std::optional<double> graceful_stop::seconds_left() const {
  if (!stopping_) return std::nullopt;
  return std::chrono::duration<double>(std::max(end_ - time_.now(), duration{})).count();
}

void graceful_stop::end_in_order() {
  stop();
  if (!work_.in_flight) return;
  const std::uint64_t count = work_.in_flight();
  if (count == 0) return spdlog::warn("interrupted: nothing is in flight");
  spdlog::warn("interrupted: {} in flight may finish within {}; interrupt again to stop at once",
               count, short_time(std::chrono::duration<double>(grace_).count()));
}

void graceful_stop::leave() {
  signals_.leave(work_.while_finishing);
  if (end_of_grace_ != 0) time_.cancel(std::exchange(end_of_grace_, 0));
}

exit_status graceful_stop::status(exit_status ended) const noexcept {
  return signals_.came() ? stronger(ended, cli::interrupted) : ended;
}

}  // namespace sluice::cli
