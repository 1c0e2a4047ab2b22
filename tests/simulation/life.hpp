#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "files/file_system.hpp"
#include "http/http_client.hpp"
#include "scenario.hpp"
#include "sluice/clock.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::simulation {

/// A broken rule.
struct violation {
  std::string rule;    ///< the name of the rule
  std::string detail;  ///< what happened instead
};

/// Wrappers around parts of the engine or its environment, which break them on purpose. An empty
/// wrapper changes nothing.
struct breakage {
  template <typename Part>
  using wrapper = std::function<std::unique_ptr<Part>(Part&)>;
  wrapper<file_system> files = {};
  wrapper<http_client> client = {};
  wrapper<result_sink> sink = {};
  wrapper<request_source> source = {};
  wrapper<clock> time = {};
  /// Called between two processes with the folder of their shared windows.
  std::function<void(const std::string& limits)> between = {};
};

/// The result of one life: of all processes that the scenario of a seed describes.
struct life_story {
  std::uint64_t seed = 0;
  std::vector<violation> violations;  ///< empty if all rules held
  std::uint64_t digest = 0;           ///< a hash of all events
  std::vector<std::string> events;    ///< the events as text, if requested
  std::size_t processes = 0;
  std::size_t attempts = 0;
  double seconds = 0;  ///< virtual time
  usd billed;          ///< the amount that the relay billed
  usd budget;          ///< zero: no budget
};

/// Runs the scenario of a seed from its first process to the last, and checks all rules. `folder`
/// holds the job files; no other call may use it.
life_story live(std::uint64_t seed, const std::string& folder, bool keep_events = false,
                const breakage& broken = {}, theme about = theme::any);

}  // namespace sluice::simulation
