#include "jobs/request_bound.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "money/cost_bound.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

struct priced_bound {
  token_bound tokens;
  token_price price;
  usd cost() const noexcept { return tokens.cost(price); }
};

// By the bytes of the request; of the models that it names, the dearest.
priced_bound bound_or_refuse(const request& next, const job_setup& job) {
  const auto where = [&] {
    return fmt::format("{} line {}", job.is_on_standard_input() ? "standard input" : job.files.job,
                       next.line);
  };
  std::optional<priced_bound> most;
  for (const std::string& model : named_models(next)) {
    const auto price = job.prices.dearest(model, next.target);
    if (!price) {
      refuse(fmt::format(
          "{}: model {} has no price for {}, and --budget needs one; give it with --prices",
          where(), model, to_string(next.target)));
    }
    const auto bound = bound_tokens(next, job.prices.is_renamed(model) ? "" : model,
                                    job.prices.limits(model).output, job.output.assume_max_tokens);
    if (!bound) {
      refuse(fmt::format(
          "{}: the request {}; under --budget, give it max_tokens as a whole number, or a "
          "bound for all with --assume-max-tokens",
          where(), bound.error()));
    }
    const priced_bound now{*bound, *price};
    if (!most || most->cost() < now.cost()) most = now;
  }
  return *most;
}

}  // namespace

void require_bound(const request& next, const job_setup& job) {
  (void)bound_or_refuse(next, job);
}

void bound_cost(request& next, const job_setup& job) {
  priced_bound most = bound_or_refuse(next, job);
  if (!job.prices.is_renamed(next.model)) {
    most.tokens.prompt = bound_prompt(next, most.tokens.prompt);
  }
  next.most = most.cost();
  next.model_in_doubt = named_models(next).size() > 1;
}

}  // namespace sluice
