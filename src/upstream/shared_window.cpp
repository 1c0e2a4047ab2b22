#include "upstream/shared_window.hpp"

#include <fmt/format.h>

#include <boost/algorithm/string/predicate.hpp>
#include <string_view>
#include <utility>

#include "base/printable.hpp"
#include "http/base_url.hpp"

namespace sluice {
namespace {

// The key that the relay bills. It may also be in an Authorization header.
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

std::string lock_warning(const std::optional<lock_holder>& who) {
  if (!who) {
    return "another process has locked the shared rate limit; no request starts until it "
           "releases the lock";
  }
  const std::string process = fmt::format("process {} ({}) has locked the shared rate limit",
                                          who->process, printable_text(who->name));
  if (!who->stopped) return process + "; no request starts until it releases the lock or ends";
  return fmt::format(
      "{} and is stopped; no request starts until it continues (kill -CONT {}) or ends", process,
      who->process);
}

std::unique_ptr<limit_store> window_opener::open(const std::string& name) {
  if (pace_.limit_folder.empty()) return nullptr;
  const auto say = [listener = observer_](severity level, const std::string& sentence) {
    if (listener != nullptr) listener->on_notice({level, {}, sentence});
  };
  limit_store::reports reports;
  reports.not_shared = [say, warned = warned_](const std::string& why) {
    if (std::exchange(*warned, true)) return;
    say(severity::warning, fmt::format("the limit is not shared with other runs ({})", why));
  };
  reports.held_up = [say](const std::optional<lock_holder>& who) {
    say(severity::warning, lock_warning(who));
  };
  reports.other_machine = [say, warned = warned_other_machine_, folder = pace_.limit_folder] {
    if (std::exchange(*warned, true)) return;
    say(severity::info,
        fmt::format("another machine with the same folder {} uses this relay and key; machines "
                    "share the limit only through --store, so use it, or give each machine its "
                    "part with --rpm",
                    folder));
  };
  return std::make_unique<limit_store>(fmt::format("{}/{}", pace_.limit_folder, name),
                                       current_host(), pace_.window_margin, std::move(reports));
}

}  // namespace sluice
