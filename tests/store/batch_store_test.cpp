#include "store/batch_store.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <stdexcept>

#include "store/postgres_stores.hpp"
#include "store/records.hpp"
#include "store/sqlite_store.hpp"
#include "support/memory_store.hpp"
#include "support/temp_dir.hpp"

// These tests must pass with every kind of batch store.

namespace sluice::store {
namespace {

using test::temp_dir;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;

struct store_kind {
  const char* name;
  std::function<std::unique_ptr<batch_store>(const temp_dir&)> open;
};
void PrintTo(const store_kind& kind, std::ostream* out) {
  *out << kind.name;
}

template <typename Record>
std::vector<std::string> ids(const std::vector<Record>& records) {
  std::vector<std::string> all;
  for (const Record& record : records) all.push_back(record.id);
  return all;
}

class batch_stores : public testing::TestWithParam<store_kind> {
 protected:
  // Adds a waiting batch of `owner`. The id of its input file is "in-" and the id of the batch.
  void add_batch(const std::string& id, std::int64_t created_at = 100, int priority = 0,
                 const std::string& owner = "alice") {
    store->add_file(input_file(owner, "in-" + id));
    batch_record batch = new_batch(owner, id, "in-" + id, created_at);
    batch.priority = priority;
    ASSERT_TRUE(store->create_batch(batch));
  }
  batch_record get(const std::string& id, const std::string& owner = "alice") {
    return store->find_batch(owner, id).value();
  }
  claim claim_one(std::string_view server = "server", std::int64_t now = 100) {
    return store->claim_batch(server, {}, now, 60).value();
  }
  std::string claim_id(const std::vector<std::string>& skipped = {}, std::int64_t now = 100) {
    const auto claimed = store->claim_batch("server", {skipped, {}}, now, 60);
    return claimed ? claimed->batch : "";
  }
  // Adds a batch with this status, and claims it for a server.
  claim work_on(const std::string& id, batch_status status) {
    add_batch(id);
    const claim held = claim_one();
    if (status == batch_status::validating) return held;
    EXPECT_TRUE(store->accept_lines(held, {5, "gpt-x"}, 110));
    if (status == batch_status::cancelling) store->request_cancel("alice", id, 120);
    if (status == batch_status::finalizing) {
      EXPECT_TRUE(store->begin_finalizing(held, {batch_status::completed, "o", "e"}, 120));
    }
    return held;
  }

  void expect_lost(const claim& lost) {
    const batch_record before = get(lost.batch);
    EXPECT_FALSE(store->accept_lines(lost, {9, {}}, 140));
    EXPECT_FALSE(store->refuse_lines(lost, {{"code", "text", {}, {}}}, 140));
    EXPECT_FALSE(store->save_progress(lost, some_progress()));
    EXPECT_FALSE(store->begin_finalizing(lost, {batch_status::expired, "p", "f"}, 140));
    EXPECT_FALSE(store->finish(lost, {some_progress(), result_file("alice", "o"), {}}, 140));
    EXPECT_EQ(get(lost.batch), before);
    EXPECT_FALSE(store->has_file("o"));
  }

  temp_dir dir;
  std::unique_ptr<batch_store> store = GetParam().open(dir);
};

TEST_P(batch_stores, a_file_keeps_all_its_fields) {
  file_record file = input_file("alice", "file-1");
  file.filename = "\xc3\xa9 \"x\".jsonl";
  file.bytes = 9'000'000'000'000'000'000U;
  file.expires_at = 12;
  store->add_file(file);
  EXPECT_EQ(store->find_file("alice", "file-1"), file);
}

TEST_P(batch_stores, a_batch_keeps_all_its_fields) {
  store->add_file(input_file("alice", "file-1"));
  const batch_record batch = whole_batch("alice", "batch_1", "file-1");
  EXPECT_TRUE(store->create_batch(batch));
  EXPECT_EQ(store->find_batch("alice", "batch_1"), batch);
}

TEST_P(batch_stores, metadata_without_entries_is_not_missing_metadata) {
  store->add_file(input_file("alice", "file-1"));
  batch_record batch = new_batch("alice", "batch_1", "file-1");
  EXPECT_TRUE(store->create_batch(batch));
  batch.id = "batch_2";
  batch.has_metadata = true;
  EXPECT_TRUE(store->create_batch(batch));
  EXPECT_FALSE(get("batch_1").has_metadata);
  EXPECT_TRUE(get("batch_2").has_metadata);
}

TEST_P(batch_stores, another_owner_finds_nothing) {
  add_batch("batch_1");
  EXPECT_EQ(store->find_file("bob", "in-batch_1"), std::nullopt);
  EXPECT_EQ(store->find_file("", "in-batch_1"), std::nullopt);
  EXPECT_EQ(store->find_batch("bob", "batch_1"), std::nullopt);
  EXPECT_THAT(store->list_files("bob", {}).records, IsEmpty());
  EXPECT_THAT(store->list_batches("bob", {}).records, IsEmpty());
  EXPECT_FALSE(store->remove_file("bob", "in-batch_1"));
  EXPECT_EQ(store->request_cancel("bob", "batch_1", 200), std::nullopt);
  EXPECT_FALSE(store->create_batch(new_batch("bob", "batch_2", "in-batch_1")));
  EXPECT_EQ(get("batch_1").status, batch_status::validating);
  EXPECT_TRUE(store->has_file("in-batch_1"));
}

TEST_P(batch_stores, an_id_of_another_owner_is_no_place_in_a_list) {
  add_batch("batch_1", 100);
  add_batch("batch_2", 200, 0, "bob");
  EXPECT_THAT(store->list_batches("alice", {20, "batch_2"}).records, IsEmpty());
  EXPECT_THAT(store->list_files("alice", {{20, "in-batch_2"}, "", false}).records, IsEmpty());
}

TEST_P(batch_stores, an_id_that_exists_is_refused) {
  add_batch("batch_1");
  EXPECT_THROW(store->add_file(input_file("bob", "in-batch_1")), store_error);
  EXPECT_THROW(store->create_batch(new_batch("alice", "batch_1", "in-batch_1")), store_error);
  EXPECT_EQ(get("batch_1").created_at, 100);
  store->add_file(input_file("bob", "file-2"));
}

TEST_P(batch_stores, a_file_that_was_removed_is_gone) {
  store->add_file(input_file("alice", "file-1"));
  EXPECT_TRUE(store->remove_file("alice", "file-1"));
  EXPECT_FALSE(store->remove_file("alice", "file-1"));
  EXPECT_EQ(store->find_file("alice", "file-1"), std::nullopt);
  EXPECT_FALSE(store->has_file("file-1"));
  EXPECT_FALSE(store->create_batch(new_batch("alice", "batch_1", "file-1")));
  EXPECT_EQ(store->find_batch("alice", "batch_1"), std::nullopt);
}

TEST_P(batch_stores, files_are_removed_when_they_expire_the_earliest_first) {
  for (const auto& [id, expires_at] :
       std::vector<std::pair<std::string, std::int64_t>>{{"c", 30}, {"a", 10}, {"b", 20}}) {
    file_record file = input_file("owner of " + id, id);
    file.expires_at = expires_at;
    store->add_file(file);
  }
  store->add_file(input_file("alice", "stays"));
  EXPECT_THAT(ids(store->remove_expired_files(9, 10)), IsEmpty());
  EXPECT_THAT(ids(store->remove_expired_files(20, 1)), ElementsAre("a"));
  EXPECT_THAT(ids(store->remove_expired_files(20, 10)), ElementsAre("b"));
  EXPECT_THAT(ids(store->remove_expired_files(99, 10)), ElementsAre("c"));
  EXPECT_FALSE(store->has_file("c"));
  EXPECT_TRUE(store->has_file("stays"));
}

TEST_P(batch_stores, lists_come_in_pages_by_time_and_then_by_order_of_insertion) {
  for (const auto& [id, created_at] : std::vector<std::pair<std::string, std::int64_t>>{
           {"z", 5}, {"y", 5}, {"x", 4}, {"w", 5}, {"v", 6}}) {
    store->add_file(input_file("alice", id, created_at));
  }
  EXPECT_THAT(ids(store->list_files("alice", {{}, "", true}).records),
              ElementsAre("x", "z", "y", "w", "v"));
  EXPECT_THAT(ids(store->list_files("alice", {{}, "", false}).records),
              ElementsAre("v", "w", "y", "z", "x"));
  const auto first = store->list_files("alice", {{2, ""}, "", false});
  EXPECT_THAT(ids(first.records), ElementsAre("v", "w"));
  EXPECT_TRUE(first.has_more);
  const auto last = store->list_files("alice", {{3, "w"}, "", false});
  EXPECT_THAT(ids(last.records), ElementsAre("y", "z", "x"));
  EXPECT_FALSE(last.has_more);
  EXPECT_THAT(ids(store->list_files("alice", {{2, "z"}, "", true}).records), ElementsAre("y", "w"));
}

TEST_P(batch_stores, what_is_added_or_removed_between_two_pages_hides_nothing) {
  for (const char* id : {"batch_1", "batch_2", "batch_3", "batch_4"}) add_batch(id, 5);
  EXPECT_THAT(ids(store->list_batches("alice", {2, ""}).records),
              ElementsAre("batch_4", "batch_3"));
  add_batch("batch_5", 5);
  add_batch("batch_0", 4);
  EXPECT_THAT(ids(store->list_batches("alice", {9, "batch_3"}).records),
              ElementsAre("batch_2", "batch_1", "batch_0"));
}

TEST_P(batch_stores, a_list_from_an_unknown_id_is_empty) {
  add_batch("batch_1");
  const auto batches = store->list_batches("alice", {20, "batch_9"});
  EXPECT_THAT(batches.records, IsEmpty());
  EXPECT_FALSE(batches.has_more);
  store->add_file(input_file("alice", "removed", 999));
  store->remove_file("alice", "removed");
  EXPECT_THAT(store->list_files("alice", {{20, "removed"}, "", false}).records, IsEmpty());
}

TEST_P(batch_stores, files_are_listed_by_purpose) {
  store->add_file(input_file("alice", "a"));
  store->add_file(result_file("alice", "b"));
  store->add_file(input_file("alice", "c"));
  EXPECT_THAT(ids(store->list_files("alice", {{1, ""}, "batch", true}).records), ElementsAre("a"));
  EXPECT_TRUE(store->list_files("alice", {{1, ""}, "batch", true}).has_more);
  EXPECT_THAT(ids(store->list_files("alice", {{9, "a"}, "batch", true}).records), ElementsAre("c"));
  EXPECT_THAT(ids(store->list_files("alice", {{9, "b"}, "batch", true}).records), ElementsAre("c"));
  EXPECT_THAT(store->list_files("alice", {{9, ""}, "vision", true}).records, IsEmpty());
}

TEST_P(batch_stores, the_highest_priority_is_claimed_first_then_the_oldest) {
  add_batch("late", 7);
  add_batch("early", 5);
  add_batch("early_too", 5);
  add_batch("urgent", 9, 1);
  add_batch("idle", 1, -1);
  EXPECT_EQ(claim_id({"urgent", "late"}), "early");
  EXPECT_EQ(claim_id(), "urgent");
  EXPECT_EQ(claim_id(), "early_too");
  EXPECT_EQ(claim_id(), "late");
  EXPECT_EQ(claim_id({"idle"}), "");
  EXPECT_EQ(claim_id(), "idle");
  EXPECT_EQ(claim_id(), "");
}

TEST_P(batch_stores, all_batches_of_an_owner_can_be_left_out) {
  add_batch("batch_1", 1);
  add_batch("batch_2", 2);
  add_batch("batch_3", 3, 0, "bob");
  add_batch("batch_4", 4, 0, "carol");
  const auto next = [this](const skipped_batches& skipped) {
    const auto claimed = store->claim_batch("server", skipped, 100, 60);
    return claimed ? claimed->batch : "";
  };
  EXPECT_EQ(next({{}, {"alice", "bob", "dave"}}), "batch_4");
  EXPECT_EQ(next({{}, {"alice", "bob"}}), "");
  EXPECT_EQ(next({{"batch_1"}, {"bob"}}), "batch_2");
  EXPECT_EQ(next({}), "batch_1");
  const auto ending = store->claim_ending("server", {{}, {"bob"}}, 1'000'000, 60);
  EXPECT_NE(ending.value().batch, "batch_3");
}

TEST_P(batch_stores, a_claim_is_free_when_its_lease_has_run_out) {
  add_batch("batch_1");
  const auto first = store->claim_batch("one", {}, 100, 60);
  EXPECT_EQ(store->claim_batch("two", {}, 159, 60), std::nullopt);
  const auto second = store->claim_batch("two", {}, 160, 60);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->batch, "batch_1");
  EXPECT_GT(second->epoch, first->epoch);
  EXPECT_EQ(store->claimed(*first), std::nullopt);
  EXPECT_EQ(store->claimed(*second), get("batch_1"));
}

TEST_P(batch_stores, a_batch_that_only_has_to_end_can_be_claimed_alone) {
  const auto ending = [this](std::int64_t now, const std::vector<std::string>& skipped = {}) {
    const auto claimed = store->claim_ending("server", {skipped, {}}, now, 60);
    return claimed ? claimed->batch : "";
  };
  for (const char* id : {"running", "decided", "cancelled", "waiting"}) add_batch(id);
  add_batch("urgent", 200, 5);
  const std::int64_t window_ends = get("waiting").expires_at;
  EXPECT_EQ(ending(window_ends - 1), "");
  const claim running = claim_one();
  ASSERT_EQ(running.batch, "urgent");
  ASSERT_EQ(claim_id(), "running");
  const claim decided = claim_one();
  ASSERT_TRUE(store->accept_lines(decided, {1, {}}, 100));
  ASSERT_TRUE(store->begin_finalizing(decided, {batch_status::completed, "file-1", "file-2"}, 100));
  EXPECT_EQ(ending(110), "") << "a server works on it";
  store->release(decided);
  ASSERT_EQ(store->request_cancel("alice", "cancelled", 100)->status, batch_status::cancelling);
  ASSERT_EQ(store->request_cancel("alice", "urgent", 100)->status, batch_status::cancelling);
  EXPECT_EQ(ending(110, {"cancelled"}), "decided");
  EXPECT_EQ(ending(110), "cancelled");
  EXPECT_EQ(ending(110), "") << "a server works on the others, or they have time left";
  EXPECT_EQ(ending(160), "urgent") << "the lease of its server has ended";
  EXPECT_EQ(store->claimed(running), std::nullopt);
  EXPECT_EQ(ending(window_ends, {"urgent", "decided", "cancelled", "running"}), "waiting");
}

TEST_P(batch_stores, a_claim_that_nobody_took_over_holds_after_its_lease) {
  add_batch("batch_1");
  const claim held = claim_one("one", 100);
  store->renew_claims(std::vector{held}, 500, 60);
  EXPECT_EQ(store->claim_batch("two", {}, 559, 60), std::nullopt);
  EXPECT_TRUE(store->accept_lines(held, {1, {}}, 600));
}

TEST_P(batch_stores, only_the_claims_that_are_named_are_renewed) {
  add_batch("batch_1", 1);
  add_batch("batch_2", 2);
  const claim first = claim_one();
  const claim second = claim_one();
  store->renew_claims({}, 150, 60);
  store->renew_claims(std::vector{first}, 150, 60);
  EXPECT_EQ(claim_id({}, 160), "batch_2") << "its server does not work on it";
  EXPECT_EQ(claim_id({}, 209), "");
  EXPECT_FALSE(store->claimed(second));
  EXPECT_EQ(claim_id({}, 210), "batch_1");
}

TEST_P(batch_stores, a_claim_that_is_lost_is_not_renewed) {
  add_batch("batch_1", 1);
  const claim lost = claim_one("one", 100);
  const claim held = claim_one("two", 160);
  store->renew_claims(std::vector{lost}, 200, 60);
  EXPECT_EQ(claim_id({}, 219), "");
  EXPECT_EQ(claim_id({}, 220), "batch_1");
  store->release({"batch_1", held.epoch + 1});
  store->renew_claims(std::vector{lost, held, claim{"batch_1", held.epoch + 1}}, 230, 60);
  EXPECT_EQ(claim_id({}, 230), "batch_1") << "no server works on it";
}

TEST_P(batch_stores, claims_are_released_by_server) {
  add_batch("batch_1", 1);
  add_batch("batch_2", 2);
  const claim first = claim_one("one");
  const claim second = claim_one("two");
  store->renew_claims(std::vector{first}, 150, 60);
  const auto taken = store->claim_batch("three", {}, 170, 60);
  EXPECT_EQ(taken.value().batch, "batch_2");
  store->release_claims("two");  // server two has lost its claim before
  EXPECT_TRUE(store->claimed(*taken));
  store->release_claims("one");
  EXPECT_FALSE(store->claimed(first));
  EXPECT_FALSE(store->claimed(second));
  EXPECT_EQ(claim_id({}, 171), "batch_1");
}

TEST_P(batch_stores, a_claim_that_was_released_is_free_and_lost) {
  add_batch("batch_1");
  const claim first = claim_one();
  store->release(first);
  EXPECT_EQ(store->claimed(first), std::nullopt);
  const claim second = claim_one();
  store->release(first);  // this claim is no longer valid
  EXPECT_TRUE(store->claimed(second));
}

TEST_P(batch_stores, a_claim_that_was_taken_over_changes_nothing) {
  const claim lost = work_on("batch_1", batch_status::finalizing);
  ASSERT_EQ(claim_id({}, 9'000), "batch_1");
  expect_lost(lost);
}

TEST_P(batch_stores, a_claim_that_was_released_changes_nothing) {
  const claim lost = work_on("batch_1", batch_status::finalizing);
  store->release(lost);
  expect_lost(lost);
}

TEST_P(batch_stores, a_claim_of_another_batch_is_no_claim) {
  add_batch("batch_1");
  claim held = claim_one();
  held.batch = "batch_9";
  EXPECT_EQ(store->claimed(held), std::nullopt);
  EXPECT_FALSE(store->save_progress(held, {}));
}

TEST_P(batch_stores, good_lines_put_a_batch_in_progress) {
  const claim held = work_on("batch_1", batch_status::validating);
  EXPECT_TRUE(store->accept_lines(held, {5, "gpt-x"}, 110));
  const batch_record batch = get("batch_1");
  EXPECT_EQ(batch.status, batch_status::in_progress);
  EXPECT_EQ(batch.in_progress_at, 110);
  EXPECT_EQ(batch.progress.counts.total, 5);
  EXPECT_THAT(batch.model, Optional(std::string("gpt-x")));
  // The server that continues the batch makes the same call again.
  EXPECT_TRUE(store->accept_lines(held, {5, "gpt-x"}, 120));
  EXPECT_EQ(get("batch_1"), batch);
}

TEST_P(batch_stores, good_lines_leave_a_batch_cancelling) {
  const claim held = work_on("batch_1", batch_status::validating);
  store->request_cancel("alice", "batch_1", 105);
  EXPECT_TRUE(store->accept_lines(held, {5, {}}, 110));
  EXPECT_EQ(get("batch_1").status, batch_status::cancelling);
  EXPECT_EQ(get("batch_1").in_progress_at, std::nullopt);
  EXPECT_EQ(get("batch_1").progress.counts.total, 5);
}

TEST_P(batch_stores, bad_lines_end_a_batch) {
  const claim held = work_on("batch_1", batch_status::validating);
  const std::vector<batch_error> errors{{"a", "b", "c", 4}};
  EXPECT_TRUE(store->refuse_lines(held, errors, 110));
  const batch_record batch = get("batch_1");
  EXPECT_EQ(batch.status, batch_status::failed);
  EXPECT_EQ(batch.failed_at, 110);
  EXPECT_EQ(batch.errors, errors);
  EXPECT_EQ(store->claimed(held), std::nullopt);
  EXPECT_EQ(claim_id({}, 9'000), "");
}

TEST_P(batch_stores, progress_is_stored) {
  const claim held = work_on("batch_1", batch_status::in_progress);
  batch_record batch = get("batch_1");
  EXPECT_TRUE(store->save_progress(held, some_progress(3)));
  batch.progress = some_progress(3);
  EXPECT_EQ(get("batch_1"), batch);
}

TEST_P(batch_stores, only_a_batch_that_starts_or_runs_can_be_cancelled) {
  using enum batch_status;
  for (const batch_status status : {validating, in_progress}) {
    const std::string id(name_of(status));
    work_on(id, status);
    EXPECT_EQ(store->request_cancel("alice", id, 130)->status, cancelling);
    EXPECT_EQ(get(id).cancelling_at, 130);
    EXPECT_EQ(store->request_cancel("alice", id, 140), get(id));
    EXPECT_EQ(get(id).cancelling_at, 130);
  }
  work_on("finalizing", finalizing);
  EXPECT_EQ(store->request_cancel("alice", "finalizing", 130)->status, finalizing);
  const claim held = work_on("failed", validating);
  ASSERT_TRUE(store->refuse_lines(held, {}, 120));
  EXPECT_EQ(store->request_cancel("alice", "failed", 130)->status, failed);
  EXPECT_EQ(get("failed").cancelling_at, std::nullopt);
}

TEST_P(batch_stores, the_end_of_a_batch_is_decided_once) {
  const claim held = work_on("batch_1", batch_status::in_progress);
  const finalizing how{batch_status::expired, "file-o", "file-e"};
  EXPECT_TRUE(store->begin_finalizing(held, how, 200));
  EXPECT_EQ(get("batch_1").status, batch_status::finalizing);
  EXPECT_EQ(get("batch_1").finalizing_at, 200);
  EXPECT_EQ(get("batch_1").output_file_id, std::nullopt);
  EXPECT_TRUE(store->begin_finalizing(held, {batch_status::completed, "x", "y"}, 300));
  EXPECT_EQ(get("batch_1").end, how);
  EXPECT_EQ(get("batch_1").finalizing_at, 200);
}

TEST_P(batch_stores, a_batch_that_is_being_cancelled_is_not_shown_as_finalizing) {
  const claim held = work_on("batch_1", batch_status::cancelling);
  EXPECT_TRUE(store->begin_finalizing(held, {batch_status::cancelled, "o", "e"}, 200));
  EXPECT_EQ(get("batch_1").status, batch_status::cancelling);
  EXPECT_EQ(get("batch_1").finalizing_at, std::nullopt);
  EXPECT_TRUE(get("batch_1").end);
}

TEST_P(batch_stores, a_batch_ends_with_its_result_files) {
  using enum batch_status;
  for (const batch_status ending : {completed, expired, cancelled}) {
    const std::string id(name_of(ending));
    const claim held = work_on(id, in_progress);
    ASSERT_TRUE(store->begin_finalizing(held, {ending, id + "-o", id + "-e"}, 200));
    finished_batch results;
    results.progress = some_progress(7);
    if (ending != cancelled) results.output = result_file("alice", id + "-o");
    if (ending != completed) results.errors = result_file("alice", id + "-e");
    EXPECT_TRUE(store->finish(held, results, 300));
    const batch_record batch = get(id);
    EXPECT_EQ(batch.status, ending);
    EXPECT_EQ(batch.completed_at.has_value(), ending == completed);
    EXPECT_EQ(batch.expired_at.has_value(), ending == expired);
    EXPECT_EQ(batch.cancelled_at.has_value(), ending == cancelled);
    EXPECT_EQ(batch.progress, results.progress);
    EXPECT_EQ(batch.end, std::nullopt);
    EXPECT_EQ(batch.output_file_id.has_value(), results.output.has_value());
    EXPECT_EQ(store->find_file("alice", id + "-o"), results.output);
    EXPECT_EQ(store->find_file("alice", id + "-e"), results.errors);
    EXPECT_EQ(store->claimed(held), std::nullopt);
    EXPECT_FALSE(store->finish(held, results, 310));
    EXPECT_EQ(claim_id({}, 9'000), "");
  }
}

TEST_P(batch_stores, a_batch_ends_only_as_it_was_decided) {
  const claim held = work_on("batch_1", batch_status::in_progress);
  const batch_record before = get("batch_1");
  EXPECT_THROW(store->finish(held, {{}, result_file("alice", "o"), {}}, 300), std::logic_error);
  EXPECT_EQ(get("batch_1"), before);
  EXPECT_FALSE(store->has_file("o"));
  EXPECT_TRUE(store->claimed(held));
}

TEST_P(batch_stores, an_end_that_cannot_be_stored_is_not_stored_in_part) {
  const claim held = work_on("batch_1", batch_status::finalizing);
  store->add_file(result_file("bob", "e"));
  const batch_record before = get("batch_1");
  EXPECT_THROW(store->finish(held, {{}, result_file("alice", "o"), result_file("alice", "e")}, 300),
               store_error);
  EXPECT_EQ(get("batch_1"), before);
  EXPECT_FALSE(store->has_file("o"));
  EXPECT_TRUE(store->finish(held, {{}, result_file("alice", "o"), {}}, 300));
}

TEST_P(batch_stores, open_batches_are_those_of_all_owners_that_have_not_ended) {
  add_batch("late", 9);
  add_batch("early", 5, 0, "bob");
  add_batch("ended", 1);
  const claim held = claim_one();
  ASSERT_EQ(held.batch, "ended");
  ASSERT_TRUE(store->refuse_lines(held, {}, 120));
  EXPECT_THAT(ids(store->open_batches()), ElementsAre("early", "late"));
}

TEST_P(batch_stores, what_others_cost_is_exact) {
  for (const char* id : {"batch_1", "batch_2", "batch_3"}) {
    add_batch(id);
    batch_progress progress;
    progress.spent = *usd::parse("1000000000000.000000000000000001");
    ASSERT_TRUE(store->save_progress(claim_one(), progress));
  }
  add_batch("other", 100, 0, "bob");
  EXPECT_EQ(store->spent_by_others("alice", "batch_2").to_string(),
            "2000000000000.000000000000000002");
  EXPECT_EQ(store->spent_by_others("alice", "").to_string(), "3000000000000.000000000000000003");
  EXPECT_EQ(store->spent_by_others("bob", "batch_1"), usd());
}

// A sum may be larger than the largest amount that is read from a text.
TEST_P(batch_stores, what_others_cost_has_the_limit_of_every_sum) {
  const usd large = *usd::parse("1300000000000000000.000000000000000001");
  usd sum;
  for (int n = 0; n < 9; ++n) {
    const std::string id = "batch_" + std::to_string(n);
    add_batch(id);
    batch_progress progress;
    progress.spent = large;
    const claim held = claim_one();
    ASSERT_TRUE(store->save_progress(held, progress));
    if (n % 2 == 0) {
      ASSERT_TRUE(store->refuse_lines(held, {}, 110));
    }
    sum += large;
    EXPECT_EQ(store->spent_by_others("alice", ""), sum) << n;
  }
  EXPECT_EQ(sum.to_string(), "10000000000000000000");
}

TEST_P(batch_stores, adds_up_exactly_what_the_calls_of_each_owner_cost) {
  EXPECT_EQ(store->add_call_spend("alice", {}), usd()) << "she has made none";
  const usd reserved = *usd::parse("1000000000000.5");
  EXPECT_EQ(store->add_call_spend("alice", reserved), reserved);
  EXPECT_EQ(store->add_call_spend("bob", *usd::parse("7")).to_string(), "7");
  usd settled = *usd::parse("0.000000000000000001");
  settled -= reserved;
  EXPECT_EQ(store->add_call_spend("alice", settled).to_string(), "0.000000000000000001");
  EXPECT_EQ(store->add_call_spend("alice", {}).to_string(), "0.000000000000000001");
  EXPECT_EQ(store->add_call_spend("bob", {}).to_string(), "7");
  EXPECT_EQ(store->spent_by_others("alice", ""), usd()) << "calls are no batches";
}

TEST_P(batch_stores, an_end_is_announced_once_it_is_there_and_until_it_is_settled) {
  const claim held = work_on("batch_1", batch_status::in_progress);
  EXPECT_TRUE(store->announce(held, 100));
  EXPECT_TRUE(store->announce(held, 900)) << "it is known already";
  EXPECT_EQ(store->next_announcement(5'000, 6'000), std::nullopt) << "the batch goes on";
  ASSERT_TRUE(store->begin_finalizing(held, {batch_status::completed, "o", "e"}, 200));
  ASSERT_TRUE(store->finish(held, {}, 300));
  EXPECT_EQ(store->next_announcement(99, 200), std::nullopt) << "it is not due";
  const auto first = store->next_announcement(100, 360);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->batch, get("batch_1"));
  EXPECT_EQ(first->tries, 1U);
  EXPECT_EQ(store->next_announcement(359, 500), std::nullopt) << "the first try goes on";
  EXPECT_EQ(store->next_announcement(360, 420).value().tries, 2U) << "its server has died";
  store->settle_announcement("batch_1", 1'000);
  EXPECT_EQ(store->next_announcement(999, 2'000), std::nullopt);
  EXPECT_EQ(store->next_announcement(1'000, 2'000).value().tries, 3U);
  store->settle_announcement("batch_1", std::nullopt);
  store->settle_announcement("batch_1", 5);
  EXPECT_EQ(store->next_announcement(9'000, 9'999), std::nullopt);
}

TEST_P(batch_stores, the_announcement_that_waits_longest_is_next) {
  for (const char* id : {"batch_1", "batch_2", "batch_3"}) {
    const claim held = work_on(id, batch_status::validating);
    const int at = *std::string_view(id).rbegin() == '2' ? 100 : 200;
    ASSERT_TRUE(store->announce(held, at));
    ASSERT_TRUE(store->refuse_lines(held, {}, 300));
  }
  for (const char* id : {"batch_2", "batch_1", "batch_3"}) {
    EXPECT_EQ(store->next_announcement(400, 500).value().batch.id, id);
  }
}

TEST_P(batch_stores, a_lost_claim_announces_nothing) {
  claim held = work_on("batch_1", batch_status::validating);
  claim lost = held;
  ++lost.epoch;
  EXPECT_FALSE(store->announce(lost, 100));
  ASSERT_TRUE(store->refuse_lines(held, {}, 300));
  EXPECT_FALSE(store->announce(held, 100));
  EXPECT_EQ(store->next_announcement(400, 500), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    all, batch_stores,
    testing::Values(store_kind{"memory",
                               [](const temp_dir&) -> std::unique_ptr<batch_store> {
                                 return std::make_unique<test::memory_store>();
                               }},
                    store_kind{"postgres",
                               [](const temp_dir&) -> std::unique_ptr<batch_store> {
                                 return empty_postgres_store();
                               }},
                    store_kind{
                        "sqlite",
                        [](const temp_dir& dir) { return open_sqlite_store(dir / "store.db"); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace sluice::store
