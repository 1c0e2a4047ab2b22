#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/settings/run_settings.hpp"
#include "fuzz/support.hpp"
#include "http/proxy.hpp"
#include "settings/setting.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::fuzz {
namespace {

/// Removes the part of `text` before the marker line, and the marker itself. Returns this part.
std::string_view cut_off(std::string_view& text, std::string_view marker) {
  const std::size_t at = std::min(text.find(marker), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + marker.size(), text.size()));
  return part;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) lines.emplace_back(cut_off(text, "\n"));
  return lines;
}

/// The value after the first `=` of a line that begins with `api-key`, without quotes. It counts as
/// a key only if it is long enough, appears nowhere else, and cannot be a word of a message: it
/// begins with "sk-" or is a number.
std::optional<std::string> key_in(std::string_view text) {
  for (const std::string& line : lines_of(text)) {
    if (!line.starts_with("api-key ") && !line.starts_with("api-key=")) continue;
    std::string value = line.substr(line.find('=') + 1);
    value.erase(0, value.find_first_not_of(" '\""));
    value.erase(std::min(value.find_first_of(" '\""), value.size()));
    constexpr std::size_t shortest = 8;
    if (value.size() < shortest || text.find(value) != text.rfind(value)) return std::nullopt;
    const bool is_number = value.find_first_not_of("0123456789") == std::string::npos;
    return is_number || value.starts_with("sk-") ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

void set_environment(const char* name, const std::vector<std::string>& values, std::size_t index) {
  if (index < values.size() && !values[index].empty()) {
    ::setenv(name, values[index].c_str(), 1);
  } else {
    ::unsetenv(name);
  }
}

/// One folder for all runs. A config may refer to the file "key" in it.
const test::temp_dir& place() {
  static const test::temp_dir dir;
  static const bool entered = [] {
    dir.write("key", "sk-from-a-file\n");
    std::filesystem::current_path(dir.path());
    return true;
  }();
  static_cast<void>(entered);
  return dir;
}

}  // namespace
}  // namespace sluice::fuzz

/// The text has three parts, separated by lines %%: a config file; the words of a command line, one
/// per line; the values of environment variables: the base URL, the key, the folders of config
/// files, a proxy, and the hosts without a proxy.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  const bool with_file = in.pick(2) == 0;
  std::string_view rest = in.text();
  const std::string document(cut_off(rest, "\n%%\n"));
  auto words = lines_of(cut_off(rest, "\n%%\n"));
  const auto variables = lines_of(rest);

  cli::run_settings settings;
  cli::settings flags(cli::run_flags(settings), cli::run_tables(settings));
  CLI::App app;
  flags.add_to(app);
  try {
    std::reverse(words.begin(), words.end());
    app.parse(words);
  } catch (const CLI::ParseError&) {
    return 0;  // the parser reports this error itself
  }
  const std::string path = place().write("sluice.toml", document);
  set_environment("OPENAI_BASE_URL", variables, 0);
  set_environment("OPENAI_API_KEY", variables, 1);
  set_environment("XDG_CONFIG_HOME", variables, 2);
  set_environment("HOME", variables, 3);
  if (!with_file) std::filesystem::remove(path);
  try {
    flags.apply(cli::find_config(with_file && variables.size() < 5 ? path : ""));
    settings.engine.check();
  } catch (const fatal_error& refused) {
    const std::string sentence = refused.what();
    require(!sentence.empty() && is_one_line(sentence), "a refusal is one sentence", sentence);
    require(refused.why() == fatal_error::kind::cannot_start,
            "a bad setting does not lose a result");
    const auto key = key_in(document);
    require(!key || sentence.find(*key) == std::string::npos, "the key is never shown", sentence);
    return 0;
  }
  const config& used = settings.engine;
  require(used.relay.total_timeout > duration::zero() && used.pace.max_attempts > 0,
          "what was checked can be used");
  require(used.relay.base_url.find_first_of(" \r\n") == std::string::npos, "a URL is one word");
  const auto variable = [&](const char* name) -> const char* {
    const std::size_t index = std::string_view(name) == "ALL_PROXY"  ? 5
                              : std::string_view(name) == "NO_PROXY" ? 6
                                                                     : variables.size();
    return index < variables.size() ? variables[index].c_str() : nullptr;
  };
  for (const auto& member : used.relays()) {
    try {
      const auto url = base_url::parse(member.relay.base_url);
      const auto text = proxy_from_environment(url, variable);
      require(text.empty() || is_one_line(proxy::parse(text, "it").name()), "a proxy has a name");
    } catch (const fatal_error& refused) {
      require(is_one_line(refused.what()), "a refusal is one sentence", refused.what());
    }
  }
  for (const auto& [name, value] : used.relay.headers) {
    require((name + value).find_first_of("\r\n") == std::string::npos, "a header is one line");
  }
  return 0;
}
