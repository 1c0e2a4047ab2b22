#include "server/batch_results.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "files/file_system.hpp"
#include "support/temp_dir.hpp"

namespace sluice::server {
namespace {

using store::batch_status;

std::string request_line(const std::string& id) {
  return R"({"custom_id":")" + id +
         R"(","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}})" + "\n";
}
std::string result_line(const std::string& id) {
  return R"({"id":"batch_req_1","custom_id":")" + id +
         R"(","response":{"status_code":200,"request_id":"","body":{}},"error":null})" + "\n";
}

struct batch_results : testing::Test {
  batch_results() {
    batch.id = "batch_ABCDEFGHIJKLMNOPQRSTUVWX";
    batch.end = store::finalizing{batch_status::completed, "file-OOOOOOOOOOOOOOOOOOOOOOOO",
                                  "file-EEEEEEEEEEEEEEEEEEEEEEEE"};
    std::filesystem::create_directory(folder.batch(batch.id));
  }
  void input(const std::vector<std::string>& ids) {
    write(folder.batch_input(batch.id), ids, request_line);
  }
  void output(const std::vector<std::string>& ids) {
    write(folder.batch_output(batch.id), ids, result_line);
  }
  void errors(const std::vector<std::string>& ids) {
    write(folder.batch_errors(batch.id), ids, result_line);
  }
  static void write(const std::string& path, const std::vector<std::string>& ids,
                    std::string (*line)(const std::string&)) {
    std::ofstream file(path, std::ios::binary);
    for (const auto& id : ids) file << line(id);
  }
  result_files_made make(batch_status ending) {
    batch.end->ending = ending;
    return make_result_files(folder, batch);
  }
  // The error code of each line of a result file, by custom_id; empty if the line has no error.
  std::map<std::string, std::string> lines(const std::string& id) const {
    std::map<std::string, std::string> found;
    std::ifstream file(folder.file(id), std::ios::binary);
    for (std::string text; std::getline(file, text);) {
      const auto line = nlohmann::json::parse(text);
      const std::string code =
          line["error"].is_null() ? "" : line["error"]["code"].get<std::string>();
      EXPECT_TRUE(found.emplace(line["custom_id"], code).second) << "two lines of " << text;
    }
    return found;
  }
  using codes = std::map<std::string, std::string>;

  test::temp_dir place;
  std::unique_ptr<file_system> disk = system_files();
  data_folder folder{place.path(), *disk};
  store::batch_record batch;
};

TEST_F(batch_results, ACompletedBatchHasTheLinesOfItsJob) {
  input({"a", "b", "c"});
  output({"a", "c"});
  errors({"b"});
  const auto made = make(batch_status::completed);
  EXPECT_EQ(lines(batch.end->output_file_id), (codes{{"a", ""}, {"c", ""}}));
  EXPECT_EQ(lines(batch.end->error_file_id), (codes{{"b", ""}}));
  EXPECT_EQ(made.output_bytes, std::filesystem::file_size(folder.file(batch.end->output_file_id)));
  EXPECT_EQ(made.error_bytes, std::filesystem::file_size(folder.file(batch.end->error_file_id)));
}

TEST_F(batch_results, AFileWithoutALineIsNotMade) {
  input({"a"});
  output({"a"});
  errors({});
  const auto made = make(batch_status::completed);
  EXPECT_TRUE(made.output_bytes);
  EXPECT_EQ(made.error_bytes, std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(folder.file(batch.end->error_file_id)));
}

TEST_F(batch_results, EveryUnsentRequestOfACancelledBatchGetsALine) {
  input({"a", "b", "c", "d"});
  output({"b"});
  errors({"c"});
  make(batch_status::cancelled);
  EXPECT_EQ(lines(batch.end->output_file_id), (codes{{"b", ""}}));
  EXPECT_EQ(lines(batch.end->error_file_id),
            (codes{{"a", "batch_cancelled"}, {"c", ""}, {"d", "batch_cancelled"}}));
}

TEST_F(batch_results, ABatchThatNeverBeganHasOnlyUnsentRequests) {
  input({"a", "b"});
  const auto made = make(batch_status::expired);
  EXPECT_EQ(made.output_bytes, std::nullopt);
  EXPECT_EQ(lines(batch.end->error_file_id),
            (codes{{"a", "batch_expired"}, {"b", "batch_expired"}}));
}

TEST_F(batch_results, AnIdKeepsItsEscapes) {
  std::ofstream(folder.batch_input(batch.id))
      << R"({"custom_id":"quo\"te \u00e9 \n","method":"POST","url":"u","body":{}})"
      << "\n";
  make(batch_status::cancelled);
  EXPECT_EQ(lines(batch.end->error_file_id), (codes{{"quo\"te é \n", "batch_cancelled"}}));
}

TEST_F(batch_results, LinesOfTheInputThatCannotBeReadAreLeftOut) {
  std::ofstream(folder.batch_input(batch.id)) << "no json\n{}\n" << request_line("a");
  make(batch_status::cancelled);
  EXPECT_EQ(lines(batch.end->error_file_id), (codes{{"a", "batch_cancelled"}}));
}

TEST_F(batch_results, MakingThemAgainGivesTheSame) {
  input({"a", "b", "c"});
  output({"b"});
  make(batch_status::expired);
  const auto read = [&] {
    std::ifstream file(folder.file(batch.end->error_file_id), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string first = read();
  const auto again = make(batch_status::expired);
  EXPECT_EQ(read(), first);
  EXPECT_EQ(again.error_bytes, first.size());
  EXPECT_TRUE(std::filesystem::is_empty(place / "uploads"));
}

TEST_F(batch_results, FailedLinesAreCopiedInTheOrderOfTheInput) {
  input({"a", "b", "c", "d"});
  errors({"d", "b"});
  const auto draft = folder.new_draft();
  EXPECT_EQ(copy_failed_lines(folder.batch_input(batch.id), folder.batch_errors(batch.id), *draft),
            2U);
  draft->publish("file-RRRRRRRRRRRRRRRRRRRRRRRR");
  std::ifstream file(folder.file("file-RRRRRRRRRRRRRRRRRRRRRRRR"), std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            request_line("b") + request_line("d"));
}

}  // namespace
}  // namespace sluice::server
