#include "cli/setting.hpp"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cli/suggestion.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

void apply_one(const setting& chosen, const std::string& text, const std::string& origin) {
  try {
    chosen.apply(text);
  } catch (const bad_setting& fault) {
    refuse(fmt::format("{}: {}", origin, fault.what()));
  }
}

std::vector<std::string> config_values(const toml::node& node) {
  std::vector<std::string> values;
  if (const auto* list = node.as_array()) {
    for (const auto& element : *list) {
      for (auto& value : config_values(element)) values.push_back(std::move(value));
    }
  } else if (const auto* text = node.as_string()) {
    values.push_back(text->get());
  } else if (const auto* number = node.as_integer()) {
    values.push_back(std::to_string(number->get()));
  } else if (const auto* flag = node.as_boolean()) {
    values.emplace_back(flag->get() ? "true" : "false");
  } else if (const auto* real = node.as_floating_point()) {
    std::array<char, 400> digits{};  // every double fits, written without an exponent
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), real->get(),
                                   std::chars_format::fixed);
    values.emplace_back(digits.data(), end.ptr);
  }
  return values;
}

std::string line_of(const std::string& path, std::uint32_t number) {
  std::ifstream file(path);
  std::string line;
  while (number-- > 0 && std::getline(file, line)) {
  }
  return line;
}

const setting* find(const std::vector<setting>& entries, const std::string& name) {
  for (const setting& entry : entries) {
    if (entry.name == name && entry.in_config) return &entry;
  }
  return nullptr;
}

// `origin` names the table.
void apply_table(const toml::table& table, const std::vector<setting>& entries,
                 const std::string& origin) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const setting* chosen = find(entries, name);
    if (chosen == nullptr) {
      std::vector<std::string> names;
      for (const setting& entry : entries) {
        if (entry.in_config) names.push_back(entry.name);
      }
      refuse(fmt::format("{}: unknown key '{}'{}", origin, name, did_you_mean(name, names)));
    }
    if (chosen->apply_pair) {
      const toml::table* pairs = node.as_table();
      if (pairs == nullptr) {
        refuse(fmt::format("{}: {}: is no table; write it like {{ \"here\" = \"there\" }}", origin,
                           name));
      }
      for (const auto& [from, to] : *pairs) {
        const auto* text = to.as_string();
        if (text == nullptr) {
          refuse(fmt::format("{}: {}: what '{}' stands for is no text", origin, name, from.str()));
        }
        chosen->apply_pair(std::string(from.str()), text->get());
      }
      continue;
    }
    auto values = config_values(node);
    if (!chosen->bare_value.empty() && node.is_boolean()) {  // like the flag without a value
      values.clear();
      if (node.as_boolean()->get()) values.push_back(chosen->bare_value);
    }
    if (values.empty() && !node.is_array() && !node.is_boolean()) {
      refuse(fmt::format("{}: '{}' is neither text, number, true or false, nor a list of them",
                         origin, name));
    }
    for (const auto& value : values) apply_one(*chosen, value, fmt::format("{}: {}", origin, name));
  }
}

}  // namespace

settings::settings(std::vector<setting> table, std::vector<setting_tables> tables)
    : table_(std::move(table)), tables_(std::move(tables)) {
  for (std::size_t i = 0; i < table_.size(); ++i) given_.push_back(std::make_unique<given>());
}

void settings::add_to(CLI::App& command) {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const setting& entry = table_[i];
    if (!entry.on_line) continue;
    given& place = *given_[i];
    const std::string names =
        (entry.letter != 0 ? fmt::format("-{},", entry.letter) : std::string()) + "--" + entry.name;
    if (entry.value.empty()) {
      place.option = command.add_flag(names, place.on, entry.help);
    } else if (!entry.bare_value.empty()) {
      // A flag to the parser, so that it takes a value behind `=` alone and never the next word.
      place.values.resize(1);
      place.option = command.add_flag(fmt::format("{}{{{}}}", names, entry.bare_value),
                                      place.values[0], entry.help);
    } else {
      place.option = command.add_option(names, place.values, entry.help)->type_name(entry.value);
      place.option->expected(1)->multi_option_policy(
          entry.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
      place.option->allow_extra_args(false);
    }
    place.option->group(entry.group);
  }
}

void settings::apply_config(const std::string& path) const {
  toml::table document;
  try {
    document = toml::parse_file(path);
  } catch (const toml::parse_error& fault) {
    // What the parser says may quote the value.
    const auto number = fault.source().begin.line;
    const std::string line = line_of(path, number);
    const bool secret = std::any_of(table_.begin(), table_.end(), [&](const setting& entry) {
      return entry.secret && line.find(entry.name) != std::string::npos;
    });
    refuse(fmt::format(
        "{} line {}: {}", path, number,
        secret ? "cannot be read; write a text in quotes" : std::string(fault.description())));
  }
  for (const auto& tables : tables_) {
    const toml::node* node = document.get(tables.name);
    if (node == nullptr) continue;
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_homogeneous(toml::node_type::table)) {
      refuse(fmt::format("{}: '{}' is no list of tables; write each as [[{}]]", path, tables.name,
                         tables.name));
    }
    for (const auto& element : *list) {
      apply_table(*element.as_table(), tables.begin(),
                  fmt::format("{}: [[{}]]", path, tables.name));
    }
    document.erase(tables.name);
  }
  apply_table(document, table_, path);
}

void settings::apply(const std::optional<std::string>& config_path) const {
  if (config_path) apply_config(*config_path);
  for (const setting& entry : table_) {
    if (entry.environment.empty()) continue;
    const char* text = std::getenv(entry.environment.c_str());
    if (text != nullptr && *text != '\0') apply_one(entry, text, entry.environment);
  }
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const setting& entry = table_[i];
    const given& place = *given_[i];
    if (place.option == nullptr || place.option->count() == 0) continue;
    const std::string flag = "--" + entry.name;
    if (entry.value.empty()) {
      apply_one(entry, place.on ? "true" : "false", flag);
    } else {
      for (const auto& value : place.values) {
        apply_one(entry, value, entry.secret ? flag : fmt::format("{} {}", flag, value));
      }
    }
  }
}

bool settings::on_line(const std::string& name) const {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (table_[i].name == name)
      return given_[i]->option != nullptr && given_[i]->option->count() > 0;
  }
  return false;
}

std::optional<std::string> find_config(const std::string& named) {
  namespace fs = std::filesystem;
  std::error_code unreadable;
  if (!named.empty()) {
    if (!fs::is_regular_file(named, unreadable)) {
      refuse(fmt::format("--config {}: there is no such file; check the path", named));
    }
    return named;
  }
  if (fs::is_regular_file("sluice.toml", unreadable)) return "sluice.toml";
  fs::path home;
  if (const char* config_home = std::getenv("XDG_CONFIG_HOME");
      config_home != nullptr && *config_home) {
    home = config_home;
  } else if (const char* user_home = std::getenv("HOME"); user_home != nullptr && *user_home) {
    home = fs::path(user_home) / ".config";
  } else {
    return std::nullopt;
  }
  const fs::path file = home / "sluice" / "config.toml";
  if (!fs::is_regular_file(file, unreadable)) return std::nullopt;
  return file.string();
}

duration parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::array<std::pair<std::string_view, double>, 4> units{
      {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  for (const auto& [name, seconds] : units) {
    if (error == std::errc{} && number >= 0 && number * seconds < 1e9 && unit == name) {
      return std::chrono::duration_cast<duration>(std::chrono::duration<double>(number * seconds));
    }
  }
  throw bad_setting("is no duration; write it like 250ms, 10s, 2m or 1h");
}

std::uint64_t parse_count(const std::string& text, std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > most) {
    throw bad_setting(fmt::format("is no whole number from 0 to {}", most));
  }
  return number;
}

bool parse_switch(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  throw bad_setting("is neither true nor false");
}

}  // namespace sluice::cli
