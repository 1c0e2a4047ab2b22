#include "views/bench_progress.hpp"

#include <gmock/gmock.h>

#include "base/display_width.hpp"

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

bench::benchmark::status second_load() {
  return {.load = "8 in flight",
          .number = 2,
          .of = 3,
          .ended = 120,
          .in_flight = 8,
          .started_last_minute = 10,
          .cap = 10,
          .pause_status = {},
          .pause_asked = {},
          .left_s = 125,
          .cost = usd::parse("0.01")};
}

TEST(bench_progress, says_where_it_is_and_how_long_it_takes) {
  EXPECT_EQ(bench_progress(second_load()),
            "load 2 of 3, 8 in flight: 120 done | 8 in flight | 10/10 in 60 s | $0.01 | about 2m "
            "05s left");
  auto sweep = second_load();
  sweep.of.reset();
  sweep.more_to_come = true;
  EXPECT_THAT(bench_progress(sweep), HasSubstr("about 2m 05s left of this load"));
}

TEST(bench_progress, is_chinese_where_the_form_says_so) {
  EXPECT_EQ(bench_progress(second_load(), {.spoken = language::chinese}),
            "负载 2/3，8 in flight：完成 120 | 8 个在途 | 60 秒内 10/10 | $0.01 | 约剩 2分05秒");
}

TEST(bench_progress, says_why_nothing_starts) {
  auto now = second_load();
  now.cause = wait_cause::limit;
  now.wait_s = 41;
  now.started_by_others = 6;
  now.started_last_minute = 4;
  EXPECT_THAT(bench_progress(now), HasSubstr("4/10 in 60 s (6 by other runs)"));
  EXPECT_THAT(bench_progress(now), HasSubstr("waiting for the limit, next start in 41 s"));
  now.cause = wait_cause::pause;
  now.wait_s = 12;
  EXPECT_THAT(bench_progress(now),
              HasSubstr("paused by the relay for 12 s (it refused another run)"));
  now.pause_status = 429;
  now.pause_asked = std::chrono::seconds{30};
  EXPECT_THAT(bench_progress(now),
              HasSubstr("paused by the relay for 12 s (429, it asked for 30 s)"));
  now.pause_asked = {};
  EXPECT_THAT(bench_progress(now), HasSubstr("paused for 12 s after a refusal (429)"));
}

TEST(bench_progress, the_reason_of_a_wait_fits_a_narrow_terminal) {
  auto now = second_load();
  now.cause = wait_cause::limit;
  now.wait_s = 41;
  for (const std::size_t columns : {59U, 99U, 139U}) {
    const std::string line = bench_progress(now, {.columns = columns});
    EXPECT_LE(display_width(line), columns) << line;
    EXPECT_THAT(line, HasSubstr(columns > 60 ? "waiting for the limit, next start in 41 s"
                                             : "| limit, next in 41 s"));
    EXPECT_THAT(line, HasSubstr("120 done"));
  }
}

}  // namespace
}  // namespace sluice::cli
