#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "probe/report.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

/// The facts of a probe beside its checks.
struct probe_facts {
  std::string model;
  std::string relay;
  std::uint64_t requests = 0;  ///< all attempts
  usd cost;
};

/// The document of `probe --json`.
nlohmann::ordered_json probe_document(const probe::report& told, const probe_facts& facts);
/// The same as lines for a person, safe to show on a terminal.
std::string probe_lines(const probe::report& told, const probe_facts& facts);
/// For the help: each check, what it proves and what it cannot.
std::string probe_checks_help();

}  // namespace sluice::cli
