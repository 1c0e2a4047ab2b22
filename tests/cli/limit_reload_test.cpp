#include "cli/settings/limit_reload.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "cli/settings/dataset_settings.hpp"
#include "cli/table_job.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct limit_reload_test : testing::Test {
  void begin(const std::string& config, std::vector<std::string> line = {}) {
    dir.write("sluice.toml", config);
    flags.add_to(app);
    std::vector<std::string> words{"--config", dir / "sluice.toml"};
    words.insert(words.end(), line.begin(), line.end());
    std::reverse(words.begin(), words.end());
    app.parse(words);
    read_settings(flags, chosen);
  }
  reread_limits again(const std::string& config) {
    dir.write("sluice.toml", config);
    return read_limits_again(flags, chosen, relays());
  }
  std::vector<relay_member> relays() const { return chosen.engine.relays(); }

  test::temp_dir dir;
  CLI::App app;
  run_settings chosen;
  settings flags{run_flags(chosen), run_tables(chosen)};
};

TEST_F(limit_reload_test, reads_the_limits_of_the_file) {
  begin("rpm = 60\nmodel = \"m\"\n");
  const auto read = again("rpm = 30\ntpm = 1000\nconcurrency = 8\nmodel = \"other\"\n");
  EXPECT_THAT(read.limits.requests_per_minute, ElementsAre(30U));
  EXPECT_EQ(read.limits.tokens_per_minute, 1000U);
  EXPECT_EQ(read.limits.concurrency, 8U);
  EXPECT_EQ(chosen.engine.job.model, "m") << "nothing else changes";
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 60U);
}

TEST_F(limit_reload_test, a_config_that_can_be_read_once_changes_nothing) {
  begin("rpm = 60\n");
  std::filesystem::remove(dir / "sluice.toml");
  ASSERT_EQ(::mkfifo((dir / "sluice.toml").c_str(), 0600), 0);
  EXPECT_THROW(read_limits_again(flags, chosen, relays()), fatal_error);
}

TEST_F(limit_reload_test, what_the_file_no_longer_names_has_its_default) {
  begin("rpm = 60\n");
  EXPECT_THAT(again("").limits.requests_per_minute, ElementsAre(200U));
}

TEST_F(limit_reload_test, the_command_line_wins_and_it_says_so) {
  begin("concurrency = 4\n", {"--rpm", "60"});
  const auto read = again("rpm = 30\nconcurrency = 8\n");
  EXPECT_THAT(read.limits.requests_per_minute, ElementsAre(60U));
  EXPECT_EQ(read.limits.concurrency, 8U);
  EXPECT_THAT(read.notes, ElementsAre("--rpm 60 of the command line wins over the config"));
}

TEST_F(limit_reload_test, a_broken_file_changes_nothing) {
  begin("rpm = 60\nheader = [\"X-Team: blue\"]\n");
  EXPECT_THROW(again("rpm = \n"), fatal_error);
  EXPECT_THROW(again("rpm = -1\n"), fatal_error);
  EXPECT_EQ(chosen.engine.pace.requests_per_minute, 60U);
  EXPECT_EQ(chosen.engine.relay.headers.size(), 1U);
  EXPECT_THAT(again("rpm = 20\n").limits.requests_per_minute, ElementsAre(20U));
}

TEST_F(limit_reload_test, members_of_a_pool_are_found_by_their_names) {
  const std::string blue = "[[relay]]\nname = \"blue\"\nbase_url = \"https://b.example/v1\"\n";
  const std::string red =
      "[[relay]]\nname = \"red\"\nbase_url = \"https://r.example/v1\"\nrpm = 5\n";
  begin("rpm = 60\n" + blue + red);
  const auto read = again("rpm = 40\n" + red + blue + "rpm = 7\n");
  EXPECT_THAT(read.limits.requests_per_minute, ElementsAre(7U, 5U));
  const auto gone = again("rpm = 40\n" + blue);
  EXPECT_THAT(gone.limits.requests_per_minute, ElementsAre(40U, 5U));
  EXPECT_THAT(gone.notes, ElementsAre("the config has no relay red any more; it stays in use"));
  EXPECT_EQ(chosen.engine.pool.size(), 2U);
}

TEST_F(limit_reload_test, the_run_of_a_table_keeps_its_columns) {
  const std::string data = dir.write("d.csv", "text\nhello\n");
  dataset_settings table;
  auto list = run_flags(chosen);
  auto of_table = dataset_flags(table, {"column"});
  std::move(of_table.begin(), of_table.end(), std::back_inserter(list));
  settings both(std::move(list), run_tables(chosen));
  both.add_to(app);
  app.parse(
      fmt::format("--config {} --column reply=.content", dir.write("sluice.toml", "rpm = 60\n")));
  read_settings(both, chosen);
  const table_run whole({data}, table, chosen, dir / "o.csv");
  const std::string before = whole.extract_command();
  EXPECT_THAT(before, HasSubstr("--column reply=.content"));
  read_limits_again(both, chosen, relays());
  EXPECT_EQ(whole.extract_command(), before);
}

TEST_F(limit_reload_test, says_what_has_changed) {
  begin("rpm = 60\n");
  const auto all = relays();
  EXPECT_EQ(change_of_limits({{60}, 0, 64}, {{30}, 1000, 64}, all),
            "rpm 60 -> 30, tpm none -> 1000");
  EXPECT_EQ(change_of_limits({{60}, 0, 64}, {{60}, 0, 64}, all), "");
}

}  // namespace
}  // namespace sluice::cli
