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

class observer_of_all final : public observer {
 public:
  void on_notice(const notice& said) override {
    const auto level = level_of(said.level);
    if (said.run.empty()) {
      spdlog::log(level, "{}", said.text);
    } else {
      spdlog::log(level, "{}: {}", said.run, said.text);
    }
  }
  bool wants(severity level) const override { return spdlog::should_log(level_of(level)); }
};

}  // namespace

observer& log_observer() {
  static observer_of_all one;
  return one;
}

}  // namespace sluice::cli
