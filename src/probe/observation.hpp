#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/sample.hpp"
#include "sluice/result.hpp"

namespace sluice::probe {

/// One answer of a reply.
struct observed_choice {
  std::string content;
  std::string finish_reason;
  std::optional<std::vector<std::string>> tokens;  ///< by the logprobs; unset: it has none
  std::string tool;                                ///< the function it calls; empty: none
  std::string tool_arguments;
};

/// What one sample brought to light.
struct observation {
  const sample* asked = nullptr;
  bool answered = false;
  int status = 0;       ///< of HTTP; 0: none came
  std::string refusal;  ///< the relay's words, where it was not answered
  std::string model;    ///< as the reply names it
  std::string id;
  std::optional<token_usage> usage;
  std::vector<observed_choice> choices;
  double latency_ms = 0;
  std::optional<double> ttft_ms;

  const observed_choice* first() const { return choices.empty() ? nullptr : &choices.front(); }
};

/// Reads the result of a sample. Pure.
observation observe(const sample& asked, const result& came);

}  // namespace sluice::probe
