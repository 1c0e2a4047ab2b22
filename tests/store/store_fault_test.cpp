#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "store/records.hpp"
#include "store/simulated_disk.hpp"
#include "store/sqlite.hpp"
#include "store/sqlite_schema.hpp"
#include "store/sqlite_store.hpp"
#include "support/memory_store.hpp"
#include "support/temp_dir.hpp"

// Full disks, kills and power failures at every operation of every call. Afterwards the call must
// have happened completely or not at all.

namespace sluice::store {
namespace {

using test::memory_store;
using test::simulated_disk;
using test::temp_dir;
using fault = simulated_disk::fault;

struct step {
  const char* name;
  std::function<void(batch_store&)> call;
};

// Every call that writes, in a realistic order. The claims are known in advance.
const std::vector<step>& steps() {
  static const claim first{"batch_1", 1};
  static const claim second{"batch_2", 2};
  static const std::vector<step> all{
      {"add_file", [](batch_store& store) { store.add_file(input_file("alice", "file-1")); }},
      {"add_file that expires",
       [](batch_store& store) {
         file_record file = input_file("bob", "file-2");
         file.expires_at = 110;
         store.add_file(file);
       }},
      {"create_batch",
       [](batch_store& store) { store.create_batch(new_batch("alice", "batch_1", "file-1")); }},
      {"create_batch with all fields",
       [](batch_store& store) {
         batch_record batch = whole_batch("bob", "batch_2", "file-2");
         batch.status = batch_status::validating;
         batch.end.reset();
         store.create_batch(batch);
       }},
      {"claim_batch", [](batch_store& store) { store.claim_batch("one", {}, 100, 60); }},
      {"claim_batch, another", [](batch_store& store) { store.claim_batch("one", {}, 100, 60); }},
      {"renew_claims",
       [](batch_store& store) {
         store.renew_claims(std::vector{first, claim{"batch_2", 1}}, 120, 60);
       }},
      {"accept_lines",
       [](batch_store& store) {
         store.accept_lines(first, {5, "gpt-x"}, 120);
       }},
      {"save_progress", [](batch_store& store) { store.save_progress(first, some_progress()); }},
      {"add_call_spend",
       [](batch_store& store) { store.add_call_spend("alice", *usd::parse("0.25")); }},
      {"add_call_spend, again",
       [](batch_store& store) { store.add_call_spend("alice", *usd::parse("0.5")); }},
      {"release",
       [](batch_store& store) {
         store.release({"batch_2", 1});
       }},
      {"claim_batch, again", [](batch_store& store) { store.claim_batch("two", {}, 130, 60); }},
      {"refuse_lines",
       [](batch_store& store) {
         store.refuse_lines(second, {{"empty_batch", "No lines.", {}, {}}}, 130);
       }},
      {"request_cancel", [](batch_store& store) { store.request_cancel("alice", "batch_1", 130); }},
      {"begin_finalizing",
       [](batch_store& store) {
         store.begin_finalizing(first, {batch_status::cancelled, "file-3", "file-4"}, 140);
       }},
      {"finish",
       [](batch_store& store) {
         store.finish(
             first,
             {some_progress(4), result_file("alice", "file-3"), result_file("alice", "file-4")},
             150);
       }},
      {"remove_file", [](batch_store& store) { store.remove_file("alice", "file-3"); }},
      {"remove_expired_files", [](batch_store& store) { store.remove_expired_files(200, 9); }},
      {"create_batch, a third",
       [](batch_store& store) { store.create_batch(new_batch("alice", "batch_3", "file-1")); }},
      {"claim_batch, a third", [](batch_store& store) { store.claim_batch("one", {}, 300, 60); }},
      {"release_claims", [](batch_store& store) { store.release_claims("one"); }},
      {"claim_ending",
       [](batch_store& store) { store.claim_ending("one", {}, 1'000'000'000'000, 60); }},
  };
  return all;
}

// The content of a store before the first step and after each step.
const std::vector<std::string>& states() {
  static const std::vector<std::string> all = [] {
    memory_store model;
    std::vector<std::string> made{dump(model)};
    for (const step& each : steps()) {
      each.call(model);
      made.push_back(dump(model));
    }
    return made;
  }();
  return all;
}

// A store on a simulated disk. A test breaks one of its steps.
struct scene {
  temp_dir dir;
  simulated_disk disk;
  std::string path = dir / "store.db";
  std::unique_ptr<batch_store> store;

  void open() { store = open_sqlite_store(path); }
  void play(std::size_t count) {
    open();
    for (std::size_t n = 0; n < count; ++n) steps()[n].call(*store);
  }
  std::string reopened() {
    store.reset();
    open();
    return dump(*store);
  }
};

// Calls `attempt` with 1, 2, 3 … as long as it returns true, which means that the fault was
// reached. Returns the number of these calls.
int for_each_operation(const std::function<bool(std::uint64_t n)>& attempt) {
  int reached = 0;
  for (std::uint64_t n = 1; attempt(n) && !testing::Test::HasFailure(); ++n) ++reached;
  return reached;
}

TEST(store_faults, each_step_changes_something) {
  for (std::size_t n = 0; n < steps().size(); ++n) {
    const bool only_leases = steps()[n].name == std::string_view("renew_claims");
    EXPECT_EQ(states()[n] == states()[n + 1], only_leases) << steps()[n].name;
  }
}

TEST(store_faults, a_call_on_a_full_disk_says_so_and_changes_nothing) {
  for (std::size_t at = 0; at < steps().size(); ++at) {
    for (const fault what : {fault::full, fault::full_once, fault::full_at_sync}) {
      const int reached = for_each_operation([&](std::uint64_t n) {
        SCOPED_TRACE(
            fmt::format("{}, fault {}, operation {}", steps()[at].name, static_cast<int>(what), n));
        scene now;
        now.play(at);
        now.disk.fail_at(n, what);
        bool threw = false;
        try {
          steps()[at].call(*now.store);
        } catch (const store_error& error) {
          threw = true;
          EXPECT_TRUE(error.full()) << error.what();
          EXPECT_EQ(dump(*now.store), states()[at]);
        }
        EXPECT_EQ(threw, now.disk.has_failed());
        if (!threw) return false;
        now.disk.repair();
        // The store continues as if the failed call had never been made.
        steps()[at].call(*now.store);
        EXPECT_EQ(dump(*now.store), states()[at + 1]);
        EXPECT_EQ(now.reopened(), states()[at + 1]);
        return true;
      });
      EXPECT_GT(reached, 0) << steps()[at].name;
    }
  }
}

TEST(store_faults, a_server_that_ends_on_a_full_disk_finds_what_it_had) {
  for (std::size_t at = 0; at < steps().size(); ++at) {
    for_each_operation([&](std::uint64_t n) {
      SCOPED_TRACE(fmt::format("{}, write {}", steps()[at].name, n));
      scene now;
      now.play(at);
      now.disk.fail_at(n, fault::full);
      try {
        steps()[at].call(*now.store);
        return false;
      } catch (const store_error& error) {
        EXPECT_TRUE(error.full()) << error.what();
      }
      // The store closes while the disk has no room to copy the log into the database.
      now.store.reset();
      now.disk.repair();
      EXPECT_EQ(now.reopened(), states()[at]);
      return true;
    });
  }
}

// Ends the process or the machine in the middle of operation n of `call`. Returns false if the call
// has fewer operations.
template <typename Call>
bool cut_short(simulated_disk& disk, std::uint64_t n, Call call) {
  disk.fail_at(n, fault::kill);
  bool threw = false;
  try {
    call();
  } catch (const store_error&) {
    threw = true;
  }
  EXPECT_EQ(threw, disk.has_failed());
  return threw;
}

TEST(store_faults, a_kill_leaves_a_call_done_or_not_done) {
  for (std::size_t at = 0; at < steps().size(); ++at) {
    const int reached = for_each_operation([&](std::uint64_t n) {
      SCOPED_TRACE(fmt::format("{}, operation {}", steps()[at].name, n));
      scene now;
      now.play(at);
      const bool cut = cut_short(now.disk, n, [&] { steps()[at].call(*now.store); });
      now.store.reset();
      now.disk.repair();
      const std::string found = now.reopened();
      const bool unchanged = cut && found == states()[at];
      EXPECT_EQ(found, unchanged ? states()[at] : states()[at + 1]);
      return cut;
    });
    EXPECT_GT(reached, 0) << steps()[at].name;
  }
}

TEST(store_faults, a_power_failure_leaves_a_call_done_or_not_done) {
  std::mt19937_64 random(7);
  constexpr int tries = 2;
  for (std::size_t at = 0; at < steps().size(); ++at) {
    for (int once = 0; once < tries; ++once) {
      for_each_operation([&](std::uint64_t n) {
        SCOPED_TRACE(fmt::format("{}, operation {}, try {}", steps()[at].name, n, once));
        scene now;
        now.play(at);
        const bool cut = cut_short(now.disk, n, [&] { steps()[at].call(*now.store); });
        now.store.reset();
        now.disk.lose_power(random);
        const std::string found = now.reopened();
        const bool unchanged = cut && found == states()[at];
        EXPECT_EQ(found, unchanged ? states()[at] : states()[at + 1]);
        return cut;
      });
    }
  }
}

TEST(store_faults, a_kill_or_a_power_failure_at_the_end_loses_nothing) {
  std::mt19937_64 random(8);
  for (const bool power : {false, true}) {
    const int reached = for_each_operation([&](std::uint64_t n) {
      SCOPED_TRACE(fmt::format("operation {}", n));
      scene now;
      now.play(steps().size());
      now.disk.fail_at(n, fault::kill);
      now.store.reset();  // copies the log into the database, and removes the log
      const bool cut = now.disk.has_failed();
      power ? now.disk.lose_power(random) : now.disk.repair();
      EXPECT_EQ(now.reopened(), states().back());
      return cut;
    });
    EXPECT_GT(reached, 3);
  }
}

// Makes a database of version 1 with one file in it.
void make_version_1(const std::string& path) {
  sqlite_database database(path);
  database.run("PRAGMA journal_mode = WAL");
  database.run(std::string(sqlite_migrations().front()));
  database.run(
      "PRAGMA application_id = 1936483173; PRAGMA user_version = 1;"
      "INSERT INTO files VALUES (1, 'file-1', 'alice', 'in.jsonl', 'batch', 7, 100, NULL)");
}

// `begin` prepares the folder before the store is opened for the first time.
void break_the_first_start(const std::function<void(const std::string& path)>& begin,
                           const std::string& state) {
  std::mt19937_64 random(9);
  for (const fault what : {fault::full, fault::full_once, fault::full_at_sync, fault::kill}) {
    const int reached = for_each_operation([&](std::uint64_t n) {
      SCOPED_TRACE(fmt::format("fault {}, operation {}", static_cast<int>(what), n));
      scene now;
      begin(now.path);
      now.disk.fail_at(n, what);
      bool threw = false;
      try {
        now.open();
      } catch (const store_error& error) {
        threw = true;
        EXPECT_EQ(error.full(), what != fault::kill) << error.what();
      }
      const bool cut = now.disk.has_failed();
      EXPECT_TRUE(cut || !threw);
      now.store.reset();
      what == fault::kill&& n % 2 == 0 ? now.disk.lose_power(random) : now.disk.repair();
      EXPECT_EQ(now.reopened(), state);
      return cut;
    });
    EXPECT_GT(reached, 1);
  }
}

TEST(store_faults, a_first_start_that_fails_can_be_repeated) {
  break_the_first_start([](const std::string&) {}, states().front());
}

TEST(store_faults, a_migration_that_fails_can_be_repeated) {
  break_the_first_start(make_version_1, states()[1]);
}

}  // namespace
}  // namespace sluice::store
