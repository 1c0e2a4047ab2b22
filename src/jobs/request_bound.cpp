#include "jobs/request_bound.hpp"

#include <fmt/format.h>

#include <string_view>

#include "base/refuse.hpp"
#include "money/cost_bound.hpp"

namespace sluice {
namespace {

[[noreturn]] void refuse_line(const request& next, const job_setup& job, const no_bound& without) {
  refuse(fmt::format("{} line {}: {}", job.job_name(), next.line, without.why));
}

bound_defaults defaults_of(const job_setup& job) {
  return {job.output.assume_max_tokens, job.output.tier_default};
}

}  // namespace

void require_bound(const request& next, const job_setup& job) {
  const auto bound = bound_cost(next, job.prices, std::nullopt, defaults_of(job));
  if (!bound) refuse_line(next, job, bound.error());
}

void set_cost_bound(request& next, const job_setup& job) {
  const auto without = set_cost_bound(next, job.prices, std::nullopt, defaults_of(job));
  if (without) refuse_line(next, job, *without);
}

}  // namespace sluice
