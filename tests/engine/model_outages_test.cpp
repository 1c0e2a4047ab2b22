#include "engine/model_outages.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using state = model_outages::state;

constexpr time_point noon = time_point{} + 12h;

TEST(model_outages, a_model_serves_until_it_is_refused) {
  model_outages models({});
  EXPECT_EQ(models.ask("a", noon), state::serving);
  EXPECT_FALSE(models.next_trial("a"));
  EXPECT_FALSE(models.any());
  models.refused("a", false, noon);
  EXPECT_EQ(models.ask("a", noon), state::waiting);
  EXPECT_EQ(models.next_trial("a"), noon + 1s);
  EXPECT_EQ(models.ask("b", noon), state::serving) << "other models still serve";
}

TEST(model_outages, there_is_one_trial_at_a_time_and_each_comes_later) {
  model_outages models({});
  models.refused("a", false, noon);
  time_point now = noon;
  duration wait = 1s;
  for (int i = 0; i < 8; ++i) {
    now = *models.next_trial("a");
    EXPECT_EQ(models.ask("a", now), state::trial) << i;
    EXPECT_EQ(models.ask("a", now), state::waiting) << "during a trial";
    EXPECT_FALSE(models.next_trial("a"));
    models.refused("a", true, now);
    wait = std::min<duration>(2 * wait, 60s);
    EXPECT_EQ(models.next_trial("a"), now + wait) << i;
  }
}

TEST(model_outages, refusals_of_attempts_in_flight_change_nothing) {
  model_outages models({});
  models.refused("a", false, noon);
  for (int i = 0; i < 63; ++i) models.refused("a", false, noon + 500ms);
  EXPECT_EQ(models.next_trial("a"), noon + 1s);
}

TEST(model_outages, an_answer_ends_the_outage_unless_its_attempt_started_before) {
  model_outages models({});
  models.refused("a", false, noon);
  EXPECT_FALSE(models.answered("a", noon - 1s));
  EXPECT_EQ(models.ask("a", noon + 1s), state::trial);
  EXPECT_TRUE(models.answered("a", noon + 1s));
  EXPECT_EQ(models.ask("a", noon + 2s), state::serving);
  EXPECT_FALSE(models.answered("b", noon)) << "the model was not out";
}

TEST(model_outages, after_ten_minutes_a_model_is_given_up) {
  model_outages models({});
  models.refused("a", false, noon);
  EXPECT_EQ(models.ask("a", noon + 9min), state::trial);
  models.refused("a", true, noon + 10min - 1ns);
  EXPECT_FALSE(models.is_given_up("a"));
  EXPECT_EQ(models.ask("a", noon + 12min), state::trial);
  models.refused("a", true, noon + 12min);
  EXPECT_TRUE(models.is_given_up("a"));
  EXPECT_EQ(models.ask("a", noon + 20min), state::given_up);
  EXPECT_FALSE(models.next_trial("a"));
}

TEST(model_outages, a_trial_that_says_nothing_about_the_model_is_repeated) {
  model_outages models({});
  models.refused("a", false, noon);
  EXPECT_EQ(models.ask("a", noon + 1s), state::trial);
  models.trial_wasted("a", noon + 2s);
  EXPECT_EQ(models.next_trial("a"), noon + 3s);
  EXPECT_EQ(models.ask("a", noon + 11min), state::trial);
  models.trial_wasted("a", noon + 11min);
  EXPECT_TRUE(models.is_given_up("a"));
}

TEST(model_outages, a_trial_that_was_not_made_is_due_at_once) {
  model_outages models({});
  models.refused("a", false, noon);
  EXPECT_EQ(models.ask("a", noon + 11min), state::trial);
  models.trial_unmade("a");
  EXPECT_EQ(models.next_trial("a"), noon + 1s);
  EXPECT_FALSE(models.is_given_up("a")) << "the next trial decides";
  EXPECT_EQ(models.ask("a", noon + 11min), state::trial);
  models.trial_unmade("b");
}

}  // namespace
}  // namespace sluice
