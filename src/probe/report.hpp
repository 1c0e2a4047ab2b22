#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/money.hpp"

namespace sluice::probe {

/// How much a failed check counts against the relay.
enum class weight : std::uint8_t {
  strong,      ///< almost always means that the relay does not serve or bill what it sells
  medium,      ///< an honest relay may have a reason for it
  capability,  ///< the relay lacks a feature, which does not prove that it serves another model
  advisory,    ///< counts for nothing
};

enum class check_result : std::uint8_t { pass, fail, skip };

std::string_view to_string(check_result result) noexcept;

/// The description of a check, shown in the help and in each result.
struct check_kind {
  std::string_view name;
  weight counts = weight::strong;
  std::string_view proves;  ///< what a failure shows
  std::string_view cannot;  ///< why the check may be wrong or incomplete
};

struct check {
  const check_kind* kind = nullptr;
  check_result result = check_result::skip;
  std::string evidence;
};

check judged(const check_kind& kind, bool good, std::string evidence);
check skip(const check_kind& kind, std::string why);

/// `suspicious`: a check failed, but an honest relay may have a reason for it. `inconclusive`: too
/// few checks were possible.
enum class verdict : std::uint8_t { consistent, suspicious, inconsistent, inconclusive };

std::string_view to_string(verdict verdict) noexcept;

struct report {
  std::vector<check> checks;
  verdict told = verdict::inconclusive;
};

verdict verdict_of(const std::vector<check>& checks);

}  // namespace sluice::probe
