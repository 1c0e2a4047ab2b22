#include "cli/screen/help.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace sluice::cli {
namespace {

// The column of the texts in `-h`.
constexpr std::size_t text_column = 30;
constexpr std::size_t flag_indent = 2;
constexpr std::size_t long_text_indent = 6;

// Wraps a text. The lines begin at a column; the first line has no indent.
std::string wrapped(std::string_view text, std::size_t column) {
  std::string lines;
  std::size_t at = column;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (at > column && at + 1 + word.size() > help_width) {
      lines += '\n';
      lines.append(column, ' ');
      at = column;
    }
    if (at > column) {
      lines += ' ';
      ++at;
    }
    lines += word;
    at += word.size();
  }
  lines += '\n';
  return lines;
}

// Two columns: a term, and its text.
std::string row(std::string_view term, std::string_view text, std::size_t column) {
  std::string line(flag_indent, ' ');
  line += term;
  if (line.size() + 2 > column) {
    line += '\n';
    line.append(column, ' ');
  } else {
    line.append(column - line.size(), ' ');
  }
  return line + wrapped(text, column);
}

// Wraps each paragraph; a line that begins with a space is not changed.
std::string paragraphs(std::string_view text) {
  std::string all;
  std::string paragraph;
  const auto flush = [&] {
    if (!paragraph.empty()) all += wrapped(paragraph, 0);
    paragraph.clear();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == ' ') {
      flush();
      all += line;
      all += '\n';
    } else {
      if (!paragraph.empty()) paragraph += ' ';
      paragraph += line;
    }
  }
  flush();
  return all;
}

}  // namespace

std::string flag_term(const setting& flag) {
  const std::string letter = flag.letter != 0 ? fmt::format("-{}, ", flag.letter) : std::string();
  const std::string name = value_name(flag);
  const std::string value = name.empty()              ? std::string()
                            : flag.bare_value.empty() ? fmt::format(" {}", name)
                                                      : fmt::format("[={}]", name);
  return fmt::format("{}--{}{}", letter, flag.name, value);
}

std::string flag_facts(const setting& flag) {
  std::string facts;
  const auto add = [&facts](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    facts += fmt::format("{}{}: {}.", facts.empty() ? "" : " ", name, value);
  };
  add("Default", flag.default_value);
  add("Values", fmt::format("{}", fmt::join(flag.choices, ", ")));
  add("Environment", flag.environment);
  add("Config key", flag.in_config ? flag.name : std::string());
  return facts;
}

std::vector<std::string> flag_groups(const std::vector<setting>& table) {
  std::vector<std::string> groups;
  for (const auto& flag : table) {
    if (!flag.on_line) continue;
    if (std::find(groups.begin(), groups.end(), flag.group) == groups.end()) {
      groups.push_back(flag.group);
    }
  }
  return groups;
}

namespace {

std::string brief_text(const setting& flag) {
  return flag.default_value.empty() ? flag.short_help
                                    : fmt::format("{} [{}]", flag.short_help, flag.default_value);
}

std::string whole_flag(const setting& flag) {
  const std::string indent(long_text_indent, ' ');
  std::string text =
      fmt::format("  {}\n{}{}", flag_term(flag), indent, wrapped(flag.long_help, long_text_indent));
  const std::string facts = flag_facts(flag);
  if (!facts.empty()) text += indent + wrapped(facts, long_text_indent);
  return text;
}

std::string whole_flags(const std::vector<setting>& table) {
  std::string text;
  for (const auto& group : flag_groups(table)) {
    text += fmt::format("\n{}:\n", group);
    bool first = true;
    for (const auto& flag : table) {
      if (!flag.on_line || flag.group != group) continue;
      if (!first) text += "\n";
      first = false;
      text += whole_flag(flag);
    }
  }
  return text;
}

// The common flags, or all of them if a command names none.
std::string brief_flags(const command& shown) {
  std::string text;
  std::size_t left_out = 0;
  for (const auto& flag : shown.flags->table()) {
    if (!flag.on_line) continue;
    const auto& common = shown.common_flags;
    if (!common.empty() && std::find(common.begin(), common.end(), flag.name) == common.end()) {
      ++left_out;
      continue;
    }
    text += row(flag_term(flag), brief_text(flag), text_column);
  }
  text += row("-h", "This help", text_column);
  text += row("--help",
              left_out > 0 ? fmt::format("The whole help, with {} more flags", left_out)
                           : std::string("The whole help"),
              text_column);
  return text;
}

std::string help_flags() {
  return fmt::format("\nHelp:\n{}{}", row("-h", "The most used flags, one line each", text_column),
                     row("--help", "The whole help", text_column));
}

std::string examples_help(const std::vector<std::string>& examples) {
  std::string text = "\nExamples:\n";
  for (const auto& example : examples) text += fmt::format("  {}\n", example);
  return text;
}

}  // namespace

std::string command_help(const command& shown, help_length length) {
  std::string text = fmt::format("sluice {}: ", shown.name);
  text += wrapped(shown.summary, 0);
  text += fmt::format("\nUsage: sluice {} [FLAGS]", shown.name);
  if (!shown.operand.empty()) text += fmt::format(" {}...", shown.operand);
  text += "\n";
  if (!shown.operand.empty()) {
    text += fmt::format("\n{}", row(shown.operand, shown.operand_help, text_column));
  }
  if (length == help_length::whole) text += fmt::format("\n{}", paragraphs(shown.description));
  if (length == help_length::brief) {
    text += "\nFlags:\n" + brief_flags(shown);
  } else {
    text += whole_flags(shown.flags->table());
    text += help_flags();
    constexpr std::size_t status_column = 8;
    text += "\nExit status:\n";
    for (const auto& [number, meaning] : shown.exit_statuses) {
      text += row(fmt::format("{}", number), meaning, status_column);
    }
  }
  text += examples_help(shown.examples);
  return text;
}

std::string program_help(const std::vector<command>& commands, help_length length) {
  std::string text =
      "sluice takes JSONL jobs of completions through a rate-limited, OpenAI-compatible\n"
      "relay, and brings back every result once, with exact tokens and cost.\n"
      "\n"
      "Usage: sluice COMMAND [FLAGS] [JOB...]\n"
      "\n"
      "Commands:\n";
  constexpr std::size_t command_column = 14;
  for (const auto& one : commands) text += row(one.name, one.summary, command_column);
  if (length == help_length::whole) {
    text += '\n';
    text += paragraphs(program_description);
  }
  text += fmt::format(
      "\nHelp:\n{}{}{}", row("-h", "This help in short", command_column),
      row("--help", "The whole help", command_column),
      row("--version", "The version; with --verbose, the date of its prices", command_column));
  text += "\nEach command has both helps, like 'sluice run -h' and 'sluice run --help'.\n";
  text += examples_help(
      {"sluice ask --simulate 'What is a sluice?'",
       "echo '{\"prompt\":\"Hi\"}' | sluice run - --simulate --model gpt-4o -o hi.jsonl",
       "sluice quota --simulate"});
  return text;
}

}  // namespace sluice::cli
