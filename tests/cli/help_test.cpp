#include "cli/screen/help.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands/all_commands.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;

const std::vector<std::string> no_words;

std::vector<setting> flags_of(const command& one) {
  std::vector<setting> flags;
  for (const setting& entry : one.flags->table()) {
    if (entry.on_line) flags.push_back(entry);
  }
  return flags;
}

// Calls `look` for each setting of each command. The last argument is the name for messages.
void for_each_setting(
    const std::function<void(const command&, const setting&, const std::string&)>& look) {
  for (const command& one : all_commands(no_words)) {
    for (const setting& entry : one.flags->table()) {
      look(one, entry, "sluice " + one.name + " --" + entry.name);
    }
  }
}

std::size_t sentences_in(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.' && (i + 1 == text.size() || text[i + 1] == ' ')) ++count;
  }
  return count;
}

// Returns the text without line breaks and indents, so that a test can search for words in it.
std::string in_one_line(const std::string& text) {
  std::istringstream words(text);
  std::string line;
  for (std::string word; words >> word;) line += (line.empty() ? "" : " ") + word;
  return line;
}

std::size_t widest_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

TEST(commands, are_made_if_the_line_names_them) {
  const auto names_on = [](const std::vector<std::string>& line) {
    std::vector<std::string> names;
    for (const command& one : commands_on(line)) names.push_back(one.name);
    return names;
  };
  std::vector<std::string> all;
  for (const command& one : all_commands(no_words)) {
    all.push_back(one.name);
    EXPECT_EQ(names_on({"sluice", one.name}), std::vector<std::string>{one.name});
  }
  EXPECT_EQ(names_on({"sluice", "run", "job.jsonl", "check"}),
            (std::vector<std::string>{"run", "check"}));
  // The help and the messages about unknown words need all of them.
  for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
           {}, {"run"}, {"sluice", "rum", "run"}, {"sluice", "--help"}}) {
    EXPECT_EQ(names_on(line), all);
  }
}

TEST(flag_tables, have_a_short_text_of_one_line_without_a_full_stop) {
  constexpr std::size_t longest = 60;
  for_each_setting([&](const command&, const setting& entry, const std::string& name) {
    EXPECT_FALSE(entry.short_help.empty()) << name;
    EXPECT_LE(entry.short_help.size(), longest) << name;
    EXPECT_EQ(entry.short_help.find('\n'), std::string::npos) << name;
    EXPECT_FALSE(entry.short_help.ends_with('.')) << name;
    EXPECT_FALSE(entry.group.empty()) << name;
  });
}

TEST(flag_tables, have_a_long_text_of_one_to_four_sentences) {
  constexpr std::size_t most_sentences = 4;
  for_each_setting([&](const command&, const setting& entry, const std::string& name) {
    EXPECT_TRUE(entry.long_help.ends_with('.')) << name;
    EXPECT_GE(sentences_in(entry.long_help), 1U) << name;
    EXPECT_LE(sentences_in(entry.long_help), most_sentences) << name;
    EXPECT_EQ(entry.long_help.find("  "), std::string::npos) << name << ": two blanks";
    EXPECT_EQ(entry.long_help.find('\n'), std::string::npos) << name;
  });
}

TEST(flag_tables, have_each_name_and_letter_once) {
  for (const command& one : all_commands(no_words)) {
    std::set<std::string> names;
    std::set<char> letters;
    for (const setting& flag : flags_of(one)) {
      EXPECT_TRUE(names.insert(flag.name).second) << one.name << " --" << flag.name;
      EXPECT_TRUE(flag.letter == 0 || letters.insert(flag.letter).second)
          << one.name << " -" << flag.letter;
    }
    EXPECT_EQ(names.count("help") + names.count("version") + letters.count('h'), 0U) << one.name;
  }
}

TEST(flag_tables, have_defaults_and_choices_that_can_be_used) {
  for_each_setting([](const command&, const setting& entry, const std::string& name) {
    EXPECT_TRUE(entry.apply) << name;
    if (!entry.default_value.empty()) {
      EXPECT_NO_THROW(entry.apply(entry.default_value)) << name << ' ' << entry.default_value;
    }
    for (const std::string& choice : entry.choices) {
      EXPECT_NO_THROW(entry.apply(choice)) << name << ' ' << choice;
    }
    const bool default_is_a_choice = std::find(entry.choices.begin(), entry.choices.end(),
                                               entry.default_value) != entry.choices.end();
    EXPECT_TRUE(entry.choices.empty() || entry.default_value.empty() || default_is_a_choice)
        << name;
    EXPECT_FALSE(entry.value.empty() && !entry.choices.empty()) << name << " is a switch";
    EXPECT_FALSE(entry.value.empty() && !entry.default_value.empty()) << name << " is a switch";
  });
}

// Flags that have different meanings in different commands. Every other flag has the same texts
// everywhere.
const std::map<std::string, std::set<std::string>> own_texts{
    {"budget", {"ask", "probe", "bench", "enqueue"}},
    {"concurrency", {"bench"}},
    {"data", {"serve"}},
    {"keys", {"serve"}},
    {"lease", {"serve"}},
    {"limit", {"prepare"}},
    {"max-tokens", {"ask", "bench"}},
    {"max-wait", {"bench"}},
    {"mode", {"simulate"}},
    {"model", {"ask", "probe", "bench"}},
    {"output", {"prepare", "extract"}},
    {"output-dir", {"extract"}},
    {"quiet", {"check", "models", "quota", "probe", "bench"}},
    {"rpm", {"report", "simulate"}},
    {"seed", {"prepare", "probe", "bench", "simulate"}},
    {"store", {"run", "serve"}},
    {"system", {"ask"}},
    {"timeout", {"models", "quota", "probe", "bench"}},
    {"verbose", {"models", "quota", "probe", "bench"}},
};

TEST(flag_tables, describe_a_flag_in_the_same_way_in_every_command) {
  std::map<std::string, setting> first;
  for (const command& one : all_commands(no_words)) {
    for (const setting& flag : flags_of(one)) {
      const auto own = own_texts.find(flag.name);
      if (own != own_texts.end() && own->second.count(one.name) > 0) continue;
      const setting& other = first.emplace(flag.name, flag).first->second;
      const std::string name = one.name + " --" + flag.name;
      EXPECT_EQ(flag.short_help, other.short_help) << name;
      EXPECT_EQ(flag.long_help, other.long_help) << name;
      EXPECT_EQ(flag.default_value, other.default_value) << name;
      EXPECT_EQ(flag.value, other.value) << name;
      EXPECT_EQ(flag.group, other.group) << name;
    }
  }
}

TEST(command_help, fits_a_terminal_and_has_all_parts) {
  for (const command& one : all_commands(no_words)) {
    for (const auto length : {help_length::brief, help_length::whole}) {
      const std::string text = command_help(one, length);
      EXPECT_LE(widest_line(text), help_width) << one.name << '\n' << text;
      EXPECT_THAT(text, HasSubstr("\nUsage: sluice ")) << one.name;
      EXPECT_THAT(text, HasSubstr("\nExamples:\n")) << one.name;
      EXPECT_EQ(text.find("\n\n\n"), std::string::npos) << one.name;
    }
    EXPECT_THAT(command_help(one, help_length::whole), HasSubstr("\nExit status:\n")) << one.name;
  }
}

// Whether the text contains the word, but not as the beginning of a longer word.
bool has_word(const std::string& text, const std::string& word) {
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if (end == text.size() || (text[end] != '-' && std::isalnum(text[end]) == 0)) return true;
  }
  return false;
}

TEST(command_help, is_short_for_h) {
  constexpr int most_lines = 40;
  for (const command& one : all_commands(no_words)) {
    const std::string brief = command_help(one, help_length::brief);
    EXPECT_LT(std::count(brief.begin(), brief.end(), '\n'), most_lines) << brief;
    const std::string text = in_one_line(brief);
    for (const setting& flag : flags_of(one)) {
      const bool shown = one.common_flags.empty() ||
                         std::find(one.common_flags.begin(), one.common_flags.end(), flag.name) !=
                             one.common_flags.end();
      EXPECT_EQ(has_word(text, flag_term(flag)), shown) << one.name << " --" << flag.name;
      EXPECT_THAT(text, testing::Not(HasSubstr(flag.long_help))) << one.name;
    }
    for (const auto& name : one.common_flags) {
      const auto flags = flags_of(one);
      EXPECT_TRUE(std::any_of(flags.begin(), flags.end(),
                              [&](const setting& flag) { return flag.name == name; }))
          << one.name << " has no flag --" << name;
    }
  }
}

TEST(command_help, is_long_for_help) {
  for (const command& one : all_commands(no_words)) {
    const std::string whole = in_one_line(command_help(one, help_length::whole));
    for (const setting& flag : flags_of(one)) {
      EXPECT_THAT(whole, HasSubstr("--" + flag.name)) << one.name;
      EXPECT_THAT(whole, HasSubstr(flag.long_help)) << one.name;
    }
  }
}

TEST(command_help, shows_what_the_table_knows) {
  command one;
  one.name = "paint";
  one.summary = "Paint a wall";
  one.flags = std::make_shared<settings>(
      std::vector<setting>{{.name = "colour",
                            .letter = 'c',
                            .value = "NAME",
                            .group = "Paint",
                            .short_help = "Colour of the wall",
                            .long_help = "The wall gets this colour.",
                            .default_value = "red",
                            .choices = {"red", "blue"},
                            .apply = {},
                            .environment = "COLOUR"},
                           {.name = "hidden", .group = "Paint", .apply = {}, .on_line = false},
                           {.name = "gloss",
                            .value = "DEGREE",
                            .group = "Finish",
                            .short_help = "Gloss of the wall",
                            .long_help = "The wall shines.",
                            .apply = {},
                            .in_config = false,
                            .bare_value = "silk"}});
  EXPECT_THAT(command_help(one, help_length::brief),
              HasSubstr("\nFlags:\n"
                        "  -c, --colour red|blue       Colour of the wall [red]\n"
                        "  --gloss[=DEGREE]            Gloss of the wall\n"
                        "  -h                          This help\n"));
  EXPECT_THAT(command_help(one, help_length::whole),
              HasSubstr("\nPaint:\n"
                        "  -c, --colour red|blue\n"
                        "      The wall gets this colour.\n"
                        "      Default: red. Values: red, blue. Environment: COLOUR. Config key: "
                        "colour.\n"
                        "\nFinish:\n"
                        "  --gloss[=DEGREE]\n"
                        "      The wall shines.\n"));
}

TEST(program_help, lists_every_command) {
  const auto commands = all_commands(no_words);
  for (const auto length : {help_length::brief, help_length::whole}) {
    const std::string text = program_help(commands, length);
    EXPECT_LE(widest_line(text), help_width);
    EXPECT_THAT(text, HasSubstr("\nExamples:\n"));
    for (const command& one : commands) {
      EXPECT_THAT(text, HasSubstr("\n  " + one.name + " ")) << text;
      EXPECT_FALSE(one.summary.ends_with('.')) << one.name;
    }
  }
}

}  // namespace
}  // namespace sluice::cli
