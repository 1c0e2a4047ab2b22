#include "cli/screen/heading.hpp"

#include <fmt/format.h>

#include "http/base_url.hpp"
#include "sluice/prices.hpp"

namespace sluice::cli {

std::string heading(const run_settings& chosen, bool simulated) {
  std::string text;
  if (simulated) {
    text += "simulated relay: no key, no network, no real cost";
  } else {
    const auto members = chosen.engine.relays();
    text += members.size() == 1 ? "relay " : "relays ";
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) text += ", ";
      text += name_of(members[i]);
    }
  }
  text += fmt::format("; prices of {}", price_table::built_in_date());
  if (!chosen.config_file.empty()) text += "; config file " + chosen.config_file;
  return text;
}

std::string name_of(const relay_member& member) {
  const std::string origin = base_url::parse(member.relay.base_url).origin();
  return member.name.empty() ? origin : fmt::format("{} ({})", member.name, origin);
}

}  // namespace sluice::cli
