#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/money.hpp"

namespace sluice::probe {

/// What a check is worth: whether its failing says that the relay does not do what it sells.
enum class weight : std::uint8_t {
  strong,      ///< hardly anything else explains it
  medium,      ///< an honest relay may have a reason
  capability,  ///< the relay lacks something, which is no proof of another model
  advisory,
};

enum class check_result : std::uint8_t { pass, fail, skip };

std::string_view to_string(check_result result) noexcept;

/// What is checked, as the help and every result tell it.
struct check_kind {
  std::string_view name;
  weight counts = weight::strong;
  std::string_view proves;  ///< by failing
  std::string_view cannot;  ///< what it does not show
};

struct check {
  const check_kind* kind = nullptr;
  check_result result = check_result::skip;
  std::string evidence;
};

check judged(const check_kind& kind, bool good, std::string evidence);
check skip(const check_kind& kind, std::string why);

/// `suspicious`: something is wrong that an honest relay might explain. `inconclusive`: too little
/// could be checked.
enum class verdict : std::uint8_t { consistent, suspicious, inconsistent, inconclusive };

std::string_view to_string(verdict told) noexcept;

struct report {
  std::vector<check> checks;
  verdict told = verdict::inconclusive;
};

verdict verdict_of(const std::vector<check>& checks);

}  // namespace sluice::probe
