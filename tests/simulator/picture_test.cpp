#include "simulator/picture.hpp"

#include <gtest/gtest.h>

#include "pictures.hpp"

namespace sluice::simulator {
namespace {

constexpr const char* elsewhere = "https://example.com/a.png";

TEST(Picture, CostsItsTiles) {
  // The examples of OpenAI's documentation.
  EXPECT_EQ(tokens_of_picture("gpt-4o", png(1024, 1024), false), 765U);
  EXPECT_EQ(tokens_of_picture("gpt-4o", png(2048, 4096), false), 1105U);
  EXPECT_EQ(tokens_of_picture("gpt-4o", png(4096, 8192), true), 85U);
  EXPECT_EQ(tokens_of_picture("gpt-4o", png(1, 1), false), 255U);
  EXPECT_EQ(tokens_of_picture("gpt-5", png(1, 1), false), 210U);
  EXPECT_EQ(tokens_of_picture("gpt-4o-mini", png(1, 1), true), 2833U);
}

TEST(Picture, HasTheSizeInItsData) {
  EXPECT_EQ(tokens_of_picture("gpt-4o", gif(600, 500), false), 85U + 2 * 170U);
  EXPECT_EQ(tokens_of_picture("gpt-4o", jpeg(600, 600), false), 85U + 4 * 170U);
}

TEST(Picture, OfUnknownSizeHasTheMostTiles) {
  constexpr auto most = 85U + 8 * 170U;
  for (const auto* url :
       {elsewhere, "data:image/png;base64,iVBORw0KGgo", "data:image/png,x",
        "data:image/jpeg;base64,/9j/", "data:image/gif;base64,R0lGODlhAAAAAA==", "data:", ""})
    EXPECT_EQ(tokens_of_picture("gpt-4o", url, false), most) << url;
  EXPECT_EQ(tokens_of_picture("gpt-4o", elsewhere, true), 85U);
  EXPECT_EQ(tokens_of_picture("gpt-4o", png(2048, 768), false), most);
  for (std::uint32_t width = 1; width < 9000; width += 7)
    ASSERT_LE(tokens_of_picture("gpt-4o", png(width, 8999 - width), false), most) << width;
}

}  // namespace
}  // namespace sluice::simulator
