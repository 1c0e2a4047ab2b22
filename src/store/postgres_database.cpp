#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <thread>

#include "store/postgres.hpp"

namespace sluice::store {
namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::chrono::milliseconds first_pause{20};
constexpr std::chrono::milliseconds longest_pause{1000};

// Returns whether PostgreSQL has ended the transaction because of a conflict with another one.
bool may_succeed_now(const postgres_error& fault) {
  return fault.state() == "40001" || fault.state() == "40P01";
}

}  // namespace

struct postgres_database::parts {
  explicit parts(postgres_options how) : options(std::move(how)) {}

  std::unique_ptr<postgres_connection> take() {
    std::unique_lock lock(guard);
    free.wait(lock, [this] { return !idle.empty() || taken < options.most_connections; });
    ++taken;
    if (idle.empty()) return nullptr;
    auto connection = std::move(idle.back());
    idle.pop_back();
    return connection;
  }

  void give_back(std::unique_ptr<postgres_connection> connection) {
    const std::lock_guard lock(guard);
    --taken;
    if (connection && connection->usable()) idle.push_back(std::move(connection));
    free.notify_one();
  }

  // Closes the idle connections. If one connection is lost, the others are probably lost too, and
  // each of them would cost one more failure.
  void drop_idle() {
    const std::lock_guard lock(guard);
    idle.clear();
  }

  const postgres_options options;
  std::mutex guard;
  std::condition_variable free;
  std::vector<std::unique_ptr<postgres_connection>> idle;
  std::size_t taken = 0;
  std::string name;
};

namespace {

// Decides when to try again and when to give up. The patience begins with the first failure, so
// that a call which was slow before it failed is tried again, too.
class retries {
 public:
  explicit retries(std::chrono::milliseconds patience) : patience_(patience) {}
  /// Call it after a failure. Waits a little and returns true; returns false if it is time to give
  /// up.
  bool another() {
    const auto now = clock_type::now();
    if (!until_) until_ = now + patience_;
    if (now + pause_ > *until_) return false;
    static thread_local std::minstd_rand random{std::random_device{}()};
    // The pause is random, from half of its length to its full length, so that conflicting clients
    // do not conflict again.
    const auto part = std::uniform_real_distribution(0.5, 1.0)(random);
    std::this_thread::sleep_for(pause_ * part);
    pause_ = std::min(pause_ * 2, longest_pause);
    return true;
  }

 private:
  const std::chrono::milliseconds patience_;
  std::optional<clock_type::time_point> until_;
  std::chrono::milliseconds pause_ = first_pause;
};

}  // namespace

postgres_database::postgres_database(postgres_options options)
    : parts_(std::make_unique<parts>(std::move(options))) {
  auto first = std::make_unique<postgres_connection>(parts_->options);
  parts_->name = first->name();
  parts_->idle.push_back(std::move(first));
}

postgres_database::~postgres_database() = default;

std::string postgres_database::name() const {
  return parts_->name;
}

// Runs `work` in a transaction until it succeeds.
void postgres_database::transact_erased(const std::function<void(postgres_transaction&)>& work,
                                        if_unclear unclear) {
  retries again(parts_->options.patience);
  // The reason why the server went down is more useful than the later message that it cannot be
  // reached.
  std::optional<std::string> full;
  const auto note = [&full](const store_error& fault) {
    const std::string_view why = fault.what();
    if (why.find(disk_is_full) != why.npos) full = why;
  };
  for (;;) {
    struct borrowed {
      explicit borrowed(parts& owner) : from(owner), connection(owner.take()) {}
      ~borrowed() {
        if (connection) connection->roll_back();
        from.give_back(std::move(connection));
      }
      borrowed(const borrowed&) = delete;
      borrowed& operator=(const borrowed&) = delete;
      parts& from;
      std::unique_ptr<postgres_connection> connection;
    };
    try {
      borrowed use(*parts_);
      if (!use.connection) {
        use.connection = std::make_unique<postgres_connection>(parts_->options);
      }
      use.connection->begin();
      postgres_transaction inside(*use.connection);
      work(inside);
      use.connection->commit();
      return;
    } catch (const commit_unclear& fault) {
      parts_->drop_idle();
      note(fault);
      if (unclear == if_unclear::say_so || !again.another()) throw;
    } catch (const connection_lost& fault) {
      parts_->drop_idle();
      note(fault);
      if (!again.another()) throw connection_lost(full.value_or(fault.what()));
    } catch (const postgres_error& fault) {
      if (!may_succeed_now(fault) || !again.another()) throw;
    }
  }
}

postgres_rows postgres_database::read(const std::string& sql, const postgres_parameters& values,
                                      result_format format) {
  retries again(parts_->options.patience);
  for (;;) {
    auto connection = parts_->take();
    try {
      if (!connection) connection = std::make_unique<postgres_connection>(parts_->options);
      auto rows = connection->run(sql, values, format);
      parts_->give_back(std::move(connection));
      return rows;
    } catch (const connection_lost&) {
      parts_->give_back(nullptr);
      parts_->drop_idle();
      if (!again.another()) throw;
    } catch (...) {
      parts_->give_back(std::move(connection));
      throw;
    }
  }
}

}  // namespace sluice::store
