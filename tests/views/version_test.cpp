#include "views/version.hpp"

#include <gmock/gmock.h>

namespace sluice::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

TEST(version, is_one_line_and_with_verbose_tells_the_date_of_the_prices) {
  EXPECT_THAT(version_text({"sluice", "--version"}),
              AllOf(MatchesRegex("sluice [0-9.]+"), Not(HasSubstr("\n"))));
  for (const char* verbose : {"--verbose", "-v"}) {
    const std::string text = version_text({"sluice", "--version", verbose});
    EXPECT_THAT(text, HasSubstr("\nprices of 20")) << verbose;
    EXPECT_THAT(text, HasSubstr("\nvocabularies: ")) << verbose;
  }
}

}  // namespace
}  // namespace sluice::cli
