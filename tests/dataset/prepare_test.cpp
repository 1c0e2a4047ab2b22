#include "dataset/prepare.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "dataset/reading.hpp"

namespace sluice::dataset {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class prepare : public testing::Test {
 protected:
  std::vector<std::string> lines(const std::string& data, const prepare_options& options = {},
                                 const std::string& body = R"({"t":"{{text}}"})",
                                 const std::string& name = "data.csv") {
    request_template made("t.json", body);
    std::vector<std::string> all;
    done_ = write_requests(dir_.write(name, data), {}, made, "/v1/chat/completions", options,
                           [&](std::string_view line) { all.emplace_back(line); });
    return all;
  }
  std::vector<std::string> ids(const std::string& data, const prepare_options& options = {}) {
    std::vector<std::string> all;
    for (const auto& line : lines(data, options)) all.push_back(json::parse(line)["custom_id"]);
    return all;
  }
  static std::string numbered(int count) {
    std::string data = "text\n";
    for (int i = 1; i <= count; ++i) data += "t" + std::to_string(i) + "\n";
    return data;
  }
  test::temp_dir dir_;
  prepared_job done_;
};

TEST_F(prepare, writes_a_batch_line_for_each_row) {
  const auto made = lines("text\na \"b\"\n你好\n");
  EXPECT_THAT(made,
              ElementsAre("{\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"custom_id\":"
                          "\"row-1\",\"body\":{\"t\":\"a \\\"b\\\"\"}}\n",
                          "{\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"custom_id\":"
                          "\"row-2\",\"body\":{\"t\":\"你好\"}}\n"));
  EXPECT_EQ(done_.rows, 2U);
  EXPECT_EQ(done_.requests, 2U);
  EXPECT_TRUE(begins_as_prepared(made[0]));
  EXPECT_TRUE(begins_as_torn_prepared(made[0].substr(0, 9)));
  EXPECT_FALSE(begins_as_prepared(R"({"custom_id":"a","method":"POST","url":"/v1/)"));
}

TEST_F(prepare, takes_ids_from_a_column) {
  EXPECT_THAT(ids("text,my id\na,x\"\nb,2\n", {.id_column = "my id"}), ElementsAre("x\"", "2"));
}

TEST_F(prepare, refuses_double_and_empty_ids_by_row) {
  EXPECT_THAT(refusal_of([&] { ids("id,text\na,1\nb,2\na,3\n", {.id_column = "id"}); }),
              HasSubstr("row 3 (line 4) has the same id in the column 'id' as row 1: a"));
  EXPECT_THAT(refusal_of([&] { ids("id,text\na,1\n,2\n", {.id_column = "id"}); }),
              HasSubstr("row 2 (line 3) has no id in the column 'id'"));
  EXPECT_THAT(refusal_of([&] { ids("id,text\na,1\n", {.id_column = "key"}); }),
              HasSubstr("--id key: names no column of "));
}

TEST_F(prepare, takes_ids_of_json_as_they_are) {
  const auto made = lines("{\"id\":17,\"text\":1}\n{\"id\":\"\\ud800\",\"text\":2}\n",
                          {.id_column = "id"}, R"({"t":"{{text}}"})", "data.jsonl");
  EXPECT_THAT(made[0], HasSubstr("\"custom_id\":\"17\""));
  EXPECT_THAT(made[1], HasSubstr("\"custom_id\":\"\\ud800\""));
}

TEST_F(prepare, stops_at_the_limit) {
  EXPECT_THAT(ids(numbered(9), {.limit = 2}), ElementsAre("row-1", "row-2"));
  EXPECT_EQ(done_.rows, 2U);
}

TEST_F(prepare, draws_a_sample_by_its_seed_in_order) {
  const auto drawn = ids(numbered(1000), {.sample = 50, .seed = 3});
  EXPECT_EQ(drawn.size(), 50U);
  EXPECT_EQ(done_.rows, 1000U);
  EXPECT_TRUE(std::is_sorted(drawn.begin(), drawn.end(), [](const auto& a, const auto& b) {
    return std::stoi(a.substr(4)) < std::stoi(b.substr(4));
  }));
  EXPECT_EQ(ids(numbered(1000), {.sample = 50, .seed = 3}), drawn);
  EXPECT_NE(ids(numbered(1000), {.sample = 50, .seed = 4}), drawn);
  EXPECT_EQ(ids(numbered(20), {.sample = 50}).size(), 20U);
  for (const auto& id : ids(numbered(1000), {.limit = 100, .sample = 50})) {
    EXPECT_LE(std::stoi(id.substr(4)), 100) << id;
  }
}

// Each sample has half of the rows, so each row is in about half of the samples.
TEST_F(prepare, draws_every_row_alike) {
  std::map<std::string, int> drawn;
  constexpr int samples = 400;
  for (std::uint64_t seed = 1; seed <= samples; ++seed) {
    for (const auto& id : ids(numbered(20), {.sample = 10, .seed = seed})) ++drawn[id];
  }
  EXPECT_EQ(drawn.size(), 20U);
  constexpr int five_sigma = 50;
  for (const auto& [id, count] : drawn) EXPECT_NEAR(count, samples / 2, five_sigma) << id;
}

TEST_F(prepare, refuses_what_it_cannot_make) {
  EXPECT_THAT(refusal_of([&] { lines("text\n"); }), HasSubstr("has no rows"));
  EXPECT_THAT(refusal_of([&] { lines("text\na\n", {.max_line_bytes = 20}); }),
              HasSubstr("row 1 (line 2) makes a request of "));
  EXPECT_THAT(refusal_of([&] { lines("text\na\n", {}, R"({"t":"{{file:text}}"})"); }),
              HasSubstr("name their folder with --files DIR"));
}

TEST_F(prepare, counts_the_files_that_it_puts_in) {
  dir_.write("a.gif", "GIF89a");
  dir_.write("b.gif", "GIF89a longer");
  lines("text\na.gif\nb.gif\n", {.files = dir_.path()}, R"({"t":"{{file:text}}"})");
  EXPECT_EQ(done_.files, 2U);
  EXPECT_EQ(done_.file_bytes, 19U);
  EXPECT_EQ(done_.largest_file, "b.gif");
}

}  // namespace
}  // namespace sluice::dataset
