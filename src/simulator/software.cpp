#include "simulator/software.hpp"

namespace sluice::simulator {

std::optional<software> parse_software(std::string_view name) {
  if (name == "new-api") return software::new_api;
  if (name == "old-new-api") return software::old_new_api;
  if (name == "one-api") return software::one_api;
  if (name == "openai") return software::openai;
  if (name == "api2gpt") return software::api2gpt;
  return std::nullopt;
}

}  // namespace sluice::simulator
