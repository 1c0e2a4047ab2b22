#include "http/address_race.hpp"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <functional>
#include <list>
#include <utility>

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

// The sockets under way. Whoever waits for the end is parked on the connection.
class race {
 public:
  race(connection& link, clock& clock, std::vector<tcp::endpoint> addresses)
      : link_(link), clock_(clock), addresses_(std::move(addresses)) {
    start_next();
  }
  race(const race&) = delete;
  race& operator=(const race&) = delete;
  ~race() { call_off(); }

  bool running() const noexcept { return !runners_.empty(); }
  const error_code& outcome() const noexcept { return outcome_; }

  // Nothing more is tried; what is under way ends at the next turn of the loop.
  void call_off() {
    next_ = addresses_.size();
    if (alarm_ != 0) clock_.cancel(std::exchange(alarm_, 0));
    error_code ignored;
    for (auto& socket : runners_) socket.close(ignored);
  }

 private:
  using runner = std::list<tcp::socket>::iterator;

  void start_next() {
    if (next_ == addresses_.size()) return;
    if (alarm_ != 0) clock_.cancel(std::exchange(alarm_, 0));
    const tcp::endpoint address = addresses_[next_++];
    if (next_ < addresses_.size()) {
      alarm_ = clock_.call_at(clock_.now() + race_delay, [this] {
        alarm_ = 0;
        start_next();
      });
    }
    const runner started = runners_.emplace(runners_.end(), link_.socket.get_executor());
    started->async_connect(address,
                           [this, started](const error_code& error) { arrived(started, error); });
  }

  void arrived(runner started, const error_code& error) {
    tcp::socket socket = std::move(*started);
    runners_.erase(started);
    if (won_ || link_.given_up()) {
      // too late
    } else if (error) {
      outcome_ = error;
      start_next();
    } else {
      won_ = true;
      outcome_ = {};
      link_.socket = std::move(socket);
      call_off();
    }
    if (!running()) link_.parked.wake_all();
  }

  connection& link_;
  clock& clock_;
  const std::vector<tcp::endpoint> addresses_;
  std::size_t next_ = 0;
  std::list<tcp::socket> runners_;
  clock::timer alarm_ = 0;
  error_code outcome_ = asio::error::host_not_found;
  bool won_ = false;
};

}  // namespace

asio::awaitable<error_code> connect_to_any(connection& link, clock& clock,
                                           std::vector<tcp::endpoint> addresses) {
  race runners(link, clock, std::move(addresses));
  while (runners.running()) {
    co_await link.parked.wait();
    if (link.given_up()) runners.call_off();
  }
  co_return link.given_up() ? asio::error::operation_aborted : runners.outcome();
}

}  // namespace sluice
