#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "probe/report.hpp"
#include "sluice/clock.hpp"
#include "sluice/money.hpp"
#include "views/fitted_line.hpp"
#include "views/wait_text.hpp"

namespace sluice::cli {

/// Facts about a probe, in addition to its checks.
struct probe_facts {
  std::string model;
  std::string relay;
  std::uint64_t requests = 0;  ///< number of all attempts
  usd cost;
};

/// The current state of a probe.
struct probe_status {
  std::string_view doing;  ///< what it does in addition to sending requests; empty: nothing
  std::size_t ended = 0;   ///< requests that have their result
  std::size_t all = 0;
  std::size_t in_flight = 0;
  usd cost;
  std::optional<start_wait> wait;  ///< set while requests wait for the limit or a pause
};

/// The document of `probe --json`.
nlohmann::ordered_json probe_document(const probe::report& told, const probe_facts& facts);
/// The same as lines for a person, safe to show on a terminal.
std::string probe_lines(const probe::report& told, const probe_facts& facts);
/// The progress as one line.
std::string probe_progress(const probe_status& now, const line_form& form = {});
/// For the help: each check, what it proves and what it cannot prove.
std::string probe_checks_help();

}  // namespace sluice::cli
