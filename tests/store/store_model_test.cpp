#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <type_traits>

#include "store/postgres_stores.hpp"
#include "store/records.hpp"
#include "store/simulated_disk.hpp"
#include "store/sqlite_store.hpp"
#include "support/memory_store.hpp"
#include "support/temp_dir.hpp"

// Random calls to a store and to the model in memory: both must give the same answers.

namespace sluice::store {
namespace {

using test::memory_store;
using test::simulated_disk;
using test::temp_dir;

class random_calls {
 public:
  using opener = std::function<std::unique_ptr<batch_store>()>;
  random_calls(std::uint64_t seed, opener open)
      : random_(seed), open_(std::move(open)), store_(open_()) {}
  /// Uses a store in an SQLite database.
  random_calls(std::uint64_t seed, const std::string& path)
      : random_calls(seed, [path] { return open_sqlite_store(path); }) {}

  void run(int steps) {
    for (int step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE(fmt::format("step {}", step));
      if (below(4) == 0) ++now_;
      before_call(random_);
      one_call();
      if (below(40) == 0) compare_lists();
      if (below(100) == 0 && !is_shared) reopen();
    }
    compare_lists();
  }

  /// True if several servers may use the store at once. Then the test does not close and open the
  /// store again, because its opener makes an empty one.
  bool is_shared = false;
  /// Whether the calls include announcements. dump() does not show announcements.
  bool announces = false;
  int announced = 0;  ///< announcements that were due
  /// Called while the store is closed.
  std::function<void(std::mt19937_64&)> while_closed = [](std::mt19937_64&) {};
  /// Called before each call. It may break the disk.
  std::function<void(std::mt19937_64&)> before_call = [](std::mt19937_64&) {};
  /// Returns whether the disk is broken. If unset, the disk never breaks.
  std::function<bool()> is_broken;
  /// The number of calls that failed because of the broken disk.
  int crashes() const { return crashes_; }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  std::string owner() { return chance(2) ? "alice" : "bob"; }
  std::string server() { return chance(2) ? "one" : "two"; }
  // The id of a record that may exist now, may be deleted, or may not exist yet.
  std::string file_id() { return fmt::format("file-{}", below(files_ + 2)); }
  std::string batch_id() { return fmt::format("batch_{}", below(batches_ + 2)); }
  claim a_claim() {
    if (claims_.empty() || chance(10)) return {batch_id(), below(3)};
    // In most cases one of the last claims, which may still be valid.
    const std::size_t back = std::min<std::size_t>(claims_.size(), chance(4) ? 1'000 : 5);
    return claims_[claims_.size() - 1 - below(back)];
  }
  std::optional<std::int64_t> perhaps_soon() {
    if (chance(2)) return std::nullopt;
    return now_ + static_cast<std::int64_t>(below(200));
  }
  file_record a_file() {
    file_record file =
        input_file(owner(), fmt::format("file-{}", chance(20) ? below(files_ + 1) : files_++));
    file.created_at = now_ - static_cast<std::int64_t>(below(2));
    file.expires_at = perhaps_soon();
    file.purpose = chance(3) ? "vision" : "batch";
    return file;
  }
  batch_record a_batch() {
    const std::string id = fmt::format("batch_{}", chance(20) ? below(batches_ + 1) : batches_++);
    batch_record batch =
        chance(4) ? whole_batch(owner(), id, file_id()) : new_batch(owner(), id, file_id(), now_);
    batch.status = batch_status::validating;
    batch.end.reset();
    batch.created_at = now_ - static_cast<std::int64_t>(below(2));
    batch.priority = static_cast<int>(below(3)) - 1;
    batch.has_metadata = chance(2);
    if (!batch.has_metadata) batch.metadata.clear();
    return batch;
  }
  batch_progress a_progress() { return some_progress(static_cast<std::int64_t>(below(50))); }
  page_request a_part(const std::string& after) { return {below(4), chance(3) ? "" : after}; }

  // Makes the call on both stores. Both must give the same answer or the same error.
  template <typename Call>
  auto both(Call call) -> decltype(call(std::declval<batch_store&>())) {
    const memory_store before = is_broken ? model_ : memory_store();
    bool expects_error = false;
    decltype(call(std::declval<batch_store&>())) expected{};
    try {
      expected = call(model_);
    } catch (const std::exception&) {
      expects_error = true;
    }
    try {
      EXPECT_EQ(call(*store_), expected);
      EXPECT_FALSE(expects_error);
    } catch (const std::exception& error) {
      if (is_broken && is_broken()) {
        if constexpr (std::is_same_v<decltype(expected), std::optional<claim>>) {
          if (expected) claims_.push_back(*expected);
        }
        recover(before);
      } else {
        EXPECT_TRUE(expects_error) << error.what();
      }
    }
    return expected;
  }
  template <typename Call>
  void both_do(Call call) {
    both([&](batch_store& store) {
      call(store);
      return true;
    });
  }
  template <typename Call>
  void both_list(Call call) {
    both([&](batch_store& store) {
      const auto page = call(store);
      return std::pair(page.records, page.has_more);
    });
  }

  void one_call() {
    const std::string who = owner();
    const std::string id = chance(2) ? file_id() : batch_id();
    switch (below(20)) {
      case 0:
      case 1: {
        const file_record file = a_file();
        return both_do([&](batch_store& store) { store.add_file(file); });
      }
      case 2:
        both([&](batch_store& store) { return store.find_file(who, id); });
        both([&](batch_store& store) { return store.has_file(id); });
        return;
      case 3: {
        const file_filter filter{a_part(file_id()), chance(2) ? "batch" : "", chance(2)};
        return both_list([&](batch_store& store) { return store.list_files(who, filter); });
      }
      case 4:
        both([&](batch_store& store) { return store.remove_file(who, id); });
        return;
      case 5: {
        const std::size_t most = below(3);
        both([&](batch_store& store) { return store.remove_expired_files(now_, most); });
        return;
      }
      case 6:
      case 7: {
        const batch_record batch = a_batch();
        both([&](batch_store& store) { return store.create_batch(batch); });
        return;
      }
      case 8:
        both([&](batch_store& store) { return store.find_batch(who, id); });
        both([&](batch_store& store) { return store.spent_by_others(who, id); });
        return;
      case 9: {
        const page_request part = a_part(batch_id());
        return both_list([&](batch_store& store) { return store.list_batches(who, part); });
      }
      case 10:
        both([&](batch_store& store) { return store.request_cancel(who, id, now_); });
        return;
      default:
        return one_call_for_work();
    }
  }

  void one_call_for_work() {
    const claim held = a_claim();
    const std::string at = server();
    const auto lease = static_cast<std::int64_t>(below(60));
    switch (below(10)) {
      case 0:
      case 1: {
        skipped_batches skipped{{batch_id(), batch_id()}, {}};
        if (chance(4)) skipped.owners.push_back(owner());
        const bool ending = chance(3);
        const auto made = both([&](batch_store& store) {
          return ending ? store.claim_ending(at, skipped, now_, lease)
                        : store.claim_batch(at, skipped, now_, lease);
        });
        if (made) claims_.push_back(*made);
        return;
      }
      case 2:
        both([&](batch_store& store) { return store.claimed(held); });
        if (announces) announce(held);
        return;
      case 3:
        if (is_shared && chance(3)) {
          both([&](batch_store& store) { return store.claim_owner(held, now_); });
          return;
        }
        both_do([&, renewed = std::vector{held, a_claim()}](batch_store& store) {
          store.renew_claims(renewed, now_, lease);
        });
        return;
      case 4:
        if (chance(2)) return both_do([&](batch_store& store) { store.release(held); });
        if (chance(4)) return both_do([&](batch_store& store) { store.release_claims(at); });
        return;
      case 5: {
        const accepted_lines lines{below(100),
                                   chance(2) ? std::optional<std::string>("m") : std::nullopt};
        both([&](batch_store& store) { return store.accept_lines(held, lines, now_); });
        return;
      }
      case 6:
        if (!chance(3)) return;
        both([&](batch_store& store) {
          return store.refuse_lines(held, {{"code", "text", std::nullopt, 3}}, now_);
        });
        return;
      case 7: {
        const batch_progress progress = a_progress();
        both([&](batch_store& store) { return store.save_progress(held, progress); });
        return;
      }
      case 8: {
        const finalizing how{chance(2) ? batch_status::completed : batch_status::cancelled,
                             fmt::format("file-o{}", below(1'000)), "file-e"};
        both([&](batch_store& store) { return store.begin_finalizing(held, how, now_); });
        return;
      }
      default: {
        finished_batch results;
        results.progress = a_progress();
        if (chance(2)) results.output = a_file();
        if (chance(2)) results.errors = a_file();
        both([&](batch_store& store) { return store.finish(held, results, now_); });
        return;
      }
    }
  }

  void announce(const claim& held) {
    both([&](batch_store& store) { return store.announce(held, now_); });
    const auto due_at = now_ + static_cast<std::int64_t>(below(300));
    const auto due =
        both([&](batch_store& store) { return store.next_announcement(now_, due_at); });
    if (due) ++announced;
    if (!chance(2)) return;
    const auto later = chance(2) ? std::optional(due_at) : std::nullopt;
    both_do([&](batch_store& store) { store.settle_announcement(held.batch, later); });
  }

  void compare_lists() {
    both([&](batch_store& store) { return store.open_batches(); });
    for (const char* who : {"alice", "bob", "carol"}) {
      both_list([&](batch_store& store) { return store.list_files(who, {{9'999, ""}, "", true}); });
      both_list([&](batch_store& store) { return store.list_batches(who, {9'999, ""}); });
    }
    for (const claim& held : claims_) {
      both([&](batch_store& store) { return store.claimed(held); });
    }
  }

  // Another process continues. The last call has happened completely or not at all.
  void recover(memory_store before) {
    ++crashes_;
    reopen();
    constexpr std::uint64_t last_epoch = 60;
    if (dump(*store_, last_epoch) == dump(before, last_epoch)) model_ = before;
    EXPECT_EQ(dump(*store_, last_epoch), dump(model_, last_epoch));
    // A dump does not show when leases end. So it does not show whether a call that changed only a
    // lease has happened. From now on, all leases end at the same time in both stores.
    both_do([&](batch_store& store) { store.renew_claims(claims_, now_, 30); });
  }

  void reopen() {
    store_.reset();
    while_closed(random_);
    store_ = open_();
  }

  std::mt19937_64 random_;
  opener open_;
  memory_store model_;
  std::unique_ptr<batch_store> store_;
  std::int64_t now_ = 1'000;
  std::uint64_t files_ = 0;
  std::uint64_t batches_ = 0;
  std::vector<claim> claims_;
  int crashes_ = 0;
};

TEST(store_model, postgres_gives_the_answers_of_the_model) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    random_calls calls(seed, random_calls::opener(empty_postgres_store));
    calls.is_shared = true;
    calls.run(1'000);
    if (HasFailure()) return;
  }
}

TEST(store_model, sqlite_gives_the_answers_of_the_model) {
  constexpr std::uint64_t seeds = 8;
  constexpr int steps = 2'000;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const temp_dir dir;
    simulated_disk disk;
    random_calls calls(seed, dir / "store.db");
    calls.announces = true;
    // After each answer, the change is on disk, so a power failure changes nothing.
    calls.while_closed = [&](std::mt19937_64& random) { disk.lose_power(random); };
    calls.run(steps);
    EXPECT_GT(calls.announced, 0);
    if (HasFailure()) return;
  }
}

TEST(store_model, sqlite_gives_the_answers_of_the_model_through_kills_and_power_failures) {
  constexpr std::uint64_t seeds = 8;
  constexpr int steps = 1'000;
  // So many operations that faults also happen in the middle of a checkpoint, which comes after a
  // thousand pages.
  constexpr std::uint64_t most_operations = 400;
  int crashes = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const temp_dir dir;
    simulated_disk disk;
    random_calls calls(seed, dir / "store.db");
    bool is_armed = false;
    calls.before_call = [&](std::mt19937_64& random) {
      if (is_armed) return;
      disk.fail_at(1 + random() % most_operations, simulated_disk::fault::kill);
      is_armed = true;
    };
    calls.is_broken = [&] { return disk.has_failed(); };
    calls.while_closed = [&](std::mt19937_64& random) {
      random() % 2 == 0 ? disk.lose_power(random) : disk.repair();
      is_armed = false;
    };
    calls.run(steps);
    crashes += calls.crashes();
    if (HasFailure()) return;
  }
  EXPECT_GT(crashes, 50);
}

TEST(store_model, sqlite_on_a_real_disk_gives_the_answers_of_the_model) {
  const temp_dir dir;
  random_calls(99, dir / "store.db").run(300);
}

}  // namespace
}  // namespace sluice::store
