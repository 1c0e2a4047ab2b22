#include <gtest/gtest.h>

#include "simulation/scenario.hpp"
#include "support/temp_dir.hpp"

namespace sluice::simulation {
namespace {

TEST(simulation, every_rule_holds_over_some_hundred_seeds) {
  const test::temp_dir folder;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    const verdict told = play(seed, folder.path());
    ASSERT_FALSE(told.broken) << "seed " << seed << ": " << *told.broken;
  }
}

TEST(simulation, a_seed_plays_the_same_again) {
  const test::temp_dir folder;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const verdict once = play(seed, folder.path());
    const verdict again = play(seed, folder.path());
    ASSERT_EQ(once.trace, again.trace) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sluice::simulation
