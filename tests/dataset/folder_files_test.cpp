#include "dataset/folder_files.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "dataset/reading.hpp"

namespace sluice::dataset {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;
constexpr std::string_view gif = "GIF89a picture";

class folder_files_test : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(dir_ / "open/deep");
    fs::create_directories(dir_ / "secret");
    dir_.write("open/deep/a.gif", gif);
    dir_.write("open/notes.txt", "text");
    dir_.write("secret/key.gif", gif);
    fs::create_symlink("../secret/key.gif", dir_ / "open/link.gif");
    fs::create_symlink("../secret", dir_ / "open/way");
    fs::create_symlink("deep/a.gif", dir_ / "open/inner.gif");
    ::mkfifo((dir_ / "open/pipe.gif").c_str(), 0600);
  }
  std::string why_not(std::string_view name, std::uint64_t largest = 1000) {
    folder_files files(dir_ / "open", largest);
    std::string out;
    const std::string why = files.append_data_url(out, name);
    EXPECT_EQ(out.empty(), !why.empty()) << out;
    return why;
  }
  test::temp_dir dir_;
};

TEST_F(folder_files_test, reads_files_below_the_folder) {
  folder_files files(dir_ / "open", 1000);
  std::string out = "x";
  EXPECT_EQ(files.append_data_url(out, "deep/a.gif"), "");
  EXPECT_EQ(out, "xdata:image/gif;base64,R0lGODlhIHBpY3R1cmU=");
  EXPECT_EQ(files.append_data_url(out, "./deep//a.gif"), "");
  EXPECT_EQ(files.count(), 2U);
  EXPECT_EQ(files.bytes(), 2 * gif.size());
  EXPECT_EQ(files.largest_bytes(), gif.size());
  EXPECT_EQ(files.largest_name(), "./deep//a.gif");
}

TEST_F(folder_files_test, leaves_the_folder_by_no_way) {
  EXPECT_THAT(why_not("../secret/key.gif"), HasSubstr("leads out of --files with .."));
  EXPECT_THAT(why_not("deep/../deep/a.gif"), HasSubstr(".."));
  EXPECT_THAT(why_not(dir_ / "secret/key.gif"), HasSubstr("is an absolute path"));
  EXPECT_THAT(why_not("link.gif"), HasSubstr("leads over a link"));
  EXPECT_THAT(why_not("inner.gif"), HasSubstr("leads over a link"));
  EXPECT_THAT(why_not("way/key.gif"), HasSubstr("leads over a link"));
  EXPECT_THAT(why_not(std::string_view("deep\0/a.gif", 11)), HasSubstr("NUL"));
}

TEST_F(folder_files_test, takes_regular_images_and_pdfs_only) {
  EXPECT_THAT(why_not(""), HasSubstr("names no file"));
  EXPECT_THAT(why_not("none.gif"), HasSubstr("is not there"));
  EXPECT_THAT(why_not("deep/"), HasSubstr("is not a regular file"));
  EXPECT_THAT(why_not("deep/."), HasSubstr("names a folder"));
  EXPECT_THAT(why_not("pipe.gif"), HasSubstr("is not a regular file"));
  EXPECT_THAT(why_not("notes.txt"), HasSubstr("is neither a PNG"));
  EXPECT_THAT(why_not("deep/a.gif", 5), HasSubstr("has 14 bytes, more than the 5"));
}

TEST_F(folder_files_test, refuses_a_folder_that_is_none) {
  EXPECT_THAT(refusal_of([&] { folder_files(dir_ / "open/notes.txt", 1); }),
              HasSubstr("cannot be opened as a folder (Not a directory)"));
}

TEST(media_types, are_told_by_the_first_bytes) {
  EXPECT_EQ(media_type("\x89PNG\r\n\x1A\n..."), "image/png");
  EXPECT_EQ(media_type("\xFF\xD8\xFF\xE0"), "image/jpeg");
  EXPECT_EQ(media_type("RIFF1234WEBPVP8 "), "image/webp");
  EXPECT_EQ(media_type("RIFF1234WAVE"), "");
  EXPECT_EQ(media_type("%PDF-1.7"), "application/pdf");
  EXPECT_EQ(media_type(std::string_view("BM\x10\0\0\0\0\0\0\0", 10)), "image/bmp");
  EXPECT_EQ(media_type("<html>"), "");
  EXPECT_EQ(media_type(""), "");
}

// The test vectors of RFC 4648, section 10.
TEST(base64, has_the_vectors_of_its_rfc) {
  const auto encoded = [](std::string_view text) {
    std::string out;
    append_base64(out, text);
    return out;
  };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xFF\xFE\xFD"), "//79");
}

}  // namespace
}  // namespace sluice::dataset
