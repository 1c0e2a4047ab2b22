#include "settings/suggestion.hpp"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(did_you_mean, names_what_is_near) {
  const std::vector<std::string> names = {"--concurrency",  "--rpm", "--model",
                                          "--max-attempts", "run",   "simulate"};
  const std::pair<const char*, const char*> rows[] = {
      {"--concurency", "--concurrency"},
      {"--rmp", "--rpm"},
      {"--modle", "--model"},
      {"--max-atempts", "--max-attempts"},
      {"rn", "run"},
      {"rnu", "run"},
      {"simulte", "simulate"},
      {"--conc", "--concurrency"},
      {"--max", "--max-attempts"},
  };
  for (const auto& [word, name] : rows) {
    EXPECT_EQ(did_you_mean(word, names), "; did you mean '" + std::string(name) + "'?") << word;
  }
}

TEST(did_you_mean, says_nothing_where_nothing_is_near) {
  const std::vector<std::string> names = {"--concurrency", "--rpm", "--quiet"};
  for (const char* word : {"--frobnicate", "xyz", "--colour-depth", "--budget"})
    EXPECT_EQ(did_you_mean(word, names), "") << word;
  EXPECT_EQ(did_you_mean("anything", {}), "");
}

}  // namespace
}  // namespace sluice::cli
