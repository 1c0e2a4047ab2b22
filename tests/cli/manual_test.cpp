#include "cli/screen/manual.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands/all_commands.hpp"
#include "cli/screen/completion.hpp"
#include "cli/screen/help.hpp"
#include "cli/settings/run_settings.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;

const std::vector<std::string> no_words;

std::string without_escapes(std::string roff) {
  const std::pair<std::string, std::string> escapes[] = {
      {"\\&", ""}, {"\\-", "-"}, {"\\(aq", "'"}, {"\\(ha", "^"}, {"\\(ti", "~"}, {"\\e", "\\"}};
  for (const auto& [escape, plain] : escapes) {
    for (auto at = roff.find(escape); at != std::string::npos; at = roff.find(escape, at)) {
      roff.replace(at, escape.size(), plain);
      at += plain.size();
    }
  }
  return roff;
}

TEST(man_page, has_every_flag_with_the_text_of_the_help) {
  const auto commands = all_commands(no_words);
  const std::string page = without_escapes(man_page(commands, "2026-11-28"));
  EXPECT_THAT(page, testing::StartsWith(".TH SLUICE 1 2026-11-28 "));
  for (const command& one : commands) {
    EXPECT_THAT(page, HasSubstr(".SS sluice " + one.name + "\n" + one.summary));
    for (const setting& flag : one.flags->table()) {
      if (!flag.on_line) continue;
      EXPECT_THAT(page, HasSubstr(".B " + flag_term(flag) + "\n" + flag.long_help)) << one.name;
    }
    for (const auto& [number, meaning] : one.exit_statuses) EXPECT_THAT(page, HasSubstr(meaning));
    for (const auto& example : one.examples) {
      EXPECT_THAT(page, HasSubstr("\n  " + example + "\n"));
    }
  }
  EXPECT_THAT(page, HasSubstr("OPENAI_API_KEY"));
}

TEST(man_page, has_no_line_that_roff_takes_for_a_command) {
  command odd;
  odd.name = "odd";
  odd.summary = "'quoted";
  odd.description = ".hidden file\nC:\\temp";
  odd.flags = std::make_shared<settings>(std::vector<setting>{});
  const std::string page = man_page({odd}, "2026-11-28");
  EXPECT_THAT(page, HasSubstr("\n\\&.hidden file\nC:\\etemp\n"));
  EXPECT_THAT(page, HasSubstr("\n\\&\\(aqquoted.\n"));
}

TEST(man_page, has_every_key_of_a_relay_table) {
  const auto commands = all_commands(no_words);
  const std::string page = without_escapes(man_page(commands, "2026-11-28"));
  const std::string reference = markdown_reference(commands);
  EXPECT_EQ(relay_keys().size(), 8U);
  for (const auto& [key, help] : relay_keys()) {
    EXPECT_NE(help, "") << key;
    EXPECT_THAT(page, HasSubstr(".B " + key + "\n" + help));
    EXPECT_THAT(reference, HasSubstr("- `" + key + "`: " + help));
  }
}

TEST(markdown_reference, is_docs_reference_md) {
  std::ifstream file(SLUICE_DOCS "/reference.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(page, markdown_reference(all_commands(no_words)))
      << "write it anew: build/test/src/write_manual markdown > docs/reference.md";
}

TEST(completion_script, has_every_command_and_flag) {
  const auto commands = all_commands(no_words);
  const std::string bash = completion_script(commands, "bash");
  const std::string zsh = completion_script(commands, "zsh");
  const std::string fish = completion_script(commands, "fish");
  for (const command& one : commands) {
    EXPECT_THAT(bash, HasSubstr("\n      " + one.name + ") _sluice_words "));
    EXPECT_THAT(zsh, HasSubstr("\n    " + one.name + ")\n"));
    EXPECT_THAT(fish, HasSubstr(" -a " + one.name + " "));
    for (const setting& flag : one.flags->table()) {
      if (!flag.on_line) continue;
      EXPECT_THAT(bash, HasSubstr(" --" + flag.name));
      EXPECT_THAT(zsh, HasSubstr("--" + flag.name));
      EXPECT_THAT(fish, HasSubstr("__fish_seen_subcommand_from " + one.name + "' -l " + flag.name));
    }
  }
}

}  // namespace
}  // namespace sluice::cli
