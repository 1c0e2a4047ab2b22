#include "settings/setting.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/read_duration.hpp"
#include "base/refuse.hpp"
#include "settings/ownership.hpp"
#include "settings/suggestion.hpp"

namespace sluice::cli {
namespace {

constexpr std::string_view profile_tables = "profile";

std::string profile_origin(const std::string& path, const std::string& name) {
  return fmt::format("{}: [{}.{}]", path, profile_tables, name);
}

// `origin` says where the value comes from: a flag, a variable, or a key of the config file.
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
    std::array<char, 400> digits{};  // every double fits without an exponent
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), real->get(),
                                   std::chars_format::fixed);
    values.emplace_back(digits.data(), end.ptr);
  }
  return values;
}

std::string line_of(const std::string& text, std::uint32_t number) {
  std::istringstream file(text);
  std::string line;
  while (number-- > 0 && std::getline(file, line)) {
  }
  return line;
}

const setting* find_key(const std::vector<setting>& entries, const std::string& name) {
  for (const setting& entry : entries) {
    if (entry.name == name && entry.in_config) return &entry;
  }
  return nullptr;
}

// The keys of the other commands. Makes them when they are needed first.
class other_keys {
 public:
  explicit other_keys(std::function<std::vector<other_key>()> make) : make_(std::move(make)) {}
  const std::vector<other_key>& all() {
    if (make_) made_ = std::exchange(make_, nullptr)();
    return made_;
  }

 private:
  std::function<std::vector<other_key>()> make_;
  std::vector<other_key> made_;
};

// The setting with this name; null: only another command has it. Refuses a name that no command
// has; `origin` names the table.
const setting* setting_of(const std::string& name, const std::vector<setting>& entries,
                          other_keys& others, const std::string& origin) {
  if (const setting* found = find_key(entries, name)) return found;
  std::vector<std::string> names;
  for (const setting& entry : entries) {
    if (entry.in_config) names.push_back(entry.name);
  }
  for (const other_key& other : others.all()) {
    if (other.name == name) return nullptr;
    names.push_back(other.name);
  }
  refuse(fmt::format("{}: unknown key '{}'{}", origin, name, did_you_mean(name, names)));
}

// Applies every key of one table; `origin` names the table in messages.
void apply_table(const toml::table& table, const std::vector<setting>& entries, other_keys& others,
                 const std::string& origin) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const setting* chosen = setting_of(name, entries, others, origin);
    if (chosen == nullptr) continue;
    if (chosen->apply_pair) {
      const toml::table* pairs = node.as_table();
      if (pairs == nullptr) {
        refuse(fmt::format("{}: {}: is not a table; write it like {{ \"here\" = \"there\" }}",
                           origin, name));
      }
      for (const auto& [from, to] : *pairs) {
        const auto* text = to.as_string();
        if (text == nullptr) {
          refuse(fmt::format("{}: {}: the value of '{}' is not a text; write it in quotes", origin,
                             name, from.str()));
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
      refuse(fmt::format("{}: '{}' is not a text, a number, true or false, or a list of them",
                         origin, name));
    }
    for (const auto& value : values) apply_one(*chosen, value, fmt::format("{}: {}", origin, name));
  }
}

// Takes the profiles out of the document, by name. Refuses unknown keys in all of them, so that a
// mistake is found now and not in the night when the profile is first used.
std::map<std::string, toml::table> take_profiles(toml::table& document,
                                                 const std::vector<setting>& entries,
                                                 other_keys& others, const std::string& path) {
  std::map<std::string, toml::table> profiles;
  const toml::node* node = document.get(profile_tables);
  if (node == nullptr) return profiles;
  const auto form = fmt::format("write each profile as a table, like [{}.night]", profile_tables);
  const toml::table* all = node->as_table();
  if (all == nullptr) {
    refuse(fmt::format("{}: '{}' is not a table of profiles; {}", path, profile_tables, form));
  }
  for (const auto& [key, content] : *all) {
    const std::string name(key.str());
    const toml::table* table = content.as_table();
    if (table == nullptr) {
      refuse(fmt::format("{}: '{}.{}' is not a table; {}", path, profile_tables, name, form));
    }
    for (const auto& [inner, value] : *table) {
      (void)value;
      (void)setting_of(std::string(inner.str()), entries, others, profile_origin(path, name));
    }
    profiles.emplace(name, *table);
  }
  document.erase(profile_tables);
  return profiles;
}

const toml::table& find_profile(const std::map<std::string, toml::table>& profiles,
                                const std::string& name, const std::string& path) {
  const auto found = profiles.find(name);
  if (found != profiles.end()) return found->second;
  std::vector<std::string> names;
  names.reserve(profiles.size());
  for (const auto& [other, table] : profiles) names.push_back(other);
  refuse(fmt::format(
      "--profile {}: {} has no [{}.{}]{}{}", name, path, profile_tables, name,
      did_you_mean(name, names),
      names.empty() ? std::string() : fmt::format("; it has {}", fmt::join(names, ", "))));
}

toml::table parse_document(const config_file& config, const std::vector<setting>& entries,
                           other_keys& others) {
  try {
    return toml::parse(config.text, config.path);
  } catch (const toml::parse_error& fault) {
    // The parser's message may contain the value, which may be a secret.
    const auto number = fault.source().begin.line;
    const std::string line = line_of(config.text, number);
    const auto names_secret = [&](const auto& entry) {
      return entry.secret && line.find(entry.name) != std::string::npos;
    };
    const bool secret = std::any_of(entries.begin(), entries.end(), names_secret) ||
                        std::any_of(others.all().begin(), others.all().end(), names_secret);
    refuse(fmt::format(
        "{} line {}: {}", config.path, number,
        secret ? "cannot be read; write the value in quotes" : std::string(fault.description())));
  }
}

// Applies the [[…]] tables, and removes them from the document.
void apply_lists(toml::table& document, const std::vector<setting_tables>& lists,
                 const std::string& path) {
  for (const auto& tables : lists) {
    const toml::node* node = document.get(tables.name);
    if (node == nullptr) continue;
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_homogeneous(toml::node_type::table)) {
      refuse(fmt::format("{}: '{}' is not a list of tables; write each one as [[{}]]", path,
                         tables.name, tables.name));
    }
    for (const auto& element : *list) {
      other_keys none(nullptr);
      apply_table(*element.as_table(), tables.begin(), none,
                  fmt::format("{}: [[{}]]", path, tables.name));
    }
    document.erase(tables.name);
  }
}

}  // namespace

settings::settings(std::vector<setting> table, std::vector<setting_tables> tables)
    : table_(std::move(table)), tables_(std::move(tables)) {
  for (setting& entry : table_) {
    flags_.push_back(std::make_unique<line_flag>());
    if (!entry.apply) continue;
    entry.apply = [take = std::move(entry.apply), all = given_, name = entry.name,
                   many = entry.repeatable](const std::string& value) {
      take(value);
      auto& values = (*all)[name];
      if (!many) values.clear();
      values.push_back(value);
    };
  }
}

std::vector<std::pair<std::string, std::string>> settings::given() const {
  std::vector<std::pair<std::string, std::string>> list;
  for (const setting& entry : table_) {
    const auto found = given_->find(entry.name);
    if (found == given_->end()) continue;
    for (const std::string& value : found->second) {
      list.emplace_back(entry.name, entry.secret ? "[hidden]" : value);
    }
  }
  return list;
}

std::vector<std::string> settings::secret_flags() const {
  std::vector<std::string> names;
  for (const setting& entry : table_) {
    if (entry.on_line && entry.secret) names.push_back(entry.name);
  }
  return names;
}

void settings::add_to(CLI::App& command) {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const setting& entry = table_[i];
    if (!entry.on_line) continue;
    line_flag& place = *flags_[i];
    const std::string names =
        (entry.letter != 0 ? fmt::format("-{},", entry.letter) : std::string()) + "--" + entry.name;
    if (entry.value.empty()) {
      place.option = command.add_flag(names, place.on);
    } else if (!entry.bare_value.empty()) {
      // A flag for the parser: its value must follow after `=`; the next word is never taken as the
      // value.
      place.values.resize(1);
      place.option =
          command.add_flag(fmt::format("{}{{{}}}", names, entry.bare_value), place.values[0]);
    } else {
      place.option = command.add_option(names, place.values)->type_name(entry.value);
      place.option->expected(1)->multi_option_policy(
          entry.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
      place.option->allow_extra_args(false);
    }
  }
}

std::set<std::string> settings::apply(const std::optional<config_file>& config,
                                      const std::string& profile) const {
  given_->clear();
  std::set<std::string> in_profile;
  if (!config) {
    if (!profile.empty()) {
      refuse(
          fmt::format("--profile {}: there is no config file; write [{}.{}] into ./sluice.toml, "
                      "or name a file with --config",
                      profile, profile_tables, profile));
    }
    apply_environment();
  } else {
    other_keys others(other_keys_);
    toml::table document = parse_document(*config, table_, others);
    const auto profiles = take_profiles(document, table_, others, config->path);
    apply_lists(document, tables_, config->path);
    begin_source();
    apply_table(document, table_, others, config->path);
    apply_environment();
    if (!profile.empty()) {
      const toml::table& chosen = find_profile(profiles, profile, config->path);
      begin_source();
      apply_table(chosen, table_, others, profile_origin(config->path, profile));
      for (const auto& [key, value] : chosen) in_profile.emplace(key.str());
    }
  }
  apply_line();
  return in_profile;
}

void settings::begin_source() const {
  for (const setting& entry : table_) {
    if (entry.begin_source) entry.begin_source();
  }
}

void settings::apply_environment() const {
  begin_source();
  for (const setting& entry : table_) {
    if (entry.environment.empty()) continue;
    const char* text = std::getenv(entry.environment.c_str());
    if (text != nullptr && *text != '\0') apply_one(entry, text, entry.environment);
  }
}

void settings::apply_line() const {
  begin_source();
  for (std::size_t i = 0; i < table_.size(); ++i) {
    const setting& entry = table_[i];
    const line_flag& place = *flags_[i];
    if (!place.present()) continue;
    const std::string flag = "--" + entry.name;
    if (entry.value.empty()) {
      apply_one(entry, place.on ? "true" : "false", flag);
      continue;
    }
    for (const auto& value : place.values) {
      apply_one(entry, value,
                value.empty()  ? flag + " is empty"
                : entry.secret ? flag
                               : fmt::format("{} {}", flag, value));
    }
  }
}

bool settings::line_flag::present() const {
  return option != nullptr && option->count() > 0;
}

const settings::line_flag* settings::find_flag(std::string_view name) const {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    if (table_[i].name == name && flags_[i]->present()) return flags_[i].get();
  }
  return nullptr;
}

bool settings::on_line(std::string_view name) const {
  return find_flag(name) != nullptr;
}

std::string settings::line_value(std::string_view name) const {
  const line_flag* flag = find_flag(name);
  return flag == nullptr || flag->values.empty() ? std::string() : flag->values.back();
}

std::string value_name(const setting& entry) {
  constexpr std::size_t widest = 20;
  const std::string list = fmt::format("{}", fmt::join(entry.choices, "|"));
  return list.empty() || list.size() > widest ? entry.value : list;
}

void describe(std::vector<setting>& table, std::string_view name, std::string short_help,
              std::string long_help, const std::optional<std::string>& default_value) {
  for (setting& entry : table) {
    if (entry.name != name) continue;
    entry.short_help = std::move(short_help);
    entry.long_help = std::move(long_help);
    if (default_value) entry.default_value = *default_value;
    return;
  }
}

namespace {

// A config file that is opened only once, so that the file that is read is the file that was
// checked.
class opened_config {
 public:
  // `more`: O_NONBLOCK, so as not to wait for the writer of a FIFO; or 0.
  opened_config(const std::string& path, int more)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | more)) {
    if (file_ < 0 && errno != ENOENT && errno != ENOTDIR) cannot_be_read();
    if (file_ >= 0 && ::fstat(file_, &info_) != 0) cannot_be_read();
  }
  opened_config(const opened_config&) = delete;
  opened_config& operator=(const opened_config&) = delete;
  ~opened_config() {
    if (file_ >= 0) ::close(file_);
  }

  bool is_there() const { return file_ >= 0; }
  bool is_file() const { return file_ >= 0 && S_ISREG(info_.st_mode); }
  bool is_folder() const { return file_ >= 0 && S_ISDIR(info_.st_mode); }

  config_file content() const {
    constexpr std::size_t block = 65536;
    constexpr std::size_t largest = std::size_t{16} << 20;  // a device may never end
    config_file config{path_, {}};
    for (;;) {
      const std::size_t before = config.text.size();
      if (before > largest) refuse(fmt::format("{}: is too large for a config file", path_));
      config.text.resize(before + block);
      const ssize_t n = ::read(file_, config.text.data() + before, block);
      if (n < 0 && errno != EINTR) cannot_be_read();
      config.text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      if (n == 0) return config;
    }
  }

  // Refuses a file that other users may have written. `here`: it is in the current folder, and the
  // user may not know about it. The owner of a config in the home folder is not checked, because
  // sudo keeps HOME.
  void require_own(bool here) const {
    const auto refuse_it = [&](const std::string& why, const std::string& remedy) {
      refuse(fmt::format(
          "{}: {}, and a config file can name the host that gets the key; {}if you trust it, "
          "name it with --config {}",
          path_, why, remedy, path_));
    };
    struct stat link {};
    if (::lstat(path_.c_str(), &link) != 0) link = info_;  // it was removed in the meantime
    for (const auto& one : {link, info_}) {
      if (here && !is_own(one)) {
        refuse_it(fmt::format("belongs to another user ({})", one.st_uid), "");
      }
    }
    if (others_may_write(info_, path_)) {
      refuse_it("others may write it", fmt::format("run 'chmod go-w {}', or, ", path_));
    }
    const std::string parent = std::filesystem::path(path_).parent_path().string();
    const std::string folder = parent.empty() ? "." : parent;
    if (others_may_replace_in(folder)) {
      refuse_it("others may write its folder", fmt::format("run 'chmod go-w {}', or, ", folder));
    }
  }

 private:
  [[noreturn]] void cannot_be_read() const {
    refuse(
        fmt::format("{}: cannot be read ({}); check its permissions", path_, std::strerror(errno)));
  }

  std::string path_;
  int file_ = -1;
  struct stat info_ {};
};

std::optional<config_file> unnamed_config(const std::string& path, bool here) {
  std::error_code unreadable;  // a folder that cannot be read counts as empty
  if (!std::filesystem::is_regular_file(path, unreadable)) return std::nullopt;
  const opened_config opened(path, O_NONBLOCK);
  if (!opened.is_file()) return std::nullopt;
  opened.require_own(here);
  return opened.content();
}

}  // namespace

std::optional<config_file> find_config(const std::string& named) {
  namespace fs = std::filesystem;
  if (!named.empty()) {
    // It may be a pipe, like that of the shell's <(command), or /dev/null.
    const opened_config opened(named, 0);
    if (!opened.is_there()) {
      refuse(fmt::format("--config {}: there is no such file; check the path", named));
    }
    if (opened.is_folder()) {
      refuse(fmt::format("--config {}: is a folder; name a TOML file", named));
    }
    return opened.content();
  }
  if (auto here = unnamed_config("sluice.toml", true)) return here;
  fs::path home;
  if (const char* config_home = std::getenv("XDG_CONFIG_HOME");
      config_home != nullptr && *config_home) {
    home = config_home;
  } else if (const char* user_home = std::getenv("HOME"); user_home != nullptr && *user_home) {
    home = fs::path(user_home) / ".config";
  } else {
    return std::nullopt;
  }
  return unnamed_config((home / "sluice" / "config.toml").string(), false);
}

duration parse_duration(const std::string& text) {
  if (const auto read = read_duration(text)) return std::chrono::duration_cast<duration>(*read);
  throw bad_setting("not a duration; write it like 250ms, 10s, 2m or 1h");
}

std::uint64_t parse_count(const std::string& text, std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > most) {
    throw bad_setting(fmt::format("not a whole number from 0 to {}", most));
  }
  return number;
}

bool parse_switch(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  throw bad_setting("not true or false");
}

}  // namespace sluice::cli
