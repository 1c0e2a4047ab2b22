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
  advisory,    ///< does not count
};

/// What a check is about.
enum class subject : std::uint8_t {
  identity,  ///< which model answers
  counts,    ///< the numbers of tokens that are billed
  price,     ///< what these tokens cost
  other,
};

enum class check_result : std::uint8_t { pass, fail, skip };

std::string_view to_string(check_result result) noexcept;

/// The description of a check, shown in the help and in each result.
struct check_kind {
  std::string_view name;
  weight counts = weight::strong;
  subject about = subject::other;
  std::string_view proves;  ///< what a failed check shows
  std::string_view cannot;  ///< why the check may be wrong or incomplete
};

struct check {
  const check_kind* kind = nullptr;
  check_result result = check_result::skip;
  std::string evidence;
  subject about = subject::other;  ///< what this result is about; usually that of its kind
  /// Nearly every model passes this check, so a pass alone does not show that the claimed model
  /// answers.
  bool weak = false;
  std::string leaves_open = {};  ///< a sentence about what this result does not show
};

check judged(const check_kind& kind, bool good, std::string evidence);
check skip(const check_kind& kind, std::string why);

/// `suspicious`: a check failed, but an honest relay may have a reason for it. `inconclusive`: too
/// few checks were possible.
enum class verdict : std::uint8_t { consistent, suspicious, inconsistent, inconclusive };

std::string_view to_string(verdict verdict) noexcept;

/// Whether the claimed model answers. `not_testable`: its vocabulary is not public.
enum class identity_finding : std::uint8_t { fits, wrong, not_testable, not_tested };
/// Whether the bill is right. `counts_right`: the token counts are right, but the price was not
/// tested.
enum class bill_finding : std::uint8_t { right, counts_right, doubtful, wrong, not_tested };

std::string_view to_string(identity_finding finding) noexcept;
std::string_view to_string(bill_finding finding) noexcept;

struct report {
  std::vector<check> checks;
  verdict told = verdict::inconclusive;
  identity_finding identity = identity_finding::not_tested;
  bill_finding bill = bill_finding::not_tested;
  std::vector<std::string> limits;  ///< what the verdict does not show, as sentences
};

/// Derive the parts of the verdict, and the verdict, from the checks. `testable`: the tokens of the
/// claimed model can be counted. Pure.
identity_finding identity_of(const std::vector<check>& checks, bool testable);
bill_finding bill_of(const std::vector<check>& checks);
verdict verdict_of(const std::vector<check>& checks, identity_finding identity, bill_finding bill);

}  // namespace sluice::probe
