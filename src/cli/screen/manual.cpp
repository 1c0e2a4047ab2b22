#include "cli/screen/manual.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "cli/screen/help.hpp"
#include "cli/settings/run_settings.hpp"
#include "sluice/version.hpp"

namespace sluice::cli {
namespace {

constexpr const char* relays_help =
    "Each [[relay]] table is one relay of a pool that shares the jobs. Its keys:";

// Variables that have no flag.
const std::vector<std::pair<std::string, std::string>> other_variables{
    {"HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
     "The proxy for requests to relays, and the hosts that need none."},
    {"SSL_CERT_FILE", "A file of certificate authorities to use in place of the system's."},
    {"NO_COLOR", "If it is set, the screen has no colours."},
    {"XDG_CONFIG_HOME, XDG_STATE_HOME",
     "Where the config file and the state of shared rate limits are; by default ~/.config and "
     "~/.local/state."},
};

const std::vector<std::pair<std::string, std::string>> files{
    {"./sluice.toml, $XDG_CONFIG_HOME/sluice/config.toml",
     "The config file, if --config names no other. Its keys are the names of the long flags."},
    {"JOB.output.jsonl, JOB.errors.jsonl, JOB.totals.json",
     "The results of a job, one line for each request, its failures, and its totals."},
    {"JOB.state",
     "What is in flight and how much of the budget is reserved. It is removed when the job is "
     "complete."},
};

// The environment variables of all flags, and what they set.
std::map<std::string, std::string> variables_of(const std::vector<command>& commands) {
  std::map<std::string, std::string> variables;
  for (const auto& one : commands) {
    for (const auto& entry : one.flags->table()) {
      if (entry.environment.empty()) continue;
      variables.emplace(entry.environment, entry.on_line
                                               ? fmt::format("Stands for --{}.", entry.name)
                                               : entry.long_help);
    }
  }
  return variables;
}

// Calls `begin` for each group of flags and `each` for its flags, in the order of the table.
template <class Begin, class Each>
void for_each_group(const command& shown, Begin begin, Each each) {
  for (const auto& group : flag_groups(shown.flags->table())) {
    begin(group);
    for (const auto& flag : shown.flags->table()) {
      if (flag.on_line && flag.group == group) each(flag);
    }
  }
}

// Escapes a text so that roff shows it unchanged. A line must not begin with a control character,
// and a plain "-" may become a hyphen, which does not work in a shell after copying.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool begins_line = out.empty() || out.back() == '\n';
    if (begins_line && (c == '.' || c == '\'')) out += "\\&";
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Paragraphs and, between them, lines that are not wrapped because they begin with a space.
std::string roff_paragraphs(std::string_view text) {
  std::string out;
  bool as_is = false;
  const auto keep_lines = [&](bool keep) {
    if (keep != as_is) out += keep ? ".PP\n.nf\n" : ".fi\n.PP\n";
    as_is = keep;
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    keep_lines(!line.empty() && line.front() == ' ');
    out += line.empty() ? ".PP\n" : roff(line) + "\n";
  }
  keep_lines(false);
  return out;
}

std::string roff_list(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string out;
  for (const auto& [term, text] : rows) {
    out += fmt::format(".TP\n.B {}\n{}\n", roff(term), roff(text));
  }
  return out;
}

std::string roff_command(const command& shown) {
  std::string out = fmt::format(
      ".SS sluice {}\n{}.\n.PP\n.B sluice {}\n.RI [ FLAGS ]{}\n", roff(shown.name),
      roff(shown.summary), roff(shown.name),
      shown.operand.empty() ? std::string() : fmt::format("\n.IR {} ...", roff(shown.operand)));
  if (!shown.operand.empty()) {
    out += fmt::format(".TP\n.I {}\n{}.\n", roff(shown.operand), roff(shown.operand_help));
  }
  out += ".PP\n" + roff_paragraphs(shown.description);
  for_each_group(
      shown, [&](const std::string& group) { out += fmt::format(".PP\n.I {}:\n", roff(group)); },
      [&](const setting& flag) {
        out += fmt::format(".TP\n.B {}\n{}\n", roff(flag_term(flag)), roff(flag.long_help));
        if (const auto facts = flag_facts(flag); !facts.empty()) out += roff(facts) + "\n";
      });
  out += ".PP\n.I Exit status:\n";
  for (const auto& [number, meaning] : shown.exit_statuses) {
    out += fmt::format(".TP\n.B {}\n{}\n", number, roff(meaning));
  }
  out += ".PP\n.I Examples:\n.PP\n.nf\n";
  for (const auto& example : shown.examples) out += fmt::format("  {}\n", roff(example));
  return out + ".fi\n";
}

std::string markdown_flag(const setting& flag) {
  const std::string facts = flag_facts(flag);
  return fmt::format("- `{}`: {}{}{}\n", flag_term(flag), flag.long_help, facts.empty() ? "" : " ",
                     facts);
}

std::string markdown_rows(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string out;
  for (const auto& [term, text] : rows) out += fmt::format("- `{}`: {}\n", term, text);
  return out;
}

std::vector<std::pair<std::string, std::string>> all_variables(
    const std::vector<command>& commands) {
  const auto of_flags = variables_of(commands);
  std::vector<std::pair<std::string, std::string>> rows(of_flags.begin(), of_flags.end());
  rows.insert(rows.end(), other_variables.begin(), other_variables.end());
  return rows;
}

}  // namespace

std::string man_page(const std::vector<command>& commands, const std::string& date) {
  std::string out = fmt::format(
      ".TH SLUICE 1 {} \"sluice {}\" \"User Commands\"\n"
      ".SH NAME\nsluice \\- bulk completions through a rate\\-limited, OpenAI\\-compatible relay\n"
      ".SH SYNOPSIS\n.B sluice\n.I COMMAND\n.RI [ FLAGS ]\n.RI [ JOB ...]\n"
      ".SH DESCRIPTION\n",
      date, SLUICE_VERSION);
  out += roff_paragraphs(program_description);
  out += ".SH COMMANDS\n";
  for (const auto& one : commands) out += roff_command(one);
  out += ".SH ENVIRONMENT\n" + roff_list(all_variables(commands));
  out += ".SH RELAYS IN THE CONFIG FILE\n" + roff(relays_help) + "\n" + roff_list(relay_keys());
  out += ".SH FILES\n" + roff_list(files);
  return out;
}

std::string markdown_reference(const std::vector<command>& commands) {
  std::string out = fmt::format(
      "# Commands and flags\n\nMade from the same table as `sluice COMMAND --help` and the man "
      "page.\n\n{}\n\n",
      program_description);
  for (const auto& one : commands) {
    out += fmt::format("## sluice {}\n\n{}.\n\n{}\n\n", one.name, one.summary, one.description);
    if (!one.operand.empty()) out += fmt::format("`{}`: {}.\n\n", one.operand, one.operand_help);
    for_each_group(
        one, [&](const std::string& group) { out += fmt::format("**{}**\n\n", group); },
        [&](const setting& flag) { out += markdown_flag(flag); });
    out += "\n**Exit status**\n\n";
    for (const auto& [number, meaning] : one.exit_statuses) {
      out += fmt::format("- {}: {}\n", number, meaning);
    }
    out += "\n**Examples**\n\n```sh\n";
    for (const auto& example : one.examples) out += example + "\n";
    out += "```\n\n";
  }
  out += "## Environment\n\n" + markdown_rows(all_variables(commands));
  out += fmt::format("\n## Relays in the config file\n\n{}\n\n", relays_help);
  out += markdown_rows(relay_keys());
  out += "\n## Files\n\n" + markdown_rows(files);
  return out;
}

}  // namespace sluice::cli
