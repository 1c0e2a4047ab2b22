#include "cli/outcome_status.hpp"

namespace sluice::cli {

exit_status exit_status_of(stop_reason reason) {
  switch (reason) {
    case stop_reason::wrong_address:
    case stop_reason::bad_certificate:
    case stop_reason::bad_proxy:
    case stop_reason::refused_alike:
      return cannot_start;
    case stop_reason::interrupted:
      return interrupted;
    case stop_reason::key_ended:
    case stop_reason::quota_spent:
    case stop_reason::blocked:
    case stop_reason::budget_spent:
    case stop_reason::relay_down:
    case stop_reason::unreachable:
    case stop_reason::model_out:
    case stop_reason::come_back_later:
      return stopped;
    case stop_reason::none:
      break;
  }
  return success;
}

exit_status exit_status_of(const run_outcome& outcome) {
  return stronger(exit_status_of(outcome.reason), exit_status_of(outcome.gave_up));
}

}  // namespace sluice::cli
