#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sluice {

/// How long replies are likely to be, in tokens.
struct likely_replies {
  /// The mean reply in the ShareGPT conversations, a common workload of benchmarks (Kwon et al.,
  /// https://arxiv.org/abs/2309.06180, section 6.1).
  static constexpr std::int64_t usual = 338;

  std::map<std::string, std::int64_t, std::less<>> by_model;  ///< means of earlier results

  std::int64_t of(std::string_view model) const {
    const auto found = by_model.find(model);
    return found == by_model.end() ? usual : found->second;
  }
};

/// The mean reply lengths in a totals document of the job; empty if it contains none, or those of a
/// simulated relay. Pure.
likely_replies likely_replies_of(std::string_view totals_document);

}  // namespace sluice
