#include "upstream/shared_window.hpp"

#include <fmt/format.h>

#include <boost/algorithm/string/predicate.hpp>
#include <string_view>
#include <utility>

#include "base/printable.hpp"
#include "http/base_url.hpp"

namespace sluice {
namespace {

// What the relay bills: a header may stand in the place of the key, or hold it.
std::string key_of(const relay_options& relay) {
  constexpr std::string_view scheme = "Bearer ";
  for (const auto& [name, value] : relay.headers) {
    if (!boost::algorithm::iequals(name, "Authorization")) continue;
    return boost::algorithm::istarts_with(value, scheme) ? value.substr(scheme.size()) : value;
  }
  return relay.api_key;
}

}  // namespace

std::string window_name(const relay_options& relay) {
  return limit_file_name(base_url::parse(relay.base_url).origin(), key_of(relay));
}

std::string told_of(const std::optional<lock_holder>& who) {
  if (!who) {
    return "another process holds the window of the limit; nothing starts until it lets go";
  }
  const std::string process = fmt::format("process {} ({}) holds the window of the limit",
                                          who->process, printable_text(who->name));
  if (!who->stopped) return process + "; nothing starts until it lets go or ends";
  return fmt::format("{} and is stopped; nothing starts until it goes on (kill -CONT {}) or ends",
                     process, who->process);
}

std::unique_ptr<limit_store> window_opener::open(const std::string& name) {
  if (pace_.limit_folder.empty()) return nullptr;
  const auto say = [seen_by = observer_](severity level, const std::string& sentence) {
    if (seen_by != nullptr) seen_by->on_notice({level, {}, sentence});
  };
  limit_store::reports tell;
  tell.not_shared = [say, warned = warned_](const std::string& why) {
    if (std::exchange(*warned, true)) return;
    say(severity::warning, fmt::format("the limit is not shared with other runs ({})", why));
  };
  tell.held_up = [say](const std::optional<lock_holder>& who) {
    say(severity::warning, told_of(who));
  };
  tell.other_machine = [say, told = told_other_machine_, folder = pace_.limit_folder] {
    if (std::exchange(*told, true)) return;
    say(severity::info,
        fmt::format("another machine that shares {} uses this relay and key, too; each keeps a "
                    "limit of its own, so give each its share with --rpm",
                    folder));
  };
  return std::make_unique<limit_store>(fmt::format("{}/{}", pace_.limit_folder, name),
                                       current_host(), pace_.window_margin, std::move(tell));
}

}  // namespace sluice
