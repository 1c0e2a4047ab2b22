#include "cli/settings/limit_reload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"

namespace sluice::cli {
namespace {

std::string shown_limit(std::uint64_t limit) {
  return limit == 0 ? "none" : std::to_string(limit);
}

void add_change(std::string& text, const std::string& name, std::uint64_t before,
                std::uint64_t after) {
  if (before == after) return;
  text += fmt::format("{}{} {} -> {}", text.empty() ? "" : ", ", name, shown_limit(before),
                      shown_limit(after));
}

// Gives the settings their first values, applies everything again, and restores the old values.
run_settings read_anew(const settings& flags, run_settings& target) {
  run_settings kept = std::exchange(target, run_settings{});
  try {
    read_settings(flags, target);
  } catch (...) {
    target = std::move(kept);
    throw;
  }
  return std::exchange(target, std::move(kept));
}

}  // namespace

reread_limits read_limits_again(const settings& flags, run_settings& target,
                                const std::vector<relay_member>& relays) {
  const std::string& config = target.config_file;
  std::error_code unreadable;
  if (std::filesystem::exists(config, unreadable) &&
      !std::filesystem::is_regular_file(config, unreadable)) {
    refuse(fmt::format("{}: is not a regular file, so it cannot be read again", config));
  }
  const run_settings fresh = read_anew(flags, target);
  const pace_options& pace = fresh.engine.pace;
  reread_limits read{.limits = {.requests_per_minute = {},
                                .tokens_per_minute = pace.tokens_per_minute,
                                .concurrency = pace.concurrency},
                     .notes = {}};
  for (const char* name : {"rpm", "tpm", "concurrency"}) {
    if (!flags.on_line(name)) continue;
    read.notes.push_back(fmt::format("--{} {} of the command line wins over the config", name,
                                     flags.line_value(name)));
  }
  for (const auto& member : relays) {
    std::optional<unsigned> own = member.requests_per_minute;
    if (!member.name.empty()) {
      const auto& pool = fresh.engine.pool;
      const auto found = std::find_if(pool.begin(), pool.end(),
                                      [&](const auto& one) { return one.name == member.name; });
      if (found != pool.end()) {
        own = found->requests_per_minute;
      } else {
        read.notes.push_back(fmt::format("the config has no relay {} any more; it stays in use",
                                         printable_text(member.name)));
      }
    }
    read.limits.requests_per_minute.push_back(own.value_or(pace.requests_per_minute));
  }
  return read;
}

std::string change_of_limits(const live_limits& before, const live_limits& after,
                             const std::vector<relay_member>& relays) {
  std::string text;
  for (std::size_t i = 0; i < relays.size(); ++i) {
    const std::string& name = relays[i].name;
    add_change(text, name.empty() ? "rpm" : "rpm of " + printable_text(name),
               before.requests_per_minute.at(i), after.requests_per_minute.at(i));
  }
  add_change(text, "tpm", before.tokens_per_minute, after.tokens_per_minute);
  add_change(text, "concurrency", before.concurrency, after.concurrency);
  return text;
}

}  // namespace sluice::cli
