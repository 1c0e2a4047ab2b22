#include "simulator/fault_plan.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <stdexcept>

#include "simulator/random.hpp"

namespace sluice::simulator {
namespace {

constexpr std::array<std::string_view, fault_kinds> fault_names{"none",
                                                                "429",
                                                                "429-hint",
                                                                "500",
                                                                "502",
                                                                "reset",
                                                                "reset-late",
                                                                "stall",
                                                                "cut",
                                                                "error-in-200",
                                                                "html-200",
                                                                "no-usage",
                                                                "ragged",
                                                                "429-reset",
                                                                "no-channel",
                                                                "no-price",
                                                                "model-denied",
                                                                "key-spent",
                                                                "quota",
                                                                "quota-in-words",
                                                                "no-model",
                                                                "too-large",
                                                                "tier-full",
                                                                "no-stream",
                                                                "hang",
                                                                "error-mid-stream",
                                                                "no-finish",
                                                                "broken-off",
                                                                "filtered",
                                                                "json-for-stream",
                                                                "stream-for-json",
                                                                "crlf",
                                                                "cr",
                                                                "keep-alives",
                                                                "no-done",
                                                                "held-open",
                                                                "early-head",
                                                                "usage-on-last",
                                                                "usage-on-every",
                                                                "usage-dialect",
                                                                "content-parts",
                                                                "null-finish",
                                                                "malformed"};

double& of(fault_profile& profile, fault_kind kind) {
  return profile.probability[static_cast<std::size_t>(kind)];
}

/// The profile `faulty`: about one attempt in five fails. Faults after billing are the most likely,
/// because these are the ones that clients count wrong. A stall costs the client an idle timeout,
/// so it is rare.
fault_profile some_of_most() {
  fault_profile profile;
  of(profile, fault_kind::refused_429) = 0.015;
  of(profile, fault_kind::refused_429_hint) = 0.01;
  of(profile, fault_kind::error_500) = 0.015;
  of(profile, fault_kind::error_502) = 0.01;
  of(profile, fault_kind::reset) = 0.015;
  of(profile, fault_kind::reset_late) = 0.03;
  of(profile, fault_kind::stall) = 0.003;
  of(profile, fault_kind::cut) = 0.07;
  of(profile, fault_kind::error_in_200) = 0.02;
  of(profile, fault_kind::html_200) = 0.005;
  of(profile, fault_kind::ragged) = 0.02;
  profile.longest_run = 3;
  return profile;
}

fault_kind draw_independent(const fault_profile& profile, std::uint64_t digest, int attempt) {
  double point = random(mix(digest, static_cast<std::uint64_t>(attempt))).unit();
  for (std::size_t kind = 1; kind < fault_kinds; ++kind) {
    if (point < profile.probability[kind]) return static_cast<fault_kind>(kind);
    point -= profile.probability[kind];
  }
  return fault_kind::none;
}

}  // namespace

std::string_view name_of(fault_kind kind) {
  return fault_names[static_cast<std::size_t>(kind)];
}

bool fault_profile::any() const {
  return std::any_of(probability.begin(), probability.end(), [](double p) { return p > 0; });
}

fault_profile parse_fault_profile(std::string_view text) {
  if (text == "none" || text == "clean" || text == "slow") return {};
  if (text == "faulty") return some_of_most();

  fault_profile profile;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);

    const auto equals = item.find('=');
    const auto kind = item.substr(0, equals);
    const auto* const name = std::find(fault_names.begin() + 1, fault_names.end(), kind);
    if (name == fault_names.end())
      throw std::invalid_argument(
          fmt::format("unknown fault '{}'; use none, faulty, slow or a list KIND=PROBABILITY,... "
                      "with the kinds {}",
                      kind, fmt::join(fault_names.begin() + 1, fault_names.end(), ", ")));
    const auto number =
        equals == std::string_view::npos ? std::string_view{} : item.substr(equals + 1);
    double probability = 0;
    const auto* const end = number.data() + number.size();
    const auto [stop, error] = std::from_chars(number.data(), end, probability);
    if (error != std::errc{} || stop != end || !(probability >= 0 && probability <= 1))
      throw std::invalid_argument(
          fmt::format("the fault '{}' needs a probability from 0 to 1, as in {}=0.05", item, kind));
    profile.probability[static_cast<std::size_t>(name - fault_names.begin())] = probability;
  }
  if (!profile.any() && text.find('=') == std::string_view::npos)
    throw std::invalid_argument("the fault profile is empty; use none for no faults");
  if (std::accumulate(profile.probability.begin(), profile.probability.end(), 0.0) > 1.0 + 1e-9)
    throw std::invalid_argument(
        fmt::format("the probabilities of '{}' add up to more than 1", text));
  return profile;
}

fault_kind draw_fault(const fault_profile& profile, std::uint64_t digest, int attempt) {
  const auto kind = draw_independent(profile, digest, attempt);
  if (kind == fault_kind::none || profile.longest_run == 0 || attempt <= profile.longest_run)
    return kind;
  for (int before = attempt - profile.longest_run; before < attempt; ++before)
    if (draw_independent(profile, digest, before) == fault_kind::none) return kind;
  return fault_kind::none;
}

fault_kind fault_plan::next(std::uint64_t digest, std::string_view key) {
  if (!profile_.any()) return fault_kind::none;
  const auto name = key.empty() ? digest : XXH3_64bits_withSeed(key.data(), key.size(), digest);
  const auto [place, is_new] = requests_.try_emplace(name);
  auto& request = place->second;
  if (is_new) {
    const auto earlier_keys = key.empty() ? 0 : keys_[digest]++;
    request.seed = earlier_keys == 0 ? digest : mix(digest, earlier_keys);
  }
  return draw_fault(profile_, request.seed, ++request.attempts);
}

}  // namespace sluice::simulator
