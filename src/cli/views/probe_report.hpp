#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "probe/report.hpp"
#include "sluice/money.hpp"

namespace sluice::cli {

/// What a probe is told to a person by.
struct probe_facts {
  std::string model;
  std::string relay;
  std::uint64_t requests = 0;  ///< every attempt
  usd cost;
};

/// The document of `probe --json`.
nlohmann::ordered_json probe_document(const probe::report& told, const probe_facts& facts);
/// The same as lines that a person reads, as they may be shown.
std::string probe_lines(const probe::report& told, const probe_facts& facts);
/// For the help: each check, what it proves and what it cannot.
std::string probe_checks_help();

}  // namespace sluice::cli
