#include "relay_window.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/algorithm/string/predicate.hpp>
#include <string_view>
#include <utility>

#include "base_url.hpp"

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

std::unique_ptr<limit_store> window_opener::open(const std::string& name) {
  if (pace_.limit_folder.empty()) return nullptr;
  return std::make_unique<limit_store>(
      fmt::format("{}/{}", pace_.limit_folder, name), current_boot(), pace_.window_margin,
      [warned = warned_](const std::string& why) {
        if (std::exchange(*warned, true)) return;
        spdlog::warn("the limit is not shared with other runs ({})", why);
      });
}

}  // namespace sluice
