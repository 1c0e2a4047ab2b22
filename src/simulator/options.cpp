#include "simulator/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace sluice::simulator {

std::optional<prompt_cache> parse_prompt_cache(std::string_view text) {
  if (text == "by-text") return prompt_cache::by_text;
  if (text == "memory") return prompt_cache::memory;
  if (text == "none") return prompt_cache::none;
  return std::nullopt;
}

options profile_options(std::string_view profile) {
  using namespace std::chrono_literals;
  if (profile != "clean" && profile != "faulty" && profile != "slow")
    throw std::invalid_argument(
        fmt::format("unknown simulation '{}'; use clean, faulty or slow", profile));
  options result;
  result.ttft = profile == "slow" ? 2s : 150ms;
  result.itl = profile == "slow" ? 20ms : 5ms;
  result.faults = parse_fault_profile(profile);
  return result;
}

std::vector<key> read_keys(const std::filesystem::path& file, const options& defaults) {
  std::ifstream in(file);
  if (!in)
    throw std::runtime_error(
        fmt::format("cannot read the keys file {}: it must be a text file with one key per line",
                    file.string()));
  std::vector<key> keys;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (number == 1 && line.starts_with(byte_order_mark)) line.erase(0, byte_order_mark.size());
    std::istringstream words(line);
    key entry{{}, defaults.rpm, defaults.balance};
    if (!(words >> entry.secret) || entry.secret.front() == '#') continue;
    std::string rpm;
    std::string balance;
    std::string rest;
    words >> rpm >> balance >> rest;
    if (!rpm.empty()) {
      const auto* const end = rpm.data() + rpm.size();
      const auto [stop, error] = std::from_chars(rpm.data(), end, entry.rpm);
      if (error != std::errc{} || stop != end || entry.rpm < 0) rest = rpm;
    }
    if (!balance.empty()) {
      entry.balance = usd::parse(balance);
      if (!entry.balance) rest = balance;
    }
    if (!rest.empty())
      throw std::runtime_error(
          fmt::format("line {} of the keys file {} does not have the form KEY [RPM [BALANCE]]",
                      number, file.string()));
    if (std::any_of(keys.begin(), keys.end(),
                    [&](const key& other) { return other.secret == entry.secret; }))
      throw std::runtime_error(
          fmt::format("line {} of the keys file {} repeats a key", number, file.string()));
    keys.push_back(std::move(entry));
  }
  if (keys.empty())
    throw std::runtime_error(
        fmt::format("the keys file {} contains no key: write one key per line", file.string()));
  return keys;
}

}  // namespace sluice::simulator
