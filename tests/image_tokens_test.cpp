#include "image_tokens.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// https://platform.openai.com/docs/guides/images-vision gives the first five.
TEST(image_tokens, of_pictures_as_their_makers_count_them) {
  const struct {
    const char* what;
    const char* model;
    std::uint32_t width;
    std::uint32_t height;
    bool low;
    std::int64_t tokens;
  } rows[] = {
      {"four tiles of a square", "gpt-4o", 1024, 1024, false, 765},
      {"six tiles", "gpt-4o", 2048, 4096, false, 1105},
      {"low detail, whatever the size", "gpt-4o", 4096, 8192, true, 85},
      {"as many patches as cover it", "gpt-4.1-mini", 1024, 1024, false, 1659},
      {"shrunk to fewer patches", "gpt-4.1-mini", 1800, 2400, false, 2353},
      {"one tile", "gpt-4o-mini", 128, 64, false, 8500},
      {"33 times as many as of its larger sister", "gpt-4o-mini", 1024, 1024, false, 25501},
      {"low detail, too", "gpt-4o-mini", 1024, 1024, true, 2833},
      {"a snapshot", "gpt-4o-mini-2024-07-18", 512, 512, false, 8500},
      {"a fine-tuned one", "ft:gpt-4o-2024-08-06:org::id", 512, 512, false, 255},
      {"behind its maker's name", "openai/gpt-4o", 512, 512, false, 255},
      {"gpt-5", "gpt-5", 512, 512, false, 210},
      {"o1 and o3", "o3-2025-04-16", 512, 512, false, 225},
      {"patches know no detail", "o4-mini", 32, 32, true, 2},
      {"a thin line", "gpt-5-nano", 100000, 1, false, 3779},
      {"a thin line of tiles", "gpt-4o", 100000, 1, false, 765},
  };
  for (const auto& row : rows) {
    const auto rule = image_rule_of(row.model);
    ASSERT_TRUE(rule) << row.what;
    EXPECT_EQ(rule->tokens(row.width, row.height, row.low), row.tokens) << row.what;
    EXPECT_LE(rule->tokens(row.width, row.height, row.low), rule->most(row.low)) << row.what;
  }
}

TEST(image_tokens, no_size_has_more_than_the_most) {
  for (const char* model : {"gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "o4-mini"}) {
    const auto rule = image_rule_of(model);
    ASSERT_TRUE(rule);
    for (std::uint32_t width = 1; width < 5000; width += 97) {
      for (std::uint32_t height = 1; height < 5000; height += 89) {
        ASSERT_LE(rule->tokens(width, height, false), rule->most(false))
            << model << ' ' << width << 'x' << height;
        ASSERT_GT(rule->tokens(width, height, false), 0);
      }
    }
  }
}

TEST(image_tokens, models_without_a_published_rule_have_none) {
  for (const char* model :
       {"", "gpt-4", "gpt-3.5-turbo", "gpt-4o-audio-preview", "gpt-4o-mini-transcribe",
        "gpt-5.4-mini", "gpt-5.2", "gpt-5-pro", "o3-mini", "o3-pro", "gpt-4.10", "claude-3-opus",
        "gemini-2.5-pro", "gpt-4omni", "my-gpt-4o"}) {
    EXPECT_FALSE(image_rule_of(model)) << model;
  }
}

}  // namespace
}  // namespace sluice
