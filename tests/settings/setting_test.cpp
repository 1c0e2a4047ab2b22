#include "settings/setting.hpp"

#include <gmock/gmock.h>

#include <sys/stat.h>
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

// Sets a variable of the environment for a while.
class variable {
 public:
  variable(std::string name, const char* value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) old_ = old;
    if (value != nullptr) {
      ::setenv(name_.c_str(), value, 1);
    } else {
      ::unsetenv(name_.c_str());
    }
  }
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;
  ~variable() {
    if (old_) {
      ::setenv(name_.c_str(), old_->c_str(), 1);
    } else {
      ::unsetenv(name_.c_str());
    }
  }

 private:
  std::string name_;
  std::optional<std::string> old_;
};

struct setting_test : testing::Test {
  test::temp_dir dir;
  std::string colour = "default";
  std::vector<std::string> tags;
  bool loud = false;
  std::string profile;
  std::string secret;
  std::vector<std::string> rest;
  std::set<std::string> from_profile;

  std::vector<setting> table() {
    return {
        {.name = "colour",
         .letter = 'c',
         .value = "NAME",
         .apply =
             [this](const std::string& given) {
               if (given == "mauve") throw bad_setting("is none of red, blue");
               colour = given;
             },
         .environment = "SLUICE_TEST_COLOUR"},
        {.name = "tag",
         .value = "TEXT",
         .apply = [this](const std::string& given) { tags.push_back(given); },
         .repeatable = true},
        {.name = "loud", .apply = [this](const std::string& given) { loud = parse_switch(given); }},
        {.name = "profile",
         .value = "NAME",
         .apply = [this](const std::string& given) { profile = given; },
         .bare_value = "clean"},
        {.name = "secret",
         .apply = [this](const std::string& given) { secret = given; },
         .environment = "SLUICE_TEST_SECRET",
         .on_line = false,
         .secret = true},
        {.name = "line-only", .value = "X", .apply = [](const std::string&) {}, .in_config = false},
    };
  }
  void apply(std::vector<std::string> line, const std::optional<std::string>& config = std::nullopt,
             const std::string& named_profile = {}) {
    CLI::App app;
    settings flags(table());
    flags.ignore([] { return std::vector<other_key>{{"listen"}, {"store", true}}; });
    flags.add_to(app);
    app.add_option("JOB", rest);
    std::reverse(line.begin(), line.end());
    app.parse(line);
    from_profile = flags.apply(config ? find_config(*config) : std::nullopt, named_profile);
  }
  std::string refused(const std::vector<std::string>& line,
                      const std::optional<std::string>& config = std::nullopt,
                      const std::string& named_profile = {}) {
    try {
      apply(line, config, named_profile);
    } catch (const fatal_error& thrown) {
      return thrown.what();
    }
    return "(not refused)";
  }
};

TEST_F(setting_test, a_flag_wins_over_environment_over_config_over_default) {
  const std::string config = dir.write("c.toml", "colour = \"config\"\n");
  const variable unset("SLUICE_TEST_COLOUR", nullptr);
  apply({});
  EXPECT_EQ(colour, "default");
  apply({}, config);
  EXPECT_EQ(colour, "config");
  {
    const variable set("SLUICE_TEST_COLOUR", "environment");
    apply({}, config);
    EXPECT_EQ(colour, "environment");
    apply({"--colour", "flag"}, config);
    EXPECT_EQ(colour, "flag");
    apply({"-c", "short"}, config);
    EXPECT_EQ(colour, "short");
  }
  const variable empty("SLUICE_TEST_COLOUR", "");
  apply({}, config);
  EXPECT_EQ(colour, "config") << "an empty variable is none";
}

TEST_F(setting_test, keys_of_other_commands_are_ignored) {
  const std::string config =
      dir.write("c.toml", "listen = \":80\"\ncolour = \"blue\"\n[profile.night]\nstore = \"x\"\n");
  apply({}, config, "night");
  EXPECT_EQ(colour, "blue");
  EXPECT_THAT(refused({}, dir.write("d.toml", "lisen = 1\n")),
              HasSubstr("unknown key 'lisen'; did you mean 'listen'?"));
  EXPECT_THAT(refused({}, dir.write("e.toml", "store = postgres\n")),
              HasSubstr("line 1: cannot be read; write the value in quotes"));
}

TEST_F(setting_test, the_last_of_two_flags_counts) {
  apply({"--colour", "one", "--colour=two"});
  EXPECT_EQ(colour, "two");
}

TEST_F(setting_test, repeatable_flags_and_lists_give_all) {
  apply({"--tag", "a", "--tag", "b", "x.jsonl"});
  EXPECT_THAT(tags, ElementsAre("a", "b"));
  EXPECT_THAT(rest, ElementsAre("x.jsonl"));
  tags.clear();
  apply({}, dir.write("c.toml", "tag = [\"c\", \"d\"]\n"));
  EXPECT_THAT(tags, ElementsAre("c", "d"));
}

TEST_F(setting_test, switches) {
  apply({"--loud"});
  EXPECT_TRUE(loud);
  apply({}, dir.write("c.toml", "loud = false\n"));
  EXPECT_FALSE(loud);
  apply({"--loud"}, dir.write("c.toml", "loud = false\n"));
  EXPECT_TRUE(loud);
  EXPECT_THAT(refused({}, dir.write("c.toml", "loud = \"often\"\n")), HasSubstr("loud"));
}

TEST_F(setting_test, a_value_that_may_be_left_out) {
  apply({"--profile"});
  EXPECT_EQ(profile, "clean");
  apply({"--profile=faulty"});
  EXPECT_EQ(profile, "faulty");
  apply({"x.jsonl", "--profile", "--loud"});
  EXPECT_EQ(profile, "clean");
}

TEST_F(setting_test, a_value_that_was_left_out_takes_no_job_for_it) {
  apply({"--profile", "x.jsonl"});
  EXPECT_EQ(profile, "clean");
  EXPECT_THAT(rest, ElementsAre("x.jsonl"));
}

// In an earlier version, a flag took every following word that was not a flag. So the command
// `sluice run --rpm 60 job.jsonl` had no job.
TEST_F(setting_test, a_flag_takes_one_word_and_leaves_the_next) {
  apply({"--colour", "red", "job.jsonl"});
  EXPECT_EQ(colour, "red");
  EXPECT_THAT(rest, ElementsAre("job.jsonl"));
}

TEST_F(setting_test, what_is_not_for_the_line_has_no_flag) {
  EXPECT_THROW(apply({"--secret"}), CLI::ParseError);
  apply({}, dir.write("c.toml", "secret = \"hush\"\n"));
  EXPECT_EQ(secret, "hush");
}

TEST_F(setting_test, config_values_of_every_kind) {
  apply({}, dir.write("c.toml", "colour = 12\n"));
  EXPECT_EQ(colour, "12");
  apply({}, dir.write("c.toml", "colour = 0.5\n"));
  EXPECT_EQ(colour, "0.5");
}

TEST_F(setting_test, an_unknown_config_key_is_refused_with_a_suggestion) {
  const std::string told = refused({}, dir.write("c.toml", "color = \"red\"\n"));
  EXPECT_THAT(told, HasSubstr("c.toml"));
  EXPECT_THAT(told, HasSubstr("'color'"));
  EXPECT_THAT(told, HasSubstr("did you mean 'colour'?"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "line-only = \"x\"\n")), HasSubstr("'line-only'"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "[colour]\nx = 1\n")), HasSubstr("colour"));
}

TEST_F(setting_test, a_secret_that_is_no_toml_is_not_shown) {
  for (const char* document : {"secret = 99999999999999999999999\n", "\nsecret=sk-1234567890\n"}) {
    try {
      settings(table()).apply(find_config(dir.write("sluice.toml", document)));
      ADD_FAILURE() << document;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), HasSubstr("sluice.toml line "));
      EXPECT_THAT(fault.what(), HasSubstr("in quotes"));
      EXPECT_THAT(fault.what(), testing::Not(testing::ContainsRegex("9999|sk-1")));
    }
  }
}

TEST_F(setting_test, a_profile_stands_for_the_flags_that_it_lists) {
  const std::string config = dir.write("c.toml", R"(
colour = "config"
tag = "all"
[profile.night]
colour = "dark"
tag = ["a", "b"]
loud = true
[profile.day]
colour = "bright"
)");
  apply({}, config);
  EXPECT_EQ(colour, "config");
  EXPECT_THAT(from_profile, testing::IsEmpty());
  apply({}, config, "day");
  EXPECT_EQ(colour, "bright");
  EXPECT_FALSE(loud);
  tags.clear();
  const variable set("SLUICE_TEST_COLOUR", "environment");
  apply({}, config, "night");
  EXPECT_EQ(colour, "dark") << "a profile wins over the environment";
  EXPECT_THAT(tags, ElementsAre("all", "a", "b"));
  EXPECT_TRUE(loud);
  EXPECT_THAT(from_profile, ElementsAre("colour", "loud", "tag"));
  apply({"--colour", "flag"}, config, "night");
  EXPECT_EQ(colour, "flag") << "a flag wins over a profile";
}

TEST_F(setting_test, an_unknown_profile_is_refused_with_the_nearest_one) {
  const std::string config = dir.write("c.toml", "[profile.night]\n[profile.weekend]\n");
  const std::string told = refused({}, config, "nigth");
  EXPECT_THAT(told, HasSubstr("--profile nigth: "));
  EXPECT_THAT(told, HasSubstr("c.toml has no [profile.nigth]; did you mean 'night'?"));
  EXPECT_THAT(told, HasSubstr("it has night, weekend"));
  EXPECT_THAT(refused({}, dir.write("d.toml", ""), "night"), HasSubstr("has no [profile.night]"));
  EXPECT_THAT(refused({}, std::nullopt, "night"), HasSubstr("there is no config file"));
}

TEST_F(setting_test, keys_of_every_profile_are_checked) {
  const std::string told =
      refused({}, dir.write("c.toml", "[profile.day]\n[profile.night]\ncolor = \"red\"\n"), "day");
  EXPECT_THAT(told, HasSubstr("c.toml: [profile.night]: unknown key 'color'"));
  EXPECT_THAT(told, HasSubstr("did you mean 'colour'?"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "[profile.night]\ncolour = \"mauve\"\n"), "night"),
              HasSubstr("c.toml: [profile.night]: colour: is none of"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "profile = \"night\"\n")),
              HasSubstr("write each profile as a table, like [profile.night]"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "[profile]\nnight = 3\n")),
              HasSubstr("'profile.night' is not a table"));
  EXPECT_THAT(refused({}, dir.write("c.toml", "[profile.night]\nline-only = \"x\"\n")),
              HasSubstr("'line-only'"));
}

TEST_F(setting_test, a_config_that_is_no_toml_is_refused_by_line) {
  const std::string told = refused({}, dir.write("c.toml", "colour = \"x\"\nloud = \n"));
  EXPECT_THAT(told, HasSubstr("c.toml line 2"));
}

TEST_F(setting_test, a_value_that_cannot_be_used_names_where_it_came_from) {
  EXPECT_THAT(refused({"--colour", "mauve"}), HasSubstr("--colour mauve: is none of"));
  const variable set("SLUICE_TEST_COLOUR", "mauve");
  EXPECT_THAT(refused({}), HasSubstr("SLUICE_TEST_COLOUR"));
  const variable unset("SLUICE_TEST_COLOUR", nullptr);
  EXPECT_THAT(refused({}, dir.write("c.toml", "colour = \"mauve\"\n")),
              HasSubstr("c.toml: colour"));
}

TEST_F(setting_test, the_config_file_is_looked_for_in_order) {
  const auto here = std::filesystem::current_path();
  const variable home("XDG_CONFIG_HOME", (dir / "xdg").c_str());
  std::filesystem::create_directories(dir / "xdg/sluice");
  std::filesystem::create_directories(dir / "work");
  std::filesystem::current_path(dir / "work");
  EXPECT_FALSE(find_config("").has_value());
  dir.write("xdg/sluice/config.toml", "");
  EXPECT_EQ(find_config("")->path, dir / "xdg/sluice/config.toml");
  dir.write("work/sluice.toml", "");
  EXPECT_EQ(find_config("")->path, "sluice.toml");
  EXPECT_EQ(find_config(dir.write("own.toml", "a = 1"))->text, "a = 1");
  EXPECT_THROW(find_config(dir / "none.toml"), fatal_error);
  std::filesystem::current_path(here);
}

TEST_F(setting_test, a_named_config_may_be_a_pipe_or_a_device_but_no_folder) {
  EXPECT_EQ(find_config("/dev/null")->text, "");
  const std::string fifo = dir / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::thread writer([&fifo] { std::ofstream(fifo) << "colour = \"pipe\"\n"; });
  EXPECT_EQ(find_config(fifo)->text, "colour = \"pipe\"\n");
  writer.join();
  try {
    find_config(dir.path());
    ADD_FAILURE() << "a folder was taken";
  } catch (const fatal_error& fault) {
    EXPECT_THAT(fault.what(), HasSubstr("is a folder"));
  }
  EXPECT_THROW(find_config("/dev/zero"), fatal_error) << "it never ends";
}

// A config file that the user did not name, and the permissions of the file and its folder.
struct unnamed_config {
  const char* sentence;
  mode_t file;
  mode_t folder;
  const char* refusal;  // empty: the file is read
};

TEST_F(setting_test, a_config_that_nobody_named_is_nobody_elses_to_write) {
  const auto here = std::filesystem::current_path();
  std::filesystem::create_directories(dir / "work");
  const std::string path = dir.write("work/sluice.toml", "");
  std::filesystem::current_path(dir / "work");
  const unnamed_config rows[] = {
      {"the user's own", 0600, 0700, ""},
      {"for all to read", 0644, 0755, ""},
      {"for all to write", 0666, 0755, "others may write it"},
      {"for others to write", 0602, 0755, "others may write it"},
      {"in a folder for all to write", 0644, 0777, "others may write its folder"},
      {"in a folder like /tmp", 0644, 01777, ""},
      {"for all to write, in a folder like /tmp", 0666, 01777, "others may write it"},
  };
  for (const auto& row : rows) {
    ASSERT_EQ(::chmod(path.c_str(), row.file), 0);
    ASSERT_EQ(::chmod((dir / "work").c_str(), row.folder), 0);
    std::string told;
    try {
      find_config("");
    } catch (const fatal_error& thrown) {
      told = thrown.what();
    }
    if (row.refusal[0] == '\0') {
      EXPECT_EQ(told, "") << row.sentence;
    } else {
      EXPECT_THAT(told, HasSubstr(row.refusal)) << row.sentence;
      EXPECT_THAT(told, HasSubstr("--config sluice.toml")) << row.sentence;
    }
    EXPECT_TRUE(find_config("sluice.toml")) << "the user's word: " << row.sentence;
  }
  std::filesystem::current_path(here);
}

TEST(parse_duration, takes_numbers_with_a_unit) {
  const std::pair<const char*, duration> rows[] = {{"250ms", 250ms}, {"10s", 10s},     {"2m", 2min},
                                                   {"1h", 1h},       {"1.5s", 1500ms}, {"0s", 0s},
                                                   {"0ms", 0s}};
  for (const auto& [text, value] : rows) EXPECT_EQ(parse_duration(text), value) << text;
  for (const char* text :
       {"", "10", "s", "-1s", "1 s", "1d", "1sec", "nans", "infs", "1e99h", "1s2m", "0x1s"}) {
    EXPECT_THROW(parse_duration(text), bad_setting) << text;
  }
}

TEST(parse_count, takes_whole_numbers_up_to_a_bound) {
  EXPECT_EQ(parse_count("0", 10), 0U);
  EXPECT_EQ(parse_count("10", 10), 10U);
  for (const char* text :
       {"", "11", "-1", "+1", "1.0", "1e3", " 1", "1 ", "99999999999999999999"}) {
    EXPECT_THROW(parse_count(text, 10), bad_setting) << text;
  }
}

TEST(parse_switch, takes_true_and_false) {
  EXPECT_TRUE(parse_switch("true"));
  EXPECT_FALSE(parse_switch("false"));
  EXPECT_THROW(parse_switch("yes"), bad_setting);
}

}  // namespace
}  // namespace sluice::cli
