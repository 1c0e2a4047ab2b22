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
#include "sluice/money.hpp"
#include "sluice/usage.hpp"
#include "trace.hpp"

namespace sluice::simulation {

/// What a relay does for a while instead of serving.
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
  std::optional<std::size_t> member = {};  ///< of a pool; unset: all of them
};

/// How a relay is, for the whole of a life, or a pool of them.
struct relay_character {
  std::vector<std::size_t> windows{0};         ///< that each member counts in
  double clock_rate = 1;                       ///< of its clock against ours
  std::chrono::milliseconds longest_way{900};  ///< of a request to it
  std::chrono::milliseconds longest_head{3000};
  unsigned trouble_percent = 10;  ///< of the attempts, in fair weather
  std::vector<weather_spell> spells;
  std::set<std::string> refused;  ///< requests that it answers with 400, by id
  unsigned no_usage_percent = 0;  ///< of its good replies
};

/// An attempt as the relay knows it. It is billed when it was served, whatever becomes of the
/// reply on its way back; an Idempotency-Key changes nothing.
struct seen_attempt {
  std::string id;            ///< of the request
  std::string key;           ///< Idempotency-Key
  std::size_t process = 0;   ///< which of ours sent it
  std::size_t member = 0;    ///< of the pool
  std::int64_t version = 0;  ///< of the request's body
  bool whole = false;
  double counted_at = 0;  ///< when it arrived, in seconds of the relay's clock
  bool billed = false;
  token_usage usage;
  usd cost;
};

/// The network and the relays behind it, in virtual time.
class simulated_relay {
  using outgoing = http_client::outgoing;

 public:
  simulated_relay(simulated_clock& time, dice random, trace& told, const relay_options& limits,
                  relay_character character, price_table prices)
      : time_(time),
        random_(random),
        trace_(told),
        limits_(limits),
        character_(std::move(character)),
        prices_(std::move(prices)),
        foreign_(character_.windows.size()) {
    for (std::size_t member = 0; member < character_.windows.size(); ++member) {
      doors_.push_back(std::make_unique<door>(*this, member));
    }
  }

  /// The ways to the members of the pool.
  std::vector<http_client*> doors() const;

  /// A new process of ours talks to it.
  void boot(std::size_t process) {
    process_ = process;
    dead_ = false;
    for (auto& one : doors_) one->allow_sending();
    most_in_flight = 0;
  }
  /// The process died: nothing that it does from now on reaches anybody.
  void die() { dead_ = true; }
  /// Trouble and bad weather end for good; but a member that is dead for good stays so.
  void calm_down() {
    std::erase_if(character_.spells,
                  [](const weather_spell& one) { return one.until != time_point::max(); });
    character_.trouble_percent = 0;
    character_.longest_head = std::chrono::seconds{3};
  }

  const std::vector<seen_attempt>& attempts() const noexcept { return attempts_; }
  const seen_attempt* by_reply(const std::string& request_id) const;
  usd billed() const noexcept { return billed_; }
  /// The most attempts that it counted in any 60 s in a window: of one process of ours; of all, and
  /// of others who use the same key.
  std::size_t most_in_a_minute(std::size_t window, std::size_t process) const;
  std::size_t most_in_a_minute(std::size_t window) const;
  /// Another user of the key sends something that arrives `way` from now.
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
  // One exchange: where it waits at this moment.
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
  std::vector<seen_attempt> attempts_;
  usd billed_;
  std::vector<std::unique_ptr<door>> doors_;
  std::vector<std::vector<double>> foreign_;  // of each window: when others' attempts arrived
};

}  // namespace sluice::simulation
