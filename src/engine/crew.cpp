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

void crew::set_wanted(std::size_t wanted) {
  wanted_ = wanted;
  // If there are no workers, the run is over or has not begun.
  while (growing_ && workers_ > 0 && workers_ < wanted_ + std::min(resting_, most_resting)) add();
}

void crew::rest() {
  ++resting_;
  if (growing_ && workers_ < wanted_ + std::min(resting_, most_resting)) add();
}

void crew::add() {
  ++workers_;
  // Posted, because co_spawn on the loop's thread would start the worker at once: a worker that
  // finds no work must not end before the others have been added.
  boost::asio::post(loop_, [this] { boost::asio::co_spawn(loop_, work(), boost::asio::detached); });
}

boost::asio::awaitable<void> crew::work() {
  co_await work_();
  if (--workers_ == 0) gone_.wake_all();
}

void crew::begin_other_work() noexcept {
  ++workers_;
  ++resting_;
}

void crew::end_other_work() {
  --resting_;
  if (--workers_ == 0) gone_.wake_all();
}

}  // namespace sluice
