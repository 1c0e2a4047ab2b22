// Uploads, new batches and retries that fail in the middle: they leave nothing.
#include <gmock/gmock.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "server/memory_files.hpp"
#include "server/routes_rig.hpp"

namespace sluice::server {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

struct half_made : routes_rig {
  // From now on, these calls of the store throw.
  void fail(std::set<std::string> broken, bool full = true) {
    records.on_call = [broken = std::move(broken), full](std::string_view call) {
      if (broken.contains(std::string(call))) throw store::store_error("broken", full);
    };
  }
  void repair() {
    records.on_call = [](std::string_view) {};
  }
  std::vector<std::string> names_in(const std::string& part) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(place / part)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  // The number of bytes in a folder and below it.
  std::uint64_t bytes_in(const std::string& part) const {
    std::uint64_t sum = 0;
    for (const auto& entry : fs::recursive_directory_iterator(place / part)) {
      if (entry.is_regular_file()) sum += entry.file_size();
    }
    return sum;
  }
  std::set<std::string> listed_files() {
    std::set<std::string> ids;
    const auto list = get("/v1/files").json();
    for (const auto& one : list["data"]) ids.insert(one["id"]);
    return ids;
  }
  std::set<std::string> files_on_disk() const {
    const auto names = names_in("files");
    return {names.begin(), names.end()};
  }
  // Runs a batch with one request that fails.
  std::string batch_with_failure() {
    relay.plan = [](const test::exchange_call& call) {
      return call.body.find("gpt-9") != std::string::npos
                 ? test::refusal_plan(400, "no such parameter")
                 : test::completion_plan();
    };
    const auto id = create(line("a") + line("b", "gpt-9"));
    run_until_ended({id});
    return id;
  }
};

TEST_F(half_made, an_upload_that_the_store_refuses_leaves_no_bytes) {
  for (const bool full : {true, false}) {
    fail({"add_file"}, full);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(upload(lines(5)).status, full ? 507 : 500);
    EXPECT_EQ(bytes_in("files"), 0U) << "before any restart";
    EXPECT_THAT(names_in("uploads"), IsEmpty());
    repair();
    const auto kept = upload(lines(1)).json()["id"].get<std::string>();
    EXPECT_EQ(files_on_disk(), std::set{kept});
    EXPECT_EQ(get("/v1/files/" + kept + "/content").body, lines(1));
    EXPECT_EQ(ask(fake_exchange("DELETE", "/v1/files/" + kept)).status, 200);
  }
}

TEST_F(half_made, a_file_whose_record_is_stored_keeps_its_bytes) {
  fail({"add_file stored"}, false);
  EXPECT_EQ(upload(lines(5)).status, 500);
  repair();
  ASSERT_EQ(listed_files().size(), 1U);
  upload(lines(1));
  for (const auto& id : listed_files()) {
    EXPECT_EQ(get("/v1/files/" + id + "/content").status, 200) << id;
  }
  EXPECT_EQ(files_on_disk(), listed_files());
}

TEST_F(half_made, bytes_stay_while_it_is_unknown_whether_there_is_a_record) {
  fail({"add_file", "has_file"});
  EXPECT_EQ(upload(lines(5)).status, 507);
  fail({"add_file stored", "has_file"});
  EXPECT_EQ(upload(lines(4)).status, 507);
  EXPECT_EQ(bytes_in("files"), lines(5).size() + lines(4).size());
  repair();
  upload(lines(1));
  EXPECT_EQ(listed_files().size(), 2U);
  EXPECT_EQ(files_on_disk(), listed_files());
  EXPECT_EQ(bytes_in("files"), lines(4).size() + lines(1).size());
}

TEST_F(half_made, a_batch_that_the_store_refuses_leaves_no_folder) {
  const auto file = upload(lines(2)).json()["id"].get<std::string>();
  fail({"create_batch"});
  EXPECT_EQ(create_batch(file).status, 507);
  EXPECT_THAT(names_in("batches"), IsEmpty());
  repair();
  estimate = [](const std::string&) -> std::string { throw store::store_error("broken", true); };
  EXPECT_EQ(create_batch(file).status, 507);
  EXPECT_THAT(names_in("batches"), IsEmpty());
  EXPECT_THAT(get("/v1/batches").json()["data"], IsEmpty());
  EXPECT_EQ(files_on_disk(), std::set{file});
}

TEST_F(half_made, a_batch_whose_record_is_stored_keeps_its_folder) {
  const auto file = upload(lines(2)).json()["id"].get<std::string>();
  for (const auto& broken : {std::set<std::string>{"create_batch stored"},
                             std::set<std::string>{"create_batch stored", "find_batch"}}) {
    fail(broken, false);
    EXPECT_EQ(create_batch(file).status, 500);
    repair();
  }
  const auto made = get("/v1/batches").json()["data"];
  ASSERT_EQ(made.size(), 2U);
  run([&] { return records.open_batches().empty(); });
  for (const auto& one : made) {
    const auto stored = records.find_batch("", one["id"].get<std::string>());
    EXPECT_EQ(stored->status, store::batch_status::completed);
  }
}

TEST_F(half_made, a_retry_that_the_store_refuses_leaves_neither_a_file_nor_a_folder) {
  const auto id = batch_with_failure();
  const auto before = listed_files();
  const auto bytes = bytes_in("files");
  for (const auto& broken :
       {std::set<std::string>{"add_file"}, std::set<std::string>{"create_batch"}}) {
    fail(broken);
    EXPECT_EQ(post("/v1/batches/" + id + "/retry", {}).status, 507);
    EXPECT_EQ(listed_files(), before);
    EXPECT_EQ(bytes_in("files"), bytes);
    EXPECT_THAT(names_in("batches"), IsEmpty());
    repair();
  }
  EXPECT_EQ(get("/v1/batches").json()["data"].size(), 1U);
  const auto again = post("/v1/batches/" + id + "/retry", {});
  ASSERT_EQ(again.status, 200);
  EXPECT_EQ(listed_files().size(), before.size() + 1);
  EXPECT_EQ(files_on_disk(), listed_files());
}

TEST_F(half_made, a_retry_frees_its_bytes_even_if_the_store_removes_no_record) {
  const auto id = batch_with_failure();
  const auto before = listed_files();
  const auto bytes = bytes_in("files");
  fail({"create_batch", "remove_file"});
  EXPECT_EQ(post("/v1/batches/" + id + "/retry", {}).status, 507);
  EXPECT_EQ(bytes_in("files"), bytes);
  repair();
  const auto kept = upload(lines(1)).json()["id"].get<std::string>();
  auto after = before;
  after.insert(kept);
  EXPECT_EQ(listed_files(), after);
  EXPECT_EQ(files_on_disk(), after);
}

TEST_F(half_made, a_retry_whose_input_is_removed_meanwhile_leaves_nothing) {
  const auto id = batch_with_failure();
  const auto before = listed_files();
  std::string made;
  records.on_call = [&](std::string_view call) {
    if (call != "create_batch") return;
    const auto page = records.list_files("", {});
    for (const auto& one : page.records) {
      if (before.contains(one.id)) continue;
      made = one.id;
      records.remove_file("", one.id);
    }
  };
  EXPECT_EQ(post("/v1/batches/" + id + "/retry", {}).status, 404);
  EXPECT_FALSE(made.empty());
  EXPECT_EQ(listed_files(), before);
  EXPECT_EQ(files_on_disk(), before);
  EXPECT_THAT(names_in("batches"), IsEmpty());
}

// With a store that several servers share.
struct shared_half_made : half_made {
  shared_half_made() {
    used_folder = &copies;
    shared.is_needed = [this](std::string_view id) { return records.has_file(id); };
  }
  std::size_t copies_on_disk() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(other / "files")) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  test::temp_dir other;
  memory_files shared;
  data_folder copies{other.path(), files, &shared};
};

TEST_F(shared_half_made, an_upload_that_cannot_be_shared_leaves_no_bytes) {
  shared.is_away = true;
  EXPECT_EQ(upload(lines(5)).status, 500);
  EXPECT_EQ(copies_on_disk(), 0U);
  EXPECT_THAT(shared.files, IsEmpty());
}

TEST_F(shared_half_made, an_upload_that_the_full_store_refuses_leaves_no_bytes) {
  fail({"add_file"});
  EXPECT_EQ(upload(lines(5)).status, 507);
  EXPECT_EQ(copies_on_disk(), 0U);
  EXPECT_THAT(shared.files, IsEmpty());
}

TEST_F(shared_half_made, after_a_commit_with_an_unknown_outcome_the_store_keeps_the_bytes) {
  // The commit may become visible only later.
  fail({"add_file"}, false);
  EXPECT_EQ(upload(lines(5)).status, 500);
  EXPECT_EQ(copies_on_disk(), 0U);
  EXPECT_EQ(shared.files.size(), 1U);
  fail({"add_file stored"}, false);
  EXPECT_EQ(upload(lines(4)).status, 500);
  repair();
  const auto stored = listed_files();
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(get("/v1/files/" + *stored.begin() + "/content").body, lines(4));
}

TEST_F(shared_half_made, the_input_of_a_batch_is_freed_with_the_batch_if_its_file_is_gone) {
  const std::string id = upload(lines(2)).json()["id"];
  ASSERT_TRUE(copies.take_input(id, "batch_AAAAAAAAAAAAAAAAAAAAAAAA"));
  copies.remove_batch("batch_AAAAAAAAAAAAAAAAAAAAAAAA", id);
  EXPECT_EQ(shared.files.size(), 1U) << "its file is still there";
  ASSERT_TRUE(records.remove_file("", id));
  copies.remove_batch("batch_AAAAAAAAAAAAAAAAAAAAAAAA", id);
  EXPECT_THAT(shared.files, IsEmpty());
}

TEST_F(half_made, a_file_that_cannot_be_read_to_its_end_closes_the_connection) {
  const std::string id = upload(lines(2)).json()["id"];
  fs::resize_file(folder.file(id), lines(1).size());
  fake_exchange call("GET", "/v1/files/" + id + "/content");
  EXPECT_NE(serve(call), nullptr);
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.body, lines(1));
  EXPECT_EQ(notices.warnings.size(), 1U);
}

}  // namespace
}  // namespace sluice::server
