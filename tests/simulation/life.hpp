#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "files/file_system.hpp"
#include "http/http_client.hpp"
#include "sluice/clock.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::simulation {

/// A rule that did not hold.
struct violation {
  std::string rule;    ///< its name
  std::string detail;  ///< what was seen instead
};

/// Puts something else between the engine and the world, to break it on purpose. What is unset
/// stays as it is.
struct breakage {
  template <typename Part>
  using wrapper = std::function<std::unique_ptr<Part>(Part&)>;
  wrapper<file_system> files = {};
  wrapper<http_client> client = {};
  wrapper<result_sink> sink = {};
  wrapper<request_source> source = {};
  wrapper<clock> time = {};
  /// Called between two processes with the folder of the windows that they share.
  std::function<void(const std::string& limits)> between = {};
};

/// What came of one seed.
struct life_story {
  std::uint64_t seed = 0;
  std::vector<violation> violations;  ///< empty: all is well
  std::uint64_t digest = 0;           ///< of all that happened
  std::vector<std::string> events;    ///< the same to read, where it was asked for
  std::size_t processes = 0;
  std::size_t attempts = 0;
  double seconds = 0;  ///< of virtual time
};

/// Lives the scenario of the seed through and holds the rules against it. `folder`: for the job
/// files, of this call's own.
life_story live(std::uint64_t seed, const std::string& folder, bool keep_events = false,
                const breakage& broken = {});

}  // namespace sluice::simulation
