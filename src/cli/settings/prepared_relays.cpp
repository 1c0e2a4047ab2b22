#include "cli/settings/prepared_relays.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <set>
#include <utility>

#include "base/translated_error.hpp"
#include "cli/screen/heading.hpp"
#include "cli/settings/price_lists.hpp"
#include "http/base_url.hpp"
#include "http/proxy.hpp"
#include "settings/suggestion.hpp"

namespace sluice::cli {
namespace {

// Starts the simulator inside this process and points the settings at it.
std::unique_ptr<simulator::relay> start_simulator(run_settings& chosen, const relay_needs& needs) {
  try {
    auto options = simulator::profile_options(*chosen.simulate);
    options.rpm = static_cast<int>(chosen.engine.pace.requests_per_minute);
    options.seed = chosen.engine.pace.seed != 0 ? chosen.engine.pace.seed : 1;
    options.balance = needs.simulated_balance;
    options.cache = needs.simulated_cache;
    auto relay = std::make_unique<simulator::relay>(std::move(options));
    relay->start();
    chosen.engine.pool.clear();
    chosen.engine.relay.base_url = relay->base_url();
    chosen.engine.relay.api_key = "sk-simulated-relay";
    return relay;
  } catch (const std::exception& fault) {
    refuse(fmt::format("--simulate={}: {}", *chosen.simulate, fault.what()));
  }
}

// Removes all members of the pool except the named one, and their keys with them.
void keep_only(const std::string& name, run_settings& run) {
  auto& pool = run.engine.pool;
  std::vector<std::string> names;
  names.reserve(pool.size());
  for (const auto& member : pool) names.push_back(member.name);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    refuse(fmt::format("--relay {}: the config file has no [[relay]] of that name{}{}", name,
                       names.empty() ? ", or an address replaces them" : "",
                       did_you_mean(name, names)));
  }
  for (std::size_t i = pool.size(); i-- > 0;) {
    if (pool[i].name == name) continue;
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(i));
    run.pool_keys.erase(run.pool_keys.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

// Servers on this machine, such as vLLM and Ollama, usually accept requests without a key.
bool needs_key(const relay_options& relay) {
  return relay.api_key.empty() && !is_loopback(base_url::parse(relay.base_url).host);
}

void read_keys(run_settings& chosen) {
  read_pool_keys(chosen);
  const auto members = chosen.engine.relays();
  const bool keyless = std::any_of(members.begin(), members.end(),
                                   [](const auto& member) { return needs_key(member.relay); });
  if (!keyless) return;
  refuse(
      worded("there is no API key; set OPENAI_API_KEY, or name a file with --api-key-file (or "
             "rehearse with --simulate)"));
}

void find_proxy(relay_options& relay) {
  relay.proxy = proxy_from_environment(base_url::parse(relay.base_url), std::getenv);
}

void find_proxies(config& options) {
  if (options.pool.empty()) find_proxy(options.relay);
  for (auto& member : options.pool) find_proxy(member.relay);
}

// Sets the folder in which all runs of this user count their requests together.
void share_window(pace_options& pace) {
  const auto under = [](const char* variable, const char* rest) {
    const char* root = std::getenv(variable);
    return root == nullptr || *root != '/' ? std::string() : fmt::format("{}{}/limits", root, rest);
  };
  pace.limit_folder = under("XDG_STATE_HOME", "/sluice");
  if (pace.limit_folder.empty()) pace.limit_folder = under("HOME", "/.local/state/sluice");
  if (pace.limit_folder.empty()) {
    spdlog::warn("the limit is not shared with other runs; set HOME to a folder for it");
  }
}

void warn_about_exposed_keys(const std::vector<relay_member>& members) {
  std::set<std::string> in_the_clear;
  for (const auto& member : members) {
    const auto url = base_url::parse(member.relay.base_url);
    if (url.in_the_clear() && in_the_clear.insert(url.authority()).second) {
      spdlog::warn(
          "the key goes unencrypted to {}, and others on the network can read it; write "
          "https:// in --base-url if the relay supports it",
          url.authority());
    }
    if (!url.tls || !member.relay.insecure) continue;
    spdlog::warn(
        "--insecure: the certificate of {} is not checked, and others on the network can read the "
        "key",
        url.authority());
  }
}

}  // namespace

prepared_relays::prepared_relays(run_settings& chosen, screen& shown, const relay_needs& needs)
    : chosen_(chosen), screen_(shown) {
  config& engine = chosen.engine;
  const bool unused = needs.use == relay_use::price_lists && !asks_for_prices(chosen);
  if (unused) {
    engine.relay = {};  // then its settings need not be valid
    if (needs.check_all) engine.check();
    return;
  }
  if (chosen.simulate && needs.use != relay_use::price_lists) {
    simulator_ = start_simulator(chosen, needs);
  }
  if (!chosen.only_relay.empty() && !simulated()) keep_only(chosen.only_relay, chosen);
  if (!simulated()) {
    for (const auto& sentence : chosen.overruled) spdlog::info("{}", sentence);
  }
  if (!simulated()) read_keys(chosen);
  if (needs.check_all) {
    engine.check();
  } else {
    engine.check_relays();
  }
  const bool config_named_them = !chosen.config_file.empty();
  if (needs.use != relay_use::ask || config_named_them) shown.heading(heading(chosen, simulated()));
  if (needs.use == relay_use::ask) show_hosts();
  if (!simulated()) find_proxies(engine);
  if (!simulated() && needs.use == relay_use::send) share_window(engine.pace);
  members_ = engine.relays();
  warn_about_exposed_keys(members_);
}

relay_prices prepared_relays::prices() {
  if (asks_for_prices(chosen_)) show_hosts();
  return load_prices(chosen_);
}

void prepared_relays::show_hosts() {
  if (!chosen_.config_file.empty()) screen_.show_heading();
}

}  // namespace sluice::cli
