#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probe/sample.hpp"
#include "sluice/result.hpp"

namespace sluice::probe {

/// One choice of a reply.
struct observed_choice {
  std::string content;
  std::string finish_reason;
  std::optional<std::vector<std::string>> tokens;  ///< from the logprobs; unset: there are none
  std::string tool;                                ///< the function that it calls; empty: none
  std::string tool_arguments;
};

/// The result of one sample.
struct observation {
  const sample* request = nullptr;
  bool answered = false;
  int status = 0;       ///< the HTTP status; 0: no reply
  std::string refusal;  ///< the error message, if it was not answered
  std::string model;    ///< the model named in the reply
  std::string id;
  std::optional<token_usage> usage;
  std::vector<observed_choice> choices;
  double latency_ms = 0;
  std::optional<double> ttft_ms;

  const observed_choice* first() const { return choices.empty() ? nullptr : &choices.front(); }
};

/// Reads the result of a sample. Pure.
observation observe(const sample& request, const result& finished);

}  // namespace sluice::probe
