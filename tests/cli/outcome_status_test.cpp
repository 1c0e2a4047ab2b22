#include "cli/outcome_status.hpp"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(outcome_status, the_stronger_of_two_reasons_counts) {
  const struct {
    stop_reason stopped_by;
    stop_reason gave_up;
    exit_status expected;
  } rows[] = {
      {stop_reason::none, stop_reason::none, success},
      {stop_reason::key_ended, stop_reason::none, stopped},
      {stop_reason::key_ended, stop_reason::refused_alike, cannot_start},
      {stop_reason::budget_spent, stop_reason::refused_alike, cannot_start},
      {stop_reason::come_back_later, stop_reason::refused_alike, cannot_start},
      {stop_reason::interrupted, stop_reason::refused_alike, cannot_start},
      {stop_reason::interrupted, stop_reason::model_out, interrupted},
      {stop_reason::refused_alike, stop_reason::model_out, cannot_start},
      {stop_reason::key_ended, stop_reason::model_out, stopped},
  };
  for (const auto& row : rows) {
    const run_outcome ended{row.stopped_by, {}, {}, row.gave_up};
    EXPECT_EQ(exit_status_of(ended), row.expected);
  }
}

}  // namespace
}  // namespace sluice::cli
