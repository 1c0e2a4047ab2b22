#include "views/cache_text.hpp"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

TEST(cache_text, tells_reads_writes_share_and_savings) {
  EXPECT_EQ(cache_text({.read = 1200, .written = 500, .read_share = 0.4, .saved = "0.0015"}),
            "1,200 tokens read (40.0 % of the prompts), 500 written; saved $0.0015");
  EXPECT_EQ(cache_text({.read = 0, .written = 500, .read_share = 0.0, .saved = "-0.001"}),
            "0 tokens read (0.0 % of the prompts), 500 written; writing cost $0.001 more than "
            "reading saved");
  EXPECT_EQ(cache_text({.read = 7, .written = 0, .read_share = {}, .saved = {}}),
            "7 tokens read, 0 written; what it saved is unknown, because replies have no price");
}

TEST(cache_text, is_empty_if_the_cache_was_not_used) {
  EXPECT_EQ(cache_text({.read = 0, .written = 0, .read_share = 0.0, .saved = "0"}), "");
}

}  // namespace
}  // namespace sluice::cli
