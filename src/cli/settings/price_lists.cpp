#include "cli/settings/price_lists.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/refuse.hpp"
#include "cli/blocking_client.hpp"
#include "cli/log_observer.hpp"
#include "cli/screen/heading.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

// The command waits for the answer.
constexpr std::chrono::seconds longest_wait{30};

// Also adds the prices under the names that the jobs use for the models.
void name_as_jobs_do(price_table& prices, const relay_member& member) {
  for (const auto& [here, there] : member.models) {
    if (const model_prices* found = prices.listed(there)) {
      const model_prices price = *found;
      prices.set(here, price);
    }
  }
}

asio::awaitable<void> ask(http_client& client, const relay_options& relay, const std::string& group,
                          pricing_answer& answer) {
  answer = co_await ask_pricing(client, relay, group, &log_observer());
}

}  // namespace

pricing_answer ask_price_list(const relay_member& member, const std::string& group) {
  relay_options relay = member.relay;
  relay.total_timeout = std::min<duration>(relay.total_timeout, longest_wait);
  blocking_client asking(relay);
  pricing_answer answer;
  asking.run(ask(asking.client(), relay, group, answer));
  if (answer.told) name_as_jobs_do(answer.told->prices, member);
  return answer;
}

namespace {

// Counts the models of a list that have no price per token: "2 billed per call, 1 by tiers".
std::string left_out_of(const models_left_out& left_out) {
  std::string words;
  const auto add = [&words](std::size_t count, std::string_view why) {
    if (count == 0) return;
    words += fmt::format("{}{} {}", words.empty() ? "" : ", ", count, why);
  };
  add(left_out.per_call, "billed per call");
  add(left_out.by_expression, "by tiers or a formula");
  add(left_out.not_offered, "of other groups");
  add(left_out.unreadable, "without a ratio that can be read");
  return words;
}

// A table of prices that replaces the prices before it; nullopt: the price list of the relay.
using layer = std::optional<price_table>;

std::vector<layer> read_layers(const config& options) {
  std::vector<layer> layers;
  layers.emplace_back(price_table::built_in());
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

// All layers as one table. `factor` multiplies those that are not the relay's own list.
price_table merge_layers(std::vector<layer> layers, const std::string& factor,
                         const price_table& own_list) {
  price_table all;
  for (auto& one : layers) {
    if (!one) {
      all.merge(own_list);
      continue;
    }
    one->multiply(factor);
    all.merge(*std::move(one));
  }
  return all;
}

// Tells the prices which models have another name at the relay.
void note_renamed(const relay_member& member, relay_prices& prices) {
  for (const auto& [model, served] : member.models) {
    if (served != model) prices.set_renamed(model);
  }
}

price_table price_list_of(const relay_member& member, const std::string& group) {
  auto answer = ask_price_list(member, group);
  if (!answer.told) {
    refuse(
        fmt::format("--prices relay: {} {}; give a file of prices instead, or a --price-group "
                    "that it lists",
                    name_of(member), answer.why_not));
  }
  const std::string without = left_out_of(answer.told->left_out);
  if (!without.empty()) {
    spdlog::warn("{}: its price list has models without a price by the token: {}", name_of(member),
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
  auto layers = read_layers(options);
  const bool asks = asks_for_prices(chosen);
  const auto members = options.relays();
  const auto prices_of = [&](const relay_member& member, std::vector<layer> with) {
    return merge_layers(std::move(with), member.price_multiplier.value_or(options.price_multiplier),
                        asks ? price_list_of(member, chosen.price_group) : price_table());
  };
  if (options.pool.empty()) return prices_of(members.front(), std::move(layers));
  if (!asks) {
    relay_prices all(merge_layers(layers, options.price_multiplier, {}));
    for (const auto& member : members) {
      if (member.price_multiplier) all.set(member.name, prices_of(member, layers));
      note_renamed(member, all);
    }
    return all;
  }
  std::vector<price_table> tables;
  tables.reserve(members.size());
  for (const auto& member : members) tables.push_back(prices_of(member, layers));
  relay_prices all(tables.front());  // used if no relay is named
  for (std::size_t i = 0; i < members.size(); ++i) {
    all.set(members[i].name, std::move(tables[i]));
    note_renamed(members[i], all);
  }
  return all;
}

relay_prices load_prices(const run_settings& chosen, const relay_member& member,
                         const price_table& own_list) {
  auto layers = read_layers(chosen.engine);
  layers.emplace_back();
  const std::string& factor =
      member.price_multiplier ? *member.price_multiplier : chosen.engine.price_multiplier;
  price_table table = merge_layers(std::move(layers), factor, own_list);
  relay_prices all(table);
  all.set(member.name, std::move(table));
  return all;
}

}  // namespace sluice::cli
