#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "http_client.hpp"
#include "sluice/money.hpp"
#include "support/manual_clock.hpp"

namespace sluice::simulation {

/// What the network and the relay do to an attempt, as shares of all.
struct weather {
  double refused = 0;    ///< no connection
  double half_sent = 0;  ///< it breaks while the request is sent
  double lost = 0;       ///< it breaks once the request is sent; the relay may have served it
  double stalled = 0;    ///< nothing comes until the client gives up; the same
  double cut = 0;        ///< the reply is served, billed, and breaks off
  double throttled = 0;  ///< 429 for no reason
  double failing = 0;    ///< 500, 502 with a page, 503
  double error_in_200 = 0;
  double denied = 0;                                      ///< 400: the request fails for good
  duration longest_way = std::chrono::milliseconds{900};  ///< to the relay
  duration longest_head = std::chrono::seconds{3};        ///< from there to the head
};

/// The network and the relay behind it, with a clock, a window and a bill of the relay's own. Knows
/// nothing of the client but what it sends.
class simulated_relay final : public http_client {
 public:
  simulated_relay(test::manual_clock& clock, std::uint64_t seed, unsigned per_minute,
                  duration first_byte_timeout);

  boost::asio::awaitable<exchange_end> exchange(post request, response_handler& handler) override;
  void stop_sending() override { sending_ = false; }
  void allow_sending() override { sending_ = true; }
  void abort() override;

  void set_weather(const weather& now) noexcept { weather_ = now; }
  /// The client's machine is dead: nothing leaves it any more.
  void cut_off();
  void connect() noexcept { connected_ = true; }

  /// Attempts that reached it, by the name in their body.
  const std::map<std::string, unsigned>& attempts() const noexcept { return attempts_; }
  std::uint64_t arrivals() const noexcept { return arrivals_.size(); }
  /// The most that arrived within a minute of its own clock.
  std::size_t most_in_a_minute() const;
  usd billed() const noexcept { return billed_; }
  std::uint64_t billed_attempts() const noexcept { return billed_attempts_; }
  std::size_t in_flight() const noexcept { return in_flight_; }

  std::function<void(const std::string&)> watch;

 private:
  using parking = boost::asio::steady_timer;
  struct saying {
    int status = 0;
    std::string type;
    std::string body;
    std::map<std::string, std::string, std::less<>> hints;
  };

  boost::asio::awaitable<bool> pass(duration time);
  boost::asio::awaitable<void> follow(post request, response_handler& handler, exchange_end& told);
  boost::asio::awaitable<void> answer(const saying& what, response_handler& handler,
                                      exchange_end& told);
  std::optional<saying> refusal(post request);
  boost::asio::awaitable<void> serve(post request, response_handler& handler, exchange_end& told);
  usd bill(post request, unsigned& prompt, unsigned& completion);
  bool chance(double share) {
    return std::uniform_real_distribution<double>(0, 1)(random_) < share;
  }
  duration up_to(duration most) {
    return duration{std::uniform_int_distribution<duration::rep>(0, most.count())(random_)};
  }

  test::manual_clock& clock_;
  std::mt19937_64 random_;
  const double skew_;  // of its clock against ours
  const unsigned per_minute_;
  const duration first_byte_timeout_;
  weather weather_;
  std::list<parking*> parked_;
  std::uint64_t epoch_ = 0;
  bool sending_ = true;
  bool connected_ = true;
  std::size_t in_flight_ = 0;
  std::vector<double> arrivals_;  // in seconds of its clock
  std::map<std::string, unsigned> attempts_;
  usd billed_;
  std::uint64_t billed_attempts_ = 0;
};

/// The price of the model that all simulated jobs ask for, as the program's own table has it.
token_price simulated_price();
inline constexpr const char* simulated_model = "gpt-4o-mini";

}  // namespace sluice::simulation
