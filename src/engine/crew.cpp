#include "engine/crew.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

namespace sluice {

crew::crew(boost::asio::any_io_executor loop, std::size_t wanted,
           std::function<boost::asio::awaitable<void>()> work)
    : loop_(std::move(loop)), wanted_(wanted), work_(std::move(work)) {}

void crew::start() {
  for (auto n = wanted_; n > 0; --n) add();
}

void crew::rest() {
  ++resting_;
  if (growing_ && workers_ < wanted_ + std::min(resting_, most_resting)) add();
}

void crew::add() {
  ++workers_;
  // Posted, since co_spawn on the loop's own thread begins at once: a worker that finds nothing to
  // do must not end before the rest of the run is there.
  boost::asio::post(loop_, [this] { boost::asio::co_spawn(loop_, work(), boost::asio::detached); });
}

boost::asio::awaitable<void> crew::work() {
  co_await work_();
  if (--workers_ == 0) gone_.wake_all();
}

void crew::enlist() noexcept {
  ++workers_;
  ++resting_;
}

void crew::discharge() {
  --resting_;
  if (--workers_ == 0) gone_.wake_all();
}

}  // namespace sluice
