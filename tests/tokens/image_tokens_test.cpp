#include "tokens/image_tokens.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

// The first five are from https://platform.openai.com/docs/guides/images-vision.
TEST(image_tokens, counts_pictures_as_their_vendors_do) {
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
      {"low detail, any size", "gpt-4o", 4096, 8192, true, 85},
      {"as many patches as cover it", "gpt-4.1-mini", 1024, 1024, false, 1659},
      {"shrunk to fewer patches", "gpt-4.1-mini", 1800, 2400, false, 2353},
      {"one tile", "gpt-4o-mini", 128, 64, false, 8500},
      {"33 times as many as gpt-4o", "gpt-4o-mini", 1024, 1024, false, 25501},
      {"low detail, too", "gpt-4o-mini", 1024, 1024, true, 2833},
      {"a snapshot", "gpt-4o-mini-2024-07-18", 512, 512, false, 8500},
      {"a fine-tuned model", "ft:gpt-4o-2024-08-06:org::id", 512, 512, false, 255},
      {"with a vendor prefix", "openai/gpt-4o", 512, 512, false, 255},
      {"gpt-5", "gpt-5", 512, 512, false, 210},
      {"o1 and o3", "o3-2025-04-16", 512, 512, false, 225},
      {"detail does not matter for patches", "o4-mini", 32, 32, true, 2},
      {"a thin line", "gpt-5-nano", 100000, 1, false, 3779},
      {"a thin line of tiles", "gpt-4o", 100000, 1, false, 765},
      {"a token per 750 pixels", "claude-sonnet-4-5", 1000, 1000, false, 1334},
      {"shrunk to the most of an earlier model", "claude-sonnet-4-5", 1568, 1568, false, 1600},
      {"shrunk to its longest side", "claude-3-opus-20240229", 3136, 200, false, 210},
      {"a later model takes larger ones", "claude-opus-4-8", 2000, 1500, false, 4000},
      {"at most 4,784 tokens", "anthropic/claude-opus-5", 8000, 8000, false, 4784},
      {"a dot", "claude-haiku-4-5", 1, 1, false, 1},
      {"any size", "gemini-4-argon", 4000, 3000, true, 1120},
  };
  for (const auto& row : rows) {
    const auto rule = image_rule_of(row.model);
    ASSERT_TRUE(rule) << row.what;
    EXPECT_EQ(rule->tokens(row.width, row.height, row.low), row.tokens) << row.what;
    EXPECT_LE(rule->tokens(row.width, row.height, row.low), rule->most(row.low)) << row.what;
  }
}

std::string base64(const std::string& bytes) {
  constexpr const char* letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8U | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (unsigned shift = 24; shift > 0; shift -= 6) text += letters[bits >> (shift - 6) & 0x3FU];
  }
  return text;
}

TEST(image_size, size_is_read_from_the_first_bytes) {
  using namespace std::string_literals;
  const std::string jpeg = "\xFF\xD8\xFF\xE0\0\x06JFIF"s;
  const std::string frame = "\xFF\xC2\0\x0B\x08\x02\x58\x03\x20\x03\x01"s;
  const struct {
    const char* what;
    std::string bytes;
    std::uint32_t width;
    std::uint32_t height;
  } rows[] = {
      {"PNG", "\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\x03\x20\0\0\x02\x58\x08"s, 800, 600},
      {"GIF", "GIF89a\x20\x03\x58\x02\xF7"s, 800, 600},
      {"JPEG", jpeg + frame, 800, 600},
      {"JPEG with a preview",
       jpeg + "\xFF\xE1\xFF\xFF"s + std::string(0xFFFD, '\xC0') + "\xFF"s + frame, 800, 600},
      {"extended WebP", "RIFF\0\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x1F\x03\0\x57\x02\0"s, 800, 600},
      {"WebP", "RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9D\x01\x2A\x20\x03\x58\x02"s, 800, 600},
      {"lossless WebP", "RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2F\x1F\xC3\x95\0\0"s, 800, 600},
  };
  for (const auto& row : rows) {
    const auto size = image_size_of("\"data:image/png;base64," + base64(row.bytes) + "\"");
    ASSERT_TRUE(size) << row.what;
    EXPECT_EQ(size->width, row.width) << row.what;
    EXPECT_EQ(size->height, row.height) << row.what;
    // The function must not read beyond the end of the text.
    for (std::size_t cut = 0; cut < row.bytes.size() && cut < 40; ++cut) {
      (void)image_size_of("\"data:image/png;base64," + base64(row.bytes.substr(0, cut)) + "\"");
    }
  }
  for (const char* url : {"", "\"\"", "\"https://x/y.png\"", "\"data:image/png;base64,\"",
                          "\"data:image/png;base64,////\"", "\"data:image/png,abc\"", "null"}) {
    EXPECT_FALSE(image_size_of(url)) << url;
  }
}

TEST(image_tokens, no_picture_has_more_tokens_than_the_maximum) {
  for (const char* model : {"gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "o4-mini", "claude-opus-4-1",
                            "claude-fable-5", "gemini-3-pro-preview"}) {
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
        "gpt-5.4-mini", "gpt-5.2", "gpt-5-pro", "o3-mini", "o3-pro", "gpt-4.10", "claude-2.1",
        "gemini-2.5-pro", "gpt-4omni", "my-gpt-4o"}) {
    EXPECT_FALSE(image_rule_of(model)) << model;
  }
}

}  // namespace
}  // namespace sluice
