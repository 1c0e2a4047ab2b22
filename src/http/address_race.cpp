#include "http/address_race.hpp"

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/error.hpp>
#include <list>
#include <memory>
#include <utility>

#include "async/alarm.hpp"

namespace sluice {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

std::vector<tcp::endpoint> in_racing_order(std::vector<tcp::endpoint> addresses) {
  if (addresses.empty()) return addresses;
  const auto first_family = addresses.front().protocol();
  const auto other = std::stable_partition(
      addresses.begin(), addresses.end(),
      [&](const tcp::endpoint& each) { return each.protocol() == first_family; });
  std::vector<tcp::endpoint> ordered;
  ordered.reserve(addresses.size());
  auto a = addresses.begin();
  auto b = other;
  while (a != other || b != addresses.end()) {
    if (a != other) ordered.push_back(*a++);
    if (b != addresses.end()) ordered.push_back(*b++);
  }
  return ordered;
}

namespace {

// Holds the sockets that are connecting. The coroutine that waits for the result is queued in the
// connection's `parked`. Each connect operation keeps a reference to the race, because its callback
// runs even after that coroutine has ended.
class race : public std::enable_shared_from_this<race> {
 public:
  race(connection& link, clock& clock, std::vector<tcp::endpoint> addresses)
      : loop_(link.socket.get_executor()),
        link_(&link),
        clock_(clock),
        delay_(clock),
        addresses_(std::move(addresses)) {}

  void start_next() {
    if (next_ == addresses_.size()) return;
    delay_.cancel();
    const tcp::endpoint address = addresses_[next_++];
    if (next_ < addresses_.size()) {
      delay_.set(clock_.now() + race_delay, [this] { start_next(); });
    }
    const runner socket = runners_.emplace(runners_.end(), loop_);
    socket->async_connect(address, [self = shared_from_this(), socket](const error_code& error) {
      self->ended(socket, error);
    });
  }

  bool running() const noexcept { return !runners_.empty(); }
  const error_code& outcome() const noexcept { return outcome_; }

  // Starts no more attempts; active ones end in the next turn of the event loop.
  void call_off() {
    next_ = addresses_.size();
    delay_.cancel();
    error_code ignored;
    for (auto& socket : runners_) socket.close(ignored);
  }
  // Like call_off(), and never uses the connection or the clock again.
  void abandon() {
    call_off();
    link_ = nullptr;
  }

 private:
  using runner = std::list<tcp::socket>::iterator;

  void ended(runner which, const error_code& error) {
    tcp::socket socket = std::move(*which);
    runners_.erase(which);
    if (link_ == nullptr) return;
    if (won_ || link_->given_up()) {
      // too late
    } else if (error) {
      outcome_ = error;
      start_next();
    } else {
      won_ = true;
      outcome_ = {};
      link_->socket = std::move(socket);
      call_off();
    }
    if (!running()) link_->parked.wake_all();
  }

  const boost::asio::any_io_executor loop_;
  connection* link_;
  clock& clock_;
  alarm delay_;
  const std::vector<tcp::endpoint> addresses_;
  std::size_t next_ = 0;
  std::list<tcp::socket> runners_;
  error_code outcome_ = asio::error::host_not_found;
  bool won_ = false;
};

// A race that is abandoned when the waiting coroutine ends or is destroyed.
class entered_race {
 public:
  explicit entered_race(std::shared_ptr<race> own) : own_(std::move(own)) { own_->start_next(); }
  entered_race(const entered_race&) = delete;
  entered_race& operator=(const entered_race&) = delete;
  ~entered_race() { own_->abandon(); }
  race* operator->() const noexcept { return own_.get(); }

 private:
  const std::shared_ptr<race> own_;
};

}  // namespace

asio::awaitable<error_code> connect_to_any(connection& link, clock& clock,
                                           std::vector<tcp::endpoint> addresses) {
  const entered_race runners(std::make_shared<race>(link, clock, std::move(addresses)));
  while (runners->running()) {
    co_await link.parked.wait();
    if (link.given_up()) runners->call_off();
  }
  co_return link.given_up() ? asio::error::operation_aborted : runners->outcome();
}

}  // namespace sluice
