#include "files/line_reader.hpp"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using testing::HasSubstr;

struct seen_line {
  std::uint64_t number;
  std::string text;  // "<too long>" if the line is too long
  friend bool operator==(const seen_line&, const seen_line&) = default;
};
void PrintTo(const seen_line& line, std::ostream* out) {
  *out << line.number << ": " << line.text.substr(0, 40);
}

std::vector<seen_line> read_all(line_reader& reader) {
  std::vector<seen_line> all;
  for (line_reader::line line; reader.next(line);) {
    all.push_back({line.number, line.too_long ? "<too long>" : std::string(line.text)});
  }
  return all;
}

std::vector<seen_line> read_all(const std::string& path, std::uint64_t longest = 1 << 20) {
  line_reader reader(open_bytes(path), longest);
  return read_all(reader);
}

// A source that returns a text in pieces.
class pieces final : public byte_source {
 public:
  pieces(std::string text, std::function<std::size_t()> size)
      : text_(std::move(text)), size_(std::move(size)) {}
  std::size_t read(char* into, std::size_t size) override {
    const std::size_t n = std::min({size, size_(), text_.size() - at_});
    text_.copy(into, n, at_);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::function<std::size_t()> size_;
  std::size_t at_ = 0;
};

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string zstd(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

TEST(line_reader, splits_files_into_lines) {
  const struct {
    const char* what;
    std::string text;
    std::vector<seen_line> lines;
  } rows[] = {
      {"nothing", "", {}},
      {"one line", "a\n", {{1, "a"}}},
      {"no newline at the end", "a\nb", {{1, "a"}, {2, "b"}}},
      {"carriage returns", "a\r\nb\r\n", {{1, "a"}, {2, "b"}}},
      {"a carriage return inside stays", "a\rb\n", {{1, "a\rb"}}},
      {"blank lines are counted but skipped", "\n \t\na\n\r\n\nb\n\n", {{3, "a"}, {6, "b"}}},
      {"only blank lines", "\n\n \r\n", {}},
      {"lines with only carriage returns are blank",
       "a\n\r\r\n\r\n \r \r\n\r\r\nb\n\r",
       {{1, "a"}, {6, "b"}}},
      {"a byte order mark", "\xEF\xBB\xBF{}\n", {{1, "{}"}}},
      {"only a byte order mark", "\xEF\xBB\xBF", {}},
      {"a byte order mark elsewhere stays",
       "a\n\xEF\xBB\xBF{}\n",
       {{1, "a"}, {2, "\xEF\xBB\xBF{}"}}},
      {"half a byte order mark stays", "\xEF\xBB", {{1, "\xEF\xBB"}}},
      {"zero bytes stay", std::string("a\0b\n", 4), {{1, std::string("a\0b", 3)}}},
      {"spaces stay", " a \n", {{1, " a "}}},
  };
  const test::temp_dir dir;
  for (const auto& row : rows) {
    EXPECT_EQ(read_all(dir.write("x.jsonl", row.text)), row.lines) << row.what;
    EXPECT_EQ(read_all(dir.write("x.jsonl.gz", gzip(row.text))), row.lines) << row.what << ", gzip";
    EXPECT_EQ(read_all(dir.write("x.jsonl.zst", zstd(row.text))), row.lines)
        << row.what << ", zstd";
  }
}

TEST(line_reader, reads_the_same_lines_from_pieces_of_any_size) {
  std::mt19937_64 random(4);
  constexpr std::uint64_t longest = 300;
  for (int round = 0; round < 60; ++round) {
    std::string text = round % 3 == 0 ? "\xEF\xBB\xBF" : "";
    std::vector<seen_line> expected;
    const std::size_t lines = random() % 60;
    for (std::size_t i = 1; i <= lines; ++i) {
      // Many lengths near the limit, to find off-by-one errors.
      const std::size_t length = random() % 3 == 0 ? longest - 2 + random() % 5 : random() % 40;
      const std::string line(length, static_cast<char>('a' + random() % 26));
      text += line + (random() % 2 == 0 ? "\r\n" : "\n");
      if (length > longest) {
        expected.push_back({i, "<too long>"});
      } else if (length > 0) {
        expected.push_back({i, line});
      }
    }
    for (const std::size_t size : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
      line_reader reader(std::make_unique<pieces>(text, [size] { return size; }), longest);
      ASSERT_EQ(read_all(reader), expected) << "pieces of " << size << ", round " << round;
    }
    line_reader reader(std::make_unique<pieces>(text, [&] { return 1 + random() % 500; }), longest);
    ASSERT_EQ(read_all(reader), expected);
  }
}

TEST(line_reader, start_shows_the_first_lines_without_consuming_them) {
  const std::string text = "\xEF\xBB\xBF\n \r\n{\n  1\n}\n";
  const std::vector<seen_line> expected = {{3, "{"}, {4, "  1"}, {5, "}"}};
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
    line_reader reader(std::make_unique<pieces>(text, [size] { return size; }), 100);
    EXPECT_TRUE(reader.start(1).starts_with("\n \r\n{\n"));
    EXPECT_TRUE(reader.start(2).starts_with("\n \r\n{\n  1\n"));
    EXPECT_EQ(read_all(reader), expected) << size;
  }
  // The reader reads only as much as it needs, even if a line has no end.
  line_reader slow(std::make_unique<pieces>(text, [] { return 1; }), 100);
  EXPECT_EQ(slow.start(1), "\n \r\n{\n");
  line_reader endless(std::make_unique<pieces>(std::string(5'000'000, 'x'), [] { return 9999; }),
                      100);
  EXPECT_LT(endless.start(1).size(), 1'000'000U);
  line_reader empty(std::make_unique<pieces>("", [] { return 1; }), 100);
  EXPECT_EQ(empty.start(1), "");
}

TEST(line_reader, a_line_longer_than_the_buffer_is_complete) {
  const test::temp_dir dir;
  const std::string large(5'000'000, 'x');
  const auto lines = read_all(dir.write("x.jsonl", "a\n" + large + "\nb\n"), 10'000'000);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1].text, large);
}

TEST(line_reader, a_line_that_is_too_long_is_reported_and_skipped) {
  const test::temp_dir dir;
  const std::string large(3'000'000, 'x');
  EXPECT_EQ(read_all(dir.write("x.jsonl", "a\n" + large + "\nb\n"), 1000),
            (std::vector<seen_line>{{1, "a"}, {2, "<too long>"}, {3, "b"}}));
  EXPECT_EQ(read_all(dir.write("x.jsonl", "a\n" + large), 1000),
            (std::vector<seen_line>{{1, "a"}, {2, "<too long>"}}));
}

std::string many_lines(std::size_t count, std::mt19937_64& random) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += "{\"n\":" + std::to_string(i) + ",\"text\":\"" + std::string(random() % 300, 'y') +
            std::to_string(random()) + "\"}\n";
  }
  return text;
}

TEST(line_reader, reads_compressed_files_of_any_size) {
  const test::temp_dir dir;
  std::mt19937_64 random(8);
  for (const std::size_t count : {1U, 10U, 500U, 1500U, 1700U, 3000U, 10'000U}) {
    const std::string text = many_lines(count, random);
    const auto expected = read_all(dir.write("x.jsonl", text));
    ASSERT_EQ(expected.size(), count);
    EXPECT_EQ(read_all(dir.write("x.jsonl.gz", gzip(text))), expected) << count;
    EXPECT_EQ(read_all(dir.write("x.jsonl.zst", zstd(text))), expected) << count;
  }
}

TEST(line_reader, zstd_blocks_larger_than_the_buffer_are_unpacked) {
  const test::temp_dir dir;
  // A frame without a checksum. Its last block is larger than the rest of the buffer.
  for (std::size_t first = 100'000; first < 260'000; first += 20'011) {
    const std::string text =
        std::string(first, 'a') + "\n" + std::string(500'000 - first, 'b') + "\n";
    const auto path = dir.write("x.jsonl.zst", zstd(text));
    EXPECT_EQ(read_all(path).size(), 2U) << first;
  }
}

TEST(line_reader, several_members_or_frames_are_one_file) {
  const test::temp_dir dir;
  const std::vector<seen_line> expected = {{1, "a"}, {2, "bc"}, {3, "d"}};
  EXPECT_EQ(read_all(dir.write("x.jsonl.gz", gzip("a\nb") + gzip("") + gzip("c\nd"))), expected);
  EXPECT_EQ(read_all(dir.write("x.jsonl.zst", zstd("a\nb") + zstd("") + zstd("c\nd"))), expected);
}

std::string refusal(const std::string& path) {
  try {
    read_all(path);
  } catch (const fatal_error& thrown) {
    EXPECT_EQ(thrown.why(), fatal_error::kind::cannot_start);
    return thrown.what();
  }
  return "(none)";
}

TEST(line_reader, refuses_unreadable_files_and_names_them) {
  const test::temp_dir dir;
  std::mt19937_64 random(8);
  const std::string text = many_lines(2000, random);
  const std::string packed = gzip(text);
  const std::string squeezed = zstd(text);
  const struct {
    const char* what;
    std::string path;
    const char* message;
  } rows[] = {
      {"missing", dir / "none.jsonl", "none.jsonl"},
      {"a directory", dir.path(), "directory"},
      {"missing gzip", dir / "none.jsonl.gz", "none.jsonl.gz"},
      {"gzip cut in the middle", dir.write("cut.jsonl.gz", packed.substr(0, packed.size() / 2)),
       "cut off"},
      {"gzip cut by a byte", dir.write("byte.jsonl.gz", packed.substr(0, packed.size() - 1)),
       "cut off"},
      {"not gzip at all", dir.write("plain.jsonl.gz", "{}\n"), "not valid gzip"},
      {"zstd cut in the middle",
       dir.write("cut.jsonl.zst", squeezed.substr(0, squeezed.size() / 2)), "cut off"},
      {"zstd cut by a byte", dir.write("byte.jsonl.zst", squeezed.substr(0, squeezed.size() - 1)),
       "cut off"},
      {"not zstd at all", dir.write("plain.jsonl.zst", "{}\n"), "not valid zstd"},
  };
  for (const auto& row : rows) {
    const std::string message = refusal(row.path);
    EXPECT_THAT(message, HasSubstr(row.message)) << row.what;
    EXPECT_THAT(message, HasSubstr(row.path)) << row.what;
  }
}

}  // namespace
}  // namespace sluice
