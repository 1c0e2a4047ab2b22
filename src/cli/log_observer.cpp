#include "cli/log_observer.hpp"

#include <spdlog/spdlog.h>

namespace sluice::cli {
namespace {

spdlog::level::level_enum level_of(severity level) {
  switch (level) {
    case severity::debug:
      return spdlog::level::debug;
    case severity::info:
      return spdlog::level::info;
    case severity::warning:
      break;
  }
  return spdlog::level::warn;
}

}  // namespace

void log_observer::on_notice(const notice& said) {
  const auto level = level_of(said.level);
  if (said.run.empty()) {
    spdlog::log(level, "{}", said.text);
  } else {
    spdlog::log(level, "{}: {}", said.run, said.text);
  }
}

bool log_observer::wants(severity level) const {
  return spdlog::should_log(level_of(level));
}

}  // namespace sluice::cli
