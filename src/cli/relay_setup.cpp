#include "cli/relay_setup.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "base_url.hpp"
#include "proxy.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

void find_proxy(relay_options& relay) {
  relay.proxy = proxy_from_environment(base_url::parse(relay.base_url), std::getenv);
}

}  // namespace

std::unique_ptr<simulator::relay> start_simulator(run_settings& chosen,
                                                  std::optional<simulator::usd> balance) {
  try {
    auto options = simulator::profile_options(*chosen.simulate);
    options.rpm = static_cast<int>(chosen.engine.pace.requests_per_minute);
    options.seed = chosen.engine.pace.seed != 0 ? chosen.engine.pace.seed : 1;
    options.balance = balance;
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

void require_keys(run_settings& chosen) {
  read_pool_keys(chosen);
  const auto members = chosen.engine.relays();
  const bool keyless = std::any_of(members.begin(), members.end(),
                                   [](const auto& member) { return member.relay.api_key.empty(); });
  if (!keyless) return;
  refuse(
      "there is no API key; set OPENAI_API_KEY, or name a file with --api-key-file (or rehearse "
      "with --simulate)");
}

void find_proxies(config& options) {
  if (options.pool.empty()) find_proxy(options.relay);
  for (auto& member : options.pool) find_proxy(member.relay);
}

void warn_of_exposed_keys(const config& options) {
  std::set<std::string> in_the_clear;
  for (const auto& member : options.relays()) {
    const auto url = base_url::parse(member.relay.base_url);
    if (url.in_the_clear() && in_the_clear.insert(url.authority()).second) {
      spdlog::warn(
          "the key travels in the clear to {}, for whoever stands between to read; write https:// "
          "in --base-url if the relay speaks it",
          url.authority());
    }
    if (!url.tls || !member.relay.insecure) continue;
    spdlog::warn(
        "--insecure: the certificate of {} is not checked; whoever stands between can read the key",
        url.authority());
  }
}

void share_limit(pace_options& pace) {
  const auto under = [](const char* variable, const char* rest) {
    const char* root = std::getenv(variable);
    return root == nullptr || *root != '/' ? std::string() : fmt::format("{}{}/limits", root, rest);
  };
  pace.limit_folder = under("XDG_STATE_HOME", "/sluice");
  if (pace.limit_folder.empty()) pace.limit_folder = under("HOME", "/.local/state/sluice");
  if (pace.limit_folder.empty()) {
    spdlog::warn("the limit is not shared with other runs (there is no HOME to keep it in)");
  }
}

relay_prices load_prices(const config& options) {
  auto prices = price_table::built_in();
  for (const auto& path : options.price_files) {
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file || text.bad()) {
      refuse(fmt::format("--prices {}: cannot be read; check the path", path));
    }
    prices.merge(text.str(), "--prices " + path);
  }
  const auto times = [&prices](const std::string& factor) {
    price_table product = prices;
    product.multiply(factor);
    return product;
  };
  relay_prices all(times(options.price_multiplier));
  for (const auto& member : options.pool) {
    if (member.price_multiplier) all.set(member.name, times(*member.price_multiplier));
  }
  return all;
}

}  // namespace sluice::cli
