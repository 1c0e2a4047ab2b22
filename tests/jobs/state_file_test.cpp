#include "jobs/state_file.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <string>

#include "sluice/error.hpp"
#include "support/faulty_files.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

usd dollars(const char* text) {
  return *usd::parse(text);
}

const hash128 a = hash_of("a");
const hash128 b = hash_of("b");

struct state_file_test : testing::Test {
  test::temp_dir dir;
  std::unique_ptr<file_system> disk = system_files();

  std::unique_ptr<state_file> fresh() {
    auto made = std::make_unique<state_file>(*disk, dir / "x.state", "x.output.jsonl");
    made->identify("one");
    made->write();
    return made;
  }
  // Starts an attempt and writes its record.
  static void start(state_file& state, const hash128& id, std::uint32_t number, usd reserved) {
    state.started(id, number, reserved);
    state.write_records();
  }
  static void end(state_file& state, const hash128& id, attempt_end how, usd line_cost = {}) {
    state.ended(id, how, line_cost);
    state.write_records();
  }
  // The state file as a new run finds it after a crash. The result lines report `told_of_a`
  // attempts of request a.
  std::unique_ptr<state_file> again(std::uint32_t told_of_a = 0) {
    auto left = std::make_unique<state_file>(*disk, dir / "x.state", "x.output.jsonl");
    EXPECT_TRUE(left->load());
    left->reconcile([=](const hash128& id) {
      return state_file::line_told{.attempts = id == a ? told_of_a : 0, .last_end = {}};
    });
    return left;
  }
};

// In the names of files and models, any byte but NUL is possible.
TEST_F(state_file_test, names_need_not_be_utf8) {
  const std::string output = "caf\xE9.output.jsonl";
  rejected_reply rejected;
  rejected.reason = "too short";
  {
    state_file state(*disk, dir / "x.state", output);
    state.identify("one");
    state.write();
    start(state, a, 1, {});
    state.rejected(a, "mod\xE8le", rejected, {});
    state.write();
  }
  state_file same(*disk, dir / "x.state", output);
  ASSERT_TRUE(same.load());
  EXPECT_EQ(same.identity(), "one");
  ASSERT_NE(same.find(a), nullptr);
  EXPECT_EQ(same.find(a)->rejected.size(), 1U);
  state_file other(*disk, dir / "x.state", "cafe.output.jsonl");
  EXPECT_THROW((void)other.load(), fatal_error);
}

TEST_F(state_file_test, nothing_is_recorded_behind_half_a_record_that_cannot_be_cut_off) {
  test::faulty_files faulty;
  state_file state(faulty, dir / "x.state", "x.output.jsonl");
  state.identify("one");
  state.write();
  start(state, a, 1, {});
  const std::string whole = dir.read("x.state");
  faulty.fault = [](std::string_view what, const std::string&) {
    return what == "append" || what == "truncate" ? test::faulty_files::broken()
                                                  : std::error_code();
  };
  EXPECT_THROW(start(state, b, 1, {}), fatal_error);
  const std::string torn = dir.read("x.state");
  ASSERT_GT(torn.size(), whole.size());
  faulty.fault = [](std::string_view what, const std::string&) {
    return what == "truncate" ? test::faulty_files::broken() : std::error_code();
  };
  EXPECT_THROW(end(state, a, attempt_end::answered), fatal_error);
  EXPECT_EQ(dir.read("x.state"), torn);
  faulty.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  state.write_records();
  EXPECT_THAT(dir.read("x.state"), testing::StartsWith(whole));
  EXPECT_FALSE(again()->damaged());
}

TEST_F(state_file_test, there_is_none_at_first) {
  state_file none(*disk, dir / "x.state", "x.output.jsonl");
  EXPECT_FALSE(none.load());
  EXPECT_FALSE(none.damaged());
}

TEST_F(state_file_test, what_was_in_flight_at_a_crash_is_lost_and_its_money_kept) {
  auto state = fresh();
  start(*state, a, 1, dollars("0.5"));
  auto left = again();
  EXPECT_EQ(left->identity(), "one");
  EXPECT_EQ(left->counters().attempts, 1U);
  EXPECT_EQ(left->counters().maybe_billed_attempts, 1U);
  EXPECT_EQ(left->counters().kept, dollars("0.5"));
  ASSERT_NE(left->find(a), nullptr);
  EXPECT_EQ(left->find(a)->attempts, 1U);
}

TEST_F(state_file_test, a_crash_is_counted_once_however_often_it_is_read) {
  start(*fresh(), a, 1, dollars("0.5"));
  again()->write();
  again()->write();
  auto left = again();
  EXPECT_EQ(left->counters().attempts, 1U);
  EXPECT_EQ(left->counters().maybe_billed_attempts, 1U);
  EXPECT_EQ(left->counters().kept, dollars("0.5"));
}

TEST_F(state_file_test, a_line_wins_over_the_record_of_its_attempt) {
  start(*fresh(), a, 2, dollars("0.5"));
  auto left = again(2);
  EXPECT_EQ(left->counters().maybe_billed_attempts, 0U);
  EXPECT_EQ(left->counters().kept, usd{});
  EXPECT_EQ(left->find(a), nullptr);
  auto another = again(1);
  EXPECT_EQ(another->counters().maybe_billed_attempts, 1U)
      << "the line tells of an earlier attempt";
}

TEST_F(state_file_test, a_line_tells_how_its_attempt_ended_where_the_record_of_that_is_lost) {
  const struct {
    std::optional<attempt_end> told;
    std::uint64_t maybe_billed;
    const char* kept;
  } rows[] = {{std::nullopt, 0, "0"},
              {attempt_end::answered, 0, "0"},
              {attempt_end::unpriced, 0, "0.5"},
              {attempt_end::lost, 1, "0.5"}};
  for (const auto& row : rows) {
    start(*fresh(), a, 1, dollars("0.5"));
    state_file left(*disk, dir / "x.state", "x.output.jsonl");
    ASSERT_TRUE(left.load());
    left.reconcile(
        [&](const hash128&) { return state_file::line_told{.attempts = 1, .last_end = row.told}; });
    EXPECT_EQ(left.counters().maybe_billed_attempts, row.maybe_billed);
    EXPECT_EQ(left.counters().kept, dollars(row.kept));
    EXPECT_EQ(left.find(a), nullptr);
  }
}

TEST_F(state_file_test, each_end_means_what_it_says) {
  const struct {
    attempt_end how;
    std::uint64_t attempts, retries, maybe_billed;
    const char* kept;
    bool known;
  } rows[] = {
      {attempt_end::unsent, 0, 0, 0, "0", false},
      {attempt_end::answered, 1, 0, 0, "0", true},
      {attempt_end::lost, 1, 0, 1, "0.5", true},
      {attempt_end::unpriced, 1, 0, 0, "0.5", true},
  };
  for (const auto& row : rows) {
    auto state = fresh();
    start(*state, a, 1, dollars("0.5"));
    end(*state, a, row.how);
    for (const bool after_crash : {false, true}) {
      if (after_crash) state = again();
      EXPECT_EQ(state->counters().attempts, row.attempts);
      EXPECT_EQ(state->counters().retries, row.retries);
      // The line of this result was not written.
      const bool line_lost = after_crash && row.how == attempt_end::unpriced;
      EXPECT_EQ(state->counters().maybe_billed_attempts, row.maybe_billed + line_lost);
      EXPECT_EQ(state->counters().kept, dollars(row.kept));
      EXPECT_EQ(state->find(a) != nullptr, row.known);
    }
  }
}

TEST_F(state_file_test, what_a_line_estimates_is_kept_only_where_the_line_is_lost) {
  auto state = fresh();
  start(*state, a, 1, dollars("0.5"));
  end(*state, a, attempt_end::unpriced, dollars("0.2"));
  EXPECT_EQ(state->counters().kept, dollars("0.3")) << "the line is to tell the rest";
  EXPECT_EQ(again(1)->counters().kept, dollars("0.3"));
  EXPECT_EQ(again()->counters().kept, dollars("0.5"));
  EXPECT_EQ(again()->counters().maybe_billed_attempts, 1U);

  state = fresh();
  start(*state, a, 1, dollars("0.5"));
  end(*state, a, attempt_end::unpriced, dollars("0.7"));
  EXPECT_EQ(again(1)->counters().kept, usd{}) << "never less than nothing";
  dir.write("x.state", dir.read("x.state") + "{\"end\":\"" +
                           std::string(std::string_view(hex_digits(a))) +
                           "\",\"how\":\"unpriced\",\"line_usd\":\"much\"}\n");
  EXPECT_TRUE(again()->damaged());
}

TEST_F(state_file_test, retries_count_and_an_unsent_one_does_not) {
  auto state = fresh();
  for (const std::uint32_t number : {1U, 2U, 2U}) {
    start(*state, a, number, {});
    end(*state, a, number == 1 ? attempt_end::answered : attempt_end::unsent);
  }
  start(*state, b, 1, {});
  auto left = again();
  EXPECT_EQ(left->counters().attempts, 2U);
  EXPECT_EQ(left->counters().retries, 0U);
  EXPECT_EQ(left->find(a)->attempts, 1U);
}

TEST_F(state_file_test, writing_anew_forgets_nothing_that_is_still_open) {
  auto state = fresh();
  start(*state, a, 1, dollars("0.25"));
  start(*state, b, 3, {});
  end(*state, b, attempt_end::answered);
  state->counters().wall_s = 1.5;
  state->counters().max_requests_in_60s = 7;
  state->write();
  EXPECT_EQ(dir.lines("x.state").size(), 1U);
  end(*state, a, attempt_end::lost);
  auto left = again();
  EXPECT_EQ(left->counters().kept, dollars("0.25"));
  EXPECT_EQ(left->find(b)->attempts, 3U);
  EXPECT_EQ(left->counters().wall_s, 1.5);
  EXPECT_EQ(left->counters().max_requests_in_60s, 7U);
}

TEST_F(state_file_test, a_torn_record_was_not_sent_yet) {
  auto state = fresh();
  start(*state, a, 1, {});
  const std::string whole = dir.read("x.state");
  const std::size_t summary = whole.find('\n') + 1;
  for (std::size_t cut = summary; cut < whole.size(); ++cut) {
    dir.write("x.state", whole.substr(0, cut));
    auto left = again();
    EXPECT_FALSE(left->damaged()) << cut;
    EXPECT_EQ(left->counters().attempts, 0U) << cut;
  }
}

TEST_F(state_file_test, damage_is_told_and_costs_what_it_touches) {
  const std::string begin = R"({"sluice_state":1,)";
  for (const std::string& content :
       {std::string(), begin, begin + "\n", begin + "\"identity\":7}\n",
        begin + "\"identity\":\"x\",\"kept_usd\":\"much\"}\n",
        begin + "\"identity\":\"x\",\"output\":7}\n",
        begin + "\"identity\":\"x\",\"unfinished\":[[\"zz\",1]]}\n",
        begin + "\"identity\":\"x\"}\n{\"start\":1}\n{\"end\":\"a\"}\n"}) {
    dir.write("x.state", content);
    EXPECT_TRUE(again()->damaged()) << content;
  }
}

TEST_F(state_file_test, one_of_another_program_stays_as_it_is) {
  for (const char* content : {"{", "[]\n", "nonsense\n{}\n", "{\"identity\":7}\n", "\n",
                              "{\"attempts\":3,\"identity\":\"mine\"}\n"}) {
    dir.write("x.state", content);
    state_file left(*disk, dir / "x.state", "x.output.jsonl");
    EXPECT_THROW(left.load(), fatal_error) << content;
    EXPECT_THROW(left.write(), fatal_error) << content;
    EXPECT_EQ(dir.read("x.state"), content);
    EXPECT_EQ(dir.entries(), 1U);
  }
}

TEST_F(state_file_test, one_from_before_the_mark_is_ours) {
  dir.write("x.state", R"({"attempts":2,"identity":"0123456789abcdef","max_requests_in_60s":1,)"
                       R"("maybe_billed_attempts":1,"retries":1,"unfinished":[],"wall_s":1.0})"
                       "\n");
  auto left = again();
  EXPECT_FALSE(left->damaged());
  EXPECT_EQ(left->counters().attempts, 2U);
  EXPECT_FALSE(left->records_output());
}

TEST_F(state_file_test, one_of_another_output_is_refused_by_its_name) {
  fresh();
  EXPECT_TRUE(again()->records_output());
  state_file other(*disk, dir / "x.state", "x.jsonl");
  try {
    other.load();
    FAIL();
  } catch (const fatal_error& thrown) {
    EXPECT_THAT(thrown.what(), testing::HasSubstr("x.output.jsonl"));
  }
}

// The new file is written beside the old one, while attempts begin and end. A crash at any step
// leaves a file that knows all these attempts.
TEST_F(state_file_test, what_is_recorded_while_it_is_written_anew_is_in_the_old_file_and_the_new) {
  auto state = fresh();
  start(*state, a, 1, dollars("1"));
  auto step = state->begin_writing();
  start(*state, b, 1, dollars("2"));
  step.write_beside();
  EXPECT_EQ(again()->counters().kept, dollars("3")) << "the old one";
  EXPECT_TRUE(state->catch_up(step));
  EXPECT_FALSE(state->catch_up(step));
  end(*state, a, attempt_end::answered);
  EXPECT_EQ(again()->counters().kept, dollars("2"));
  state->place(step);
  state->end_writing();
  EXPECT_EQ(again()->counters().kept, dollars("2")) << "the new one";
  end(*state, b, attempt_end::answered);
  EXPECT_EQ(again()->counters().kept, dollars("0"));
  EXPECT_EQ(dir.entries(), 1U);
}

TEST_F(state_file_test, a_request_knows_what_is_kept_for_it) {
  auto state = fresh();
  start(*state, a, 1, dollars("1"));
  end(*state, a, attempt_end::lost);
  start(*state, a, 2, dollars("2"));
  EXPECT_EQ(state->find(a)->kept, dollars("1"));
  state->write();
  auto left = again();
  EXPECT_EQ(left->find(a)->kept, dollars("3")) << "the second was in flight";
  EXPECT_EQ(left->counters().kept, dollars("3"));
}

}  // namespace
}  // namespace sluice
