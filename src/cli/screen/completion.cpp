#include "cli/screen/completion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace sluice::cli {
namespace {

// What a shell offers after a flag.
enum class values : std::uint8_t { none, choices, files, folders, unknown };

bool ends_with_word(std::string_view name, std::string_view word) {
  return name == word ||
         (name.size() > word.size() && name.ends_with(word) &&
          std::isalnum(static_cast<unsigned char>(name[name.size() - word.size() - 1])) == 0);
}

values values_of(const setting& flag) {
  if (flag.value.empty() || !flag.bare_value.empty()) return values::none;
  if (!flag.choices.empty()) return values::choices;
  if (ends_with_word(flag.value, "DIR")) return values::folders;
  return ends_with_word(flag.value, "FILE") ? values::files : values::unknown;
}

std::vector<setting> flags_of(const command& one) {
  std::vector<setting> flags;
  for (const auto& entry : one.flags->table()) {
    if (entry.on_line) flags.push_back(entry);
  }
  return flags;
}

// All forms of a flag, as words.
std::vector<std::string> names_of(const setting& flag) {
  std::vector<std::string> names{fmt::format("--{}", flag.name)};
  if (flag.letter != 0) names.push_back(fmt::format("-{}", flag.letter));
  return names;
}

std::string in_quotes(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string command_names(const std::vector<command>& commands) {
  std::string names;
  for (const auto& one : commands) names += one.name + " ";
  return names + "help";
}

// The action of bash for the value of a flag; empty: the flag has no value.
std::string bash_action(const setting& flag) {
  if (!flag.choices.empty()) {
    return fmt::format("_sluice_words {}; ",
                       in_quotes(fmt::format("{}", fmt::join(flag.choices, " "))));
  }
  switch (values_of(flag)) {
    case values::files:
      return "_sluice_files -f; ";
    case values::folders:
      return "_sluice_files -d; ";
    case values::unknown:
      return ": ; ";
    default:
      return {};
  }
}

std::string bash_script(const std::vector<command>& commands) {
  std::string flags;
  std::string behind;
  for (const auto& one : commands) {
    std::string words = "-h --help";
    for (const auto& flag : flags_of(one)) {
      for (const auto& name : names_of(flag)) {
        words += fmt::format(" {}", name);
        const std::string action = bash_action(flag);
        if (action.empty()) continue;
        if (flag.bare_value.empty()) {
          behind += fmt::format("    {}) {}return ;;\n", in_quotes(one.name + " " + name), action);
        }
        behind +=
            fmt::format("    {}) {}return ;;\n", in_quotes(one.name + " " + name + "="), action);
      }
    }
    flags += fmt::format("      {}) _sluice_words {} ;;\n", one.name, in_quotes(words));
  }
  std::string operands;
  for (const auto& one : commands) {
    if (!one.operand_choices.empty()) {
      operands += fmt::format("      {}) _sluice_words {}; return ;;\n", one.name,
                              in_quotes(fmt::format("{}", fmt::join(one.operand_choices, " "))));
    }
  }
  return fmt::format(
      R"sh(# bash completion for sluice. Load it with: eval "$(sluice completion bash)"
_sluice_words() {{
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}}

_sluice_files() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}}

_sluice() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command=${{COMP_WORDS[1]}} joined=
  COMPREPLY=()
  # bash splits --flag=value at the sign.
  if [[ $cur == = ]]; then
    cur= joined='='
  elif [[ $prev == = ]]; then
    prev=${{COMP_WORDS[COMP_CWORD - 2]}} joined='='
  fi
  if ((COMP_CWORD == 1)); then
    _sluice_words '{0} -h --help -V --version'
    return
  fi
  if ((COMP_CWORD == 2)) && [[ $command == help ]]; then
    _sluice_words '{0}'
    return
  fi
  case "$command $prev$joined" in
{1}  esac
  if [[ $cur == -* ]]; then
    case $command in
{2}    esac
    return
  fi
  case $command in
{3}  esac
  _sluice_files -f
}}

complete -F _sluice sluice
)sh",
      command_names(commands), behind, flags, operands);
}

// Escapes a text for the brackets and colons of zsh's _arguments.
std::string for_zsh(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_value(const setting& flag) {
  const std::string name = for_zsh(flag.value);
  switch (flag.choices.empty() ? values_of(flag) : values::choices) {
    case values::choices:
      return fmt::format(":{}:({})", name, fmt::join(flag.choices, " "));
    case values::files:
      return fmt::format(":{}:_files", name);
    case values::folders:
      return fmt::format(":{}:_files -/", name);
    case values::unknown:
      return fmt::format(":{}: ", name);
    case values::none:
      break;
  }
  return {};
}

std::string zsh_script(const std::vector<command>& commands) {
  std::string names;
  std::string cases;
  for (const auto& one : commands) {
    names += fmt::format("    {}\n", in_quotes(one.name + ":" + for_zsh(one.summary)));
    cases += fmt::format("    {})\n      _arguments -s \\\n", one.name);
    for (const auto& flag : flags_of(one)) {
      const std::string text = fmt::format("[{}]", for_zsh(flag.short_help));
      const std::string many = flag.repeatable ? "*" : "";
      // "=-": the value follows in the same word; "=": in the same word or the next.
      const char* sign = flag.value.empty() ? "" : flag.bare_value.empty() ? "=" : "=-";
      const std::string value =
          flag.bare_value.empty() ? zsh_value(flag) : fmt::format(":{}", zsh_value(flag));
      cases +=
          fmt::format("        {} \\\n",
                      in_quotes(fmt::format("{}--{}{}{}{}", many, flag.name, sign, text, value)));
      if (flag.letter != 0) {
        cases += fmt::format("        {} \\\n",
                             in_quotes(fmt::format("{}-{}{}{}", many, flag.letter, text, value)));
      }
    }
    const std::string operand =
        one.operand.empty() ? std::string()
        : one.operand_choices.empty()
            ? fmt::format("*:{}:_files", for_zsh(one.operand))
            : fmt::format("1:{}:({})", for_zsh(one.operand), fmt::join(one.operand_choices, " "));
    cases += "        '(- *)'{-h,--help}'[Show help]'";
    if (!operand.empty()) cases += " \\\n        " + in_quotes(operand);
    cases += "\n      ;;\n";
  }
  return fmt::format(
      R"sh(#compdef sluice
# zsh completion for sluice. Save it as _sluice in a folder of $fpath.
_sluice() {{
  local -a commands
  commands=(
{}    'help:The help of a command'
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
{}    help)
      _describe command commands
      ;;
  esac
}}

if [[ $funcstack[1] == _sluice ]]; then
  _sluice "$@"
else
  compdef _sluice sluice
fi
)sh",
      names, cases);
}

std::string fish_script(const std::vector<command>& commands) {
  std::string out =
      "# fish completion for sluice. Load it with: sluice completion fish | source\n"
      "complete -c sluice -n __fish_use_subcommand -f\n"
      "complete -c sluice -n __fish_use_subcommand -s V -l version -d 'The version'\n"
      "complete -c sluice -s h -l help -d 'Show help'\n";
  for (const auto& one : commands) {
    out += fmt::format("complete -c sluice -n __fish_use_subcommand -a {} -d {}\n", one.name,
                       in_quotes(one.summary));
    const std::string here = in_quotes("__fish_seen_subcommand_from " + one.name);
    if (one.operand.empty() || !one.operand_choices.empty()) {
      out += fmt::format("complete -c sluice -n {} -f\n", here);
    }
    if (!one.operand_choices.empty()) {
      out += fmt::format("complete -c sluice -n {} -a {}\n", here,
                         in_quotes(fmt::format("{}", fmt::join(one.operand_choices, " "))));
    }
    for (const auto& flag : flags_of(one)) {
      out += fmt::format("complete -c sluice -n {} -l {}", here, flag.name);
      if (flag.letter != 0) out += fmt::format(" -s {}", flag.letter);
      switch (values_of(flag)) {
        case values::none:
          break;
        case values::choices:
          out +=
              fmt::format(" -x -a {}", in_quotes(fmt::format("{}", fmt::join(flag.choices, " "))));
          break;
        case values::files:
          out += " -r -F";
          break;
        case values::folders:
          out += " -x -a '(__fish_complete_directories)'";
          break;
        case values::unknown:
          out += " -x";
          break;
      }
      out += fmt::format(" -d {}\n", in_quotes(flag.short_help));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const std::vector<command>& commands, const std::string& shell) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  return fish_script(commands);
}

}  // namespace sluice::cli
