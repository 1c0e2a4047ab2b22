#include "cli/settings/relay_setup.hpp"

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
#include <vector>

#include "cli/settings/price_lists.hpp"
#include "http/base_url.hpp"
#include "http/proxy.hpp"
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

std::uint64_t requests_a_minute(const config& options) {
  std::uint64_t sum = 0;
  for (const auto& member : options.relays()) {
    const auto limit = member.requests_per_minute.value_or(options.pace.requests_per_minute);
    if (limit == 0) return 0;
    sum += limit;
  }
  return sum;
}

std::string name_of(const relay_member& member) {
  const std::string origin = base_url::parse(member.relay.base_url).origin();
  return member.name.empty() ? origin : fmt::format("{} ({})", member.name, origin);
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

namespace {

// Prices laid over others. Nothing: those that the relay tells.
using layer = std::optional<price_table>;

std::vector<layer> read_layers(const config& options) {
  std::vector<layer> layers{price_table::built_in()};
  for (const auto& path : options.price_files) {
    if (path == prices_of_relay) {
      layers.emplace_back();
      continue;
    }
    const std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file || text.bad()) {
      refuse(fmt::format("--prices {}: cannot be read; check the path", path));
    }
    layers.emplace_back(std::in_place)->merge(text.str(), "--prices " + path);
  }
  return layers;
}

price_table laid(const std::vector<layer>& layers, const std::string& factor,
                 const price_table& told) {
  price_table all;
  for (const auto& one : layers) {
    price_table over = one ? *one : told;
    if (one) over.multiply(factor);
    all.merge(over);
  }
  return all;
}

void note_renamed(const relay_member& member, relay_prices& prices) {
  for (const auto& [model, served] : member.models) {
    if (served != model) prices.set_renamed(model);
  }
}

price_table told_by(const relay_member& member, const std::string& group) {
  auto answer = ask_price_list(member, group);
  if (!answer.told) {
    refuse(
        fmt::format("--prices relay: {} {}; give a file of prices instead, or a --price-group "
                    "that it lists",
                    name_of(member), answer.why_not));
  }
  const std::string without = left_out_of(answer.told->left_out);
  if (!without.empty()) {
    spdlog::warn("{}: models of its price list without a price by the token: {}", name_of(member),
                 without);
  }
  return std::move(answer.told->prices);
}

}  // namespace

bool asks_for_prices(const run_settings& chosen) {
  const auto& files = chosen.engine.price_files;
  return std::find(files.begin(), files.end(), prices_of_relay) != files.end();
}

relay_prices load_prices(const run_settings& chosen) {
  const config& options = chosen.engine;
  const auto layers = read_layers(options);
  const bool asks = asks_for_prices(chosen);
  const auto members = options.relays();
  const auto prices_of = [&](const relay_member& member) {
    return laid(layers, member.price_multiplier.value_or(options.price_multiplier),
                asks ? told_by(member, chosen.price_group) : price_table());
  };
  if (options.pool.empty()) return prices_of(members.front());
  if (!asks) {
    relay_prices all(laid(layers, options.price_multiplier, {}));
    for (const auto& member : members) {
      if (member.price_multiplier) all.set(member.name, prices_of(member));
      note_renamed(member, all);
    }
    return all;
  }
  std::vector<price_table> tables;
  tables.reserve(members.size());
  for (const auto& member : members) tables.push_back(prices_of(member));
  relay_prices all(tables.front());  // what no relay is named for goes by one that is there
  for (std::size_t i = 0; i < members.size(); ++i) {
    all.set(members[i].name, std::move(tables[i]));
    note_renamed(members[i], all);
  }
  return all;
}

relay_prices load_prices(const run_settings& chosen, const relay_member& member,
                         const price_table& told) {
  auto layers = read_layers(chosen.engine);
  layers.emplace_back();
  const std::string& factor =
      member.price_multiplier ? *member.price_multiplier : chosen.engine.price_multiplier;
  price_table table = laid(layers, factor, told);
  relay_prices all(table);
  all.set(member.name, std::move(table));
  return all;
}

}  // namespace sluice::cli
