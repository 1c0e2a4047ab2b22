#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dice.hpp"
#include "http/http_client.hpp"
#include "simulated_clock.hpp"
#include "sluice/config.hpp"
#include "sluice/prices.hpp"
#include "sluice/usage.hpp"
#include "tariff.hpp"
#include "trace.hpp"

namespace sluice::simulation {

/// The condition of a relay for some time. With `fair` the relay serves requests; with each other
/// value it fails in a different way.
enum class weather : std::uint8_t {
  fair,
  refusing,
  failing,
  down,
  stalling,
  cutting,
  webpage,
  unpaid
};

struct weather_spell {
  weather kind = weather::fair;
  time_point from{};
  time_point until{};
  std::optional<std::size_t> member = {};  ///< the member of a pool; unset: all members
};

/// The properties of a relay, or of a pool, during a whole life.
struct relay_character {
  std::vector<std::size_t> windows{0};         ///< for each member, the index of its window
  double clock_rate = 1;                       ///< speed of its clock relative to ours
  std::chrono::milliseconds longest_way{900};  ///< the longest time until a request arrives
  std::chrono::milliseconds longest_head{3000};
  unsigned trouble_percent = 10;  ///< the share of attempts that fail in fair weather
  std::vector<weather_spell> spells;
  std::set<std::string> refused;   ///< the ids of requests that it answers with 400
  unsigned no_usage_percent = 0;   ///< the share of good replies without usage
  unsigned malformed_percent = 0;  ///< the share of good replies that shape_check rejects
  std::optional<tariff> bills;     ///< unset: bills prompt, cached and reply tokens
};

/// An attempt that has arrived at the relay. It is billed when the relay serves it, even if the
/// reply is lost on the way back. The relay ignores Idempotency-Key.
struct relay_attempt {
  std::string id;            ///< the id of its request
  std::string key;           ///< Idempotency-Key
  std::uint64_t body = 0;    ///< a hash of its body
  bool streamed = false;     ///< asks for a stream
  std::size_t process = 0;   ///< the process that sent it
  std::size_t member = 0;    ///< the member of the pool
  std::int64_t version = 0;  ///< the version of the request's body
  bool whole = false;
  double counted_at = 0;  ///< its arrival, in seconds of the relay's clock
  bool billed = false;
  token_usage usage;
  std::string tier;  ///< empty: the reply does not say
  usd cost;
};

/// The network and the relays, in virtual time.
class simulated_relay {
  using outgoing = http_client::outgoing;

 public:
  simulated_relay(simulated_clock& time, dice random, trace& events, const relay_options& limits,
                  relay_character character, price_table prices)
      : time_(time),
        random_(random),
        trace_(events),
        limits_(limits),
        character_(std::move(character)),
        prices_(std::move(prices)),
        foreign_(character_.windows.size()) {
    for (std::size_t member = 0; member < character_.windows.size(); ++member) {
      doors_.push_back(std::make_unique<door>(*this, member));
    }
  }

  /// A client for each member of the pool.
  std::vector<http_client*> doors() const;

  /// A new process starts.
  void boot(std::size_t process) {
    process_ = process;
    dead_ = false;
    for (auto& one : doors_) one->allow_sending();
    most_in_flight = 0;
  }
  /// The process dies: from now on nothing that it sends arrives.
  void die() { dead_ = true; }
  /// Ends all trouble. A member that is permanently dead stays dead.
  void calm_down() {
    std::erase_if(character_.spells,
                  [](const weather_spell& one) { return one.until != time_point::max(); });
    character_.trouble_percent = 0;
    character_.longest_head = std::chrono::seconds{3};
  }

  const std::vector<relay_attempt>& attempts() const noexcept { return attempts_; }
  const relay_attempt* by_reply(const std::string& request_id) const;
  /// The index of the attempt with this reply.
  std::optional<std::size_t> attempt_number(const std::string& request_id) const {
    const relay_attempt* found = by_reply(request_id);
    if (found == nullptr) return std::nullopt;
    return static_cast<std::size_t>(found - attempts_.data());
  }
  usd billed() const noexcept { return billed_; }
  /// The maximum number of attempts in any 60 s in a window: with `process`, only attempts of this
  /// process; otherwise, attempts of all users of the key.
  std::size_t most_in_a_minute(std::size_t window, std::size_t process) const;
  std::size_t most_in_a_minute(std::size_t window) const;
  /// Another user of the key sends an attempt that arrives after `way`.
  void foreign_attempt(std::size_t window, duration way) {
    foreign_.at(window).push_back(moment_of(time_.now() + way));
  }
  std::size_t in_flight() const noexcept { return in_flight_; }

  std::size_t most_in_flight = 0;

 private:
  struct parked {
    explicit parked(const boost::asio::any_io_executor& loop);
    boost::asio::steady_timer timer;
    bool connecting = false;
    bool called_off = false;
  };
  // One exchange, and the point where it waits now.
  struct flight {
    void call_off(bool only_connecting) {
      if (at == nullptr || (only_connecting && !at->connecting)) return;
      at->called_off = true;
      at->timer.cancel();
    }
    parked* at = nullptr;
  };
  enum class passed : std::uint8_t { in_time, too_late, called_off };
  struct reply_plan;

  class door final : public http_client {
   public:
    door(simulated_relay& world, std::size_t member) : world_(world), member_(member) {}
    boost::asio::awaitable<exchange_end> exchange(outgoing request,
                                                  response_handler& handler) override;
    void stop_sending() override;
    void allow_sending() override { sending_ = true; }
    void abort() override;

   private:
    boost::asio::awaitable<passed> pass(flight& mine, duration time, time_point limit,
                                        bool connecting = false);
    boost::asio::awaitable<exchange_end> talk(outgoing request, response_handler& handler,
                                              flight& mine);

    simulated_relay& world_;
    const std::size_t member_;
    bool sending_ = true;
    std::list<parked*> parked_;
  };

  double moment_of(time_point when) const {
    return std::chrono::duration<double>(when.time_since_epoch()).count() * character_.clock_rate;
  }
  reply_plan plan(const outgoing& request, std::size_t number, weather now);
  void serve(reply_plan& planned, const outgoing& request, std::size_t number);
  void bill(relay_attempt& attempt, const outgoing& request);
  void bill_by_tariff(relay_attempt& attempt, const outgoing& request, duration until_end);
  weather weather_now(std::size_t member) const;

  simulated_clock& time_;
  dice random_;
  trace& trace_;
  const relay_options limits_;
  relay_character character_;
  const price_table prices_;
  std::size_t process_ = 0;
  bool dead_ = false;
  std::size_t in_flight_ = 0;
  std::vector<relay_attempt> attempts_;
  usd billed_;
  std::vector<std::unique_ptr<door>> doors_;
  std::vector<std::vector<double>> foreign_;  // per window: arrival times of other users' attempts
};

}  // namespace sluice::simulation
