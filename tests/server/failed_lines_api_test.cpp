// The route of failed lines, with several servers over one store.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "server/memory_files.hpp"
#include "server/routes_rig.hpp"

namespace sluice::server {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* failed_batch_id = "batch_BBBBBBBBBBBBBBBBBBBBBBBB";
constexpr const char* input_id = "file-IIIIIIIIIIIIIIIIIIIIIIII";
constexpr const char* errors_id = "file-EEEEEEEEEEEEEEEEEEEEEEEE";

// The routes are those of a server that does not run the batch.
struct shared_failed_lines : routes_rig {
  shared_failed_lines() {
    used_folder = &copies;
    shared.is_needed = [this](std::string_view id) { return records.has_file(id); };
  }

  static std::string failure(const std::string& id) {
    return R"({"custom_id":")" + id +
           R"(","response":null,"error":{"code":"timeout","message":"no answer"}})" + "\n";
  }
  // Stores a file as another server does.
  void add_file(const std::string& id, const std::string& content) {
    const auto draft = first.new_draft();
    draft->append(content);
    draft->publish(id);
    store::file_record record;
    record.id = id;
    record.purpose = "batch";
    record.bytes = content.size();
    records.add_file(record);
  }
  void add_batch(store::batch_status status, bool has_errors) {
    add_file(input_id, lines(3));
    store::batch_record batch;
    batch.id = failed_batch_id;
    batch.input_file_id = input_id;
    batch.status = status;
    batch.created_at = unix_now();
    batch.expires_at = batch.created_at + 86400;
    if (has_errors) batch.error_file_id = errors_id;
    ASSERT_TRUE(records.create_batch(batch));
    if (!store::has_ended(status)) {
      ASSERT_TRUE(records.claim_batch("another server", {}, unix_now(), 3600));
    }
  }
  fake_exchange failed(const std::string& query = {}) {
    return get("/sluice/batches/" + std::string(failed_batch_id) + "/errors", {}, query);
  }
  static std::vector<std::string> ids(const fake_exchange& answer) {
    std::vector<std::string> found;
    const auto page = answer.json();
    for (const auto& one : page["data"]) found.push_back(one["custom_id"]);
    return found;
  }

  test::temp_dir first_place;
  test::temp_dir place_of_copies;
  memory_files shared;
  data_folder first{first_place.path(), files, &shared};
  data_folder copies{place_of_copies.path(), files, &shared};
};

TEST_F(shared_failed_lines, a_server_that_did_not_run_the_batch_has_them_too) {
  add_batch(store::batch_status::completed, true);
  add_file(errors_id, failure("a") + failure("b"));
  const auto answer = failed();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(ids(answer), ElementsAre("a", "b"));
}

TEST_F(shared_failed_lines, lost_bytes_are_an_error_and_not_an_empty_list) {
  add_batch(store::batch_status::completed, true);
  add_file(errors_id, failure("a"));
  shared.files.clear();
  EXPECT_EQ(failed().status, 500);
  ASSERT_FALSE(notices.warnings.empty());
  EXPECT_THAT(notices.warnings.back(), testing::HasSubstr(errors_id));
}

TEST_F(shared_failed_lines, an_error_file_that_was_deleted_has_no_lines) {
  add_batch(store::batch_status::completed, true);
  const auto answer = failed();
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(ids(answer), IsEmpty());
}

TEST_F(shared_failed_lines, while_another_server_runs_the_batch_they_come_from_the_store) {
  add_batch(store::batch_status::in_progress, false);
  EXPECT_THAT(ids(failed()), IsEmpty()) << "nothing has failed";
  // A copy of an earlier claim of this server.
  std::filesystem::create_directories(copies.batch(failed_batch_id));
  place_of_copies.write("batches/" + std::string(failed_batch_id) + "/output.errors.jsonl",
                        failure("old"));
  shared.entries[1] = {"output.jsonl", "other bytes\n"};
  shared.entries[2] = {"output.errors.jsonl", failure("a") + failure("b") + failure("c")};
  const auto one = failed("limit=2");
  EXPECT_THAT(ids(one), ElementsAre("a", "b"));
  EXPECT_EQ(one.json()["has_more"], true);
  const auto next = one.json()["next"].get<std::string>();
  const auto two = failed("limit=2&after=" + next);
  EXPECT_THAT(ids(two), ElementsAre("c"));
  EXPECT_EQ(two.json()["has_more"], false);
  shared.entries[2].second += failure("d") + failure("not yet complete").substr(0, 20);
  EXPECT_THAT(ids(failed("after=" + two.json()["next"].get<std::string>())), ElementsAre("d"));
  EXPECT_EQ(failed("after=5").status, 400);
  EXPECT_EQ(failed("after=100000").status, 400);
}

TEST_F(shared_failed_lines, only_what_a_page_needs_is_read_from_the_store) {
  add_batch(store::batch_status::in_progress, false);
  std::string all;
  for (int i = 0; i < 1000; ++i) all += failure("r" + std::to_string(i));
  shared.entries[1] = {"output.errors.jsonl", all};
  EXPECT_EQ(ids(failed("limit=10")).size(), 10U);
  EXPECT_LT(shared.pieces_read * shared.piece_size, all.size() / 50);
}

TEST_F(shared_failed_lines, a_retry_without_the_bytes_of_its_failures_is_an_error) {
  add_batch(store::batch_status::completed, true);
  add_file(errors_id, failure("r1"));
  shared.release(errors_id);
  ASSERT_EQ(shared.files.erase(errors_id), 1U);
  EXPECT_EQ(post("/v1/batches/" + std::string(failed_batch_id) + "/retry", {}).status, 500);
  EXPECT_EQ(get("/v1/batches").json()["data"].size(), 1U);
}

TEST_F(shared_failed_lines, a_batch_from_a_file_without_bytes_is_an_error) {
  add_file(input_id, lines(3));
  shared.files.clear();
  EXPECT_EQ(create_batch(input_id).status, 500) << "the file exists, so 404 would be wrong";
  EXPECT_EQ(create_batch("file-AAAAAAAAAAAAAAAAAAAAAAAA").status, 404);
}

}  // namespace
}  // namespace sluice::server
