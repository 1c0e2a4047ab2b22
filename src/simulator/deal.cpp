#include "simulator/deal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <utility>

#include "simulator/model_facts.hpp"
#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

constexpr std::array<std::pair<std::string_view, cheat>, 9> cheat_names{{
    {"none", cheat::none},
    {"substituted", cheat::substituted},
    {"inflated", cheat::inflated},
    {"injected", cheat::injected},
    {"fake-stream", cheat::fake_stream},
    {"mixed", cheat::mixed},
    {"overbilled", cheat::overbilled},
    {"endless", cheat::endless},
    {"cache-kept", cheat::cache_kept},
}};

constexpr std::uint64_t unit = 1000;  // factors are in thousandths

std::uint64_t drawn(std::uint64_t seed, std::uint64_t least, std::uint64_t most) {
  return least + random(mix(seed, 0xdea1)).below(static_cast<std::uint32_t>(most - least + 1));
}

/// `amount` times `factor`, rounded to the nearest whole number and limited to the largest one.
std::uint64_t times(std::uint64_t amount, std::uint64_t factor) {
  constexpr int128 most = std::numeric_limits<std::uint64_t>::max();
  const auto product = (static_cast<int128>(amount) * factor + unit / 2) / unit;
  return static_cast<std::uint64_t>(std::min(product, most));
}

std::string_view cheaper_of_the_other_vocabulary(std::string_view sold) {
  constexpr std::string_view of_o200k = "gpt-4o-mini";
  constexpr std::string_view of_cl100k = "gpt-3.5-turbo";
  if (sold.find("embedding") != std::string_view::npos) return sold;
  return vocabulary_of(sold) == vocabulary::o200k_base ? of_cl100k : of_o200k;
}

}  // namespace

cheat_plan parse_cheat(std::string_view text) {
  const auto mark = std::min(text.find('='), text.size());
  const auto* const found =
      std::find_if(cheat_names.begin(), cheat_names.end(),
                   [&](const auto& name) { return name.first == text.substr(0, mark); });
  cheat_plan plan;
  bool usable = found != cheat_names.end();
  if (usable) plan.how = found->second;
  if (usable && mark < text.size()) {
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + mark + 1, end, plan.share);
    usable = plan.how == cheat::mixed && error == std::errc{} && stop == end && plan.share >= 0 &&
             plan.share <= 1;
  }
  if (!usable)
    throw std::invalid_argument(
        fmt::format("unknown cheat '{}'; use none, substituted, inflated, injected, fake-stream, "
                    "mixed, mixed=SHARE (SHARE from 0 to 1), overbilled, endless or cache-kept",
                    text));
  return plan;
}

missing_features parse_missing_features(std::string_view text) {
  missing_features lacks;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    const auto name = text.substr(begin, end - begin);
    if (name == "logprobs")
      lacks.logprobs = true;
    else if (name == "tools")
      lacks.tools = true;
    else if (name == "json-schema")
      lacks.json_schema = true;
    else
      throw std::invalid_argument(fmt::format(
          "unknown feature '{}'; use logprobs, tools and json-schema, separated by commas", name));
    begin = end + 1;
  }
  return lacks;
}

deal::deal(cheat_plan plan, std::uint64_t seed) : plan_(plan), seed_(seed) {}

std::string_view deal::serving_model(std::string_view sold, std::uint64_t number) const {
  const bool substituted =
      plan_.how == cheat::substituted ||
      (plan_.how == cheat::mixed && random(mix(seed_, number)).unit() < plan_.share);
  return substituted ? cheaper_of_the_other_vocabulary(sold) : sold;
}

std::uint64_t deal::hidden_prompt() const {
  return plan_.how == cheat::injected ? drawn(seed_, 20, 200) : 0;
}

token_usage deal::reported(const token_usage& usage) const {
  if (plan_.how != cheat::inflated) return usage;
  const auto factor = drawn(seed_, 1100, 1500);
  auto more = usage;
  more.prompt = times(usage.prompt, factor);
  more.completion = times(usage.completion, factor);
  return more;
}

price deal::rates(price listed) const {
  if (plan_.how == cheat::cache_kept) listed.cached_input = listed.input;
  return listed;
}

usd deal::charged(usd cost) const {
  if (plan_.how != cheat::overbilled) return cost;
  return {cost.units * static_cast<int128>(drawn(seed_, 1200, 2000)) / static_cast<int128>(unit)};
}

}  // namespace sluice::simulator
