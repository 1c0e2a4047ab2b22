#include "dataset/csv_table.hpp"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "dataset/reading.hpp"

namespace sluice::dataset {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using rows = std::vector<std::vector<std::string>>;

class csv_table : public testing::Test {
 protected:
  whole_table read(const std::string& text, const table_options& options = {},
                   const std::string& name = "data.csv") {
    return read_whole(dir_.write(name, text), options);
  }
  std::string refused(const std::string& text, const table_options& options = {},
                      const std::string& name = "data.csv") {
    return refusal_of([&] { (void)read(text, options, name); });
  }
  test::temp_dir dir_;
};

TEST_F(csv_table, reads_quotes_newlines_and_empty_cells) {
  const auto table = read("id,text,note\n1,\"a, \"\"b\"\"\nc\",\n2,,\"\"\n3, x ,y\n");
  EXPECT_THAT(table.columns, ElementsAre("id", "text", "note"));
  EXPECT_EQ(table.rows, (rows{{"1", "a, \"b\"\nc", ""}, {"2", "", ""}, {"3", " x ", "y"}}));
  EXPECT_THAT(table.lines, ElementsAre(2, 4, 5));
}

TEST_F(csv_table, takes_any_line_end_and_skips_empty_lines) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const auto table = read("a,b" + end + "1,2" + end + end + "3,4");
    EXPECT_EQ(table.rows, (rows{{"1", "2"}, {"3", "4"}}));
    EXPECT_THAT(table.lines, ElementsAre(2, 4));
  }
}

TEST_F(csv_table, keeps_line_ends_inside_of_cells) {
  EXPECT_EQ(read("a,b\r\n\"x\r\ny\",\"\r\"\r\n").rows, (rows{{"x\r\ny", "\r"}}));
}

TEST_F(csv_table, skips_a_byte_order_mark_and_remembers_it) {
  EXPECT_THAT(read("\xEF\xBB\xBFid,名\n1,你好\n").columns, ElementsAre("id", "名"));
  EXPECT_TRUE(open_table(dir_ / "data.csv", {})->has_mark());
  read("a\n1\n");
  EXPECT_FALSE(open_table(dir_ / "data.csv", {})->has_mark());
}

TEST_F(csv_table, knows_the_line_end_of_the_header) {
  dir_.write("crlf.csv", "a,b\r\n1,2\r\n");
  dir_.write("lf.csv", "a,b\n1,2\r\n");
  EXPECT_TRUE(open_table(dir_ / "crlf.csv", {})->ends_with_crlf());
  EXPECT_FALSE(open_table(dir_ / "lf.csv", {})->ends_with_crlf());
}

TEST_F(csv_table, takes_a_quote_inside_of_an_unquoted_cell_as_text) {
  EXPECT_EQ(read("a,b\n5\" pipe,x\"\"y\n").rows, (rows{{"5\" pipe", "x\"\"y"}}));
}

TEST_F(csv_table, refuses_a_ragged_row_by_its_number) {
  EXPECT_THAT(refused("a,b\n1,2\n\"x\ny\",2\n1,2,3\n"),
              HasSubstr("data.csv: row 3 (line 5) has 3 cell(s), and the first row names 2 "
                        "column(s); correct that row"));
  EXPECT_THAT(refused("a,b\n1\n"), HasSubstr("row 1 (line 2) has 1 cell(s)"));
}

TEST_F(csv_table, refuses_broken_quotes_by_row) {
  EXPECT_THAT(refused("a,b\n1,2\n3,\"x\" y\n"),
              HasSubstr("row 2 (line 3) has text behind a closing quote"));
  EXPECT_THAT(refused("a,b\n1,2\n3,\"x\n"),
              HasSubstr("row 2 (line 3) has a quote that is never closed"));
}

TEST_F(csv_table, takes_quotes_as_text_where_it_is_told) {
  const table_options plain{.quotes = false};
  EXPECT_EQ(read("a\tb\n\"x\" y\t\"z\n", plain, "data.tsv").rows, (rows{{"\"x\" y", "\"z"}}));
}

TEST_F(csv_table, refuses_a_row_without_an_end_before_it_fills_the_memory) {
  const std::string text = "a,b\n1,\"" + std::string(2 << 20, 'x');
  EXPECT_THAT(refused(text, {.max_row_bytes = 1 << 20}),
              HasSubstr("row 1 (line 2) is longer than 1048576 bytes"));
}

TEST_F(csv_table, refuses_an_empty_file) {
  EXPECT_THAT(refused(""), HasSubstr("is empty; its first row must name the columns"));
  EXPECT_THAT(refused("\n\n"), HasSubstr("is empty"));
}

TEST_F(csv_table, refuses_two_columns_of_one_name_only_where_one_is_asked_for) {
  dir_.write("data.csv", "a,a,b,,\n1,2,3,,\n");
  const auto table = open_table(dir_ / "data.csv", {});
  EXPECT_EQ(table->find_column("b"), 2U);
  EXPECT_EQ(table->find_column("c"), std::nullopt);
  EXPECT_THAT(refusal_of([&] { (void)table->find_column("a"); }),
              HasSubstr("has two columns with the name 'a'"));
}

TEST_F(csv_table, reads_tabs_between_cells) {
  const auto table = read("a\tb\n\"x\ty\"\t1,2\n", {}, "data.tsv");
  EXPECT_EQ(table.rows, (rows{{"x\ty", "1,2"}}));
}

TEST_F(csv_table, reads_any_delimiter_and_points_to_it) {
  const auto table = read("a;b\n\"x;y\";1,2\n", {.delimiter = ';'});
  EXPECT_EQ(table.rows, (rows{{"x;y", "1,2"}}));
  EXPECT_EQ(open_table(dir_ / "data.csv", {})->columns_text(),
            "a;b; if cells end at another character, add --delimiter ';'");
}

TEST_F(csv_table, names_the_encoding_of_bytes_that_are_not_utf8) {
  EXPECT_THAT(refused("id,text\n1,x\n2,\xC4\xE3\xBA\xC3\n"),
              HasSubstr("row 2 (line 3) is not UTF-8; name the file's encoding with --encoding, "
                        "perhaps gb18030"));
  EXPECT_THAT(refused("id,\xC4\xE3\n"), HasSubstr("the first row is not UTF-8"));
  EXPECT_THAT(refused("\xFF\xFE"s + "a\0,\0b\0\n\0"s),
              HasSubstr("is UTF-16, not UTF-8; add --encoding UTF-16"));
  EXPECT_THAT(refused("a\0,\0b\0\n\0"s), HasSubstr("add --encoding UTF-16LE"));
}

TEST_F(csv_table, does_not_take_parts_of_characters_in_two_cells_for_one) {
  EXPECT_THAT(refused("a,b\n\xE4,\xBD\xA0\n"), HasSubstr("is not UTF-8"));
}

TEST_F(csv_table, converts_other_encodings) {
  const table_options chinese{.encoding = "gb18030"};
  EXPECT_EQ(read("id,text\n1,\xC4\xE3\xBA\xC3\n", chinese).rows, (rows{{"1", "你好"}}));
  const table_options wide{.encoding = "UTF-16"};
  EXPECT_EQ(read("\xFF\xFE"s + "a\0\n\0\x60\x4F\n\0"s, wide).rows, (rows{{"你"}}));
  EXPECT_TRUE(open_table(dir_ / "data.csv", wide)->has_mark());
}

TEST_F(csv_table, converts_an_encoding_over_many_blocks) {
  std::string text = "text\n";
  rows expected;
  for (int i = 0; i < 60000; ++i) {
    text += std::string(static_cast<std::size_t>(i % 3), 'x') + "\xC4\xE3\xBA\xC3\n";
    expected.push_back({std::string(static_cast<std::size_t>(i % 3), 'x') + "你好"});
  }
  EXPECT_EQ(read(text, {.encoding = "GBK"}).rows, expected);
}

// Wherever a block ends, a character may lie across its end.
TEST_F(csv_table, converts_a_character_across_the_end_of_a_block) {
  struct sample {
    const char* encoding;
    std::string bytes;
    std::string utf8;
  };
  const std::string four_bytes = "\x94\x39\xDA\x33";  // in gb18030
  for (const sample& one :
       {sample{"gb18030", "\xC4\xE3", "你"}, sample{"gb18030", four_bytes, "💩"},
        sample{"windows-1252", "\xE9", "é"}, sample{"shift_jis", "\x82\xA0", "あ"}}) {
    for (std::size_t ahead = 0; ahead < 4; ++ahead) {
      for (const std::size_t count : {std::size_t{1500}, std::size_t{5000}}) {
        std::string text = std::string(ahead, 'x') + "text\n";
        std::string cell;
        for (std::size_t i = 0; i < count; ++i) {
          text += one.bytes;
          cell += one.utf8;
        }
        EXPECT_EQ(read(text + "\n", {.encoding = one.encoding}).rows, (rows{{cell}}))
            << one.encoding << " after " << ahead << " letters";
      }
    }
  }
}

// These decoders hold back a letter until the next one shows that no accent follows.
TEST_F(csv_table, converts_a_last_letter_that_could_get_an_accent) {
  EXPECT_EQ(read("id,t\n1,xin chao ba", {.encoding = "windows-1258"}).rows,
            (rows{{"1", "xin chao ba"}}));
  EXPECT_EQ(read("id,t\n1,\xF9\xE9", {.encoding = "windows-1255"}).rows, (rows{{"1", "שי"}}));
  // The letter is the first or the last one of a block.
  for (const std::size_t size : {4096U, 4097U, 65536U, 65537U, 131072U, 131073U}) {
    const std::string cell = std::string(size - 3, 'x') + "a";
    EXPECT_TRUE(read("t\n" + cell, {.encoding = "windows-1258"}).rows == (rows{{cell}})) << size;
  }
}

TEST_F(csv_table, refuses_bytes_that_are_not_of_the_encoding) {
  EXPECT_THAT(refused("a\nxy\xFF\xFFz\n", {.encoding = "gb18030"}),
              HasSubstr("is not gb18030 at byte 5; check --encoding"));
  EXPECT_THAT(refused("a\nxy\xC4", {.encoding = "gb18030"}), HasSubstr("at byte 5"));
  EXPECT_THAT(refused("a\n", {.encoding = "klingon"}),
              HasSubstr("--encoding klingon: is no encoding that this system converts"));
}

TEST_F(csv_table, names_what_is_no_text) {
  EXPECT_THAT(refused("PK\x03\x04..."), HasSubstr("is a spreadsheet (xlsx, ods) or a zip archive"));
  EXPECT_THAT(refused("PAR1"), HasSubstr("is a Parquet file"));
  EXPECT_THAT(refused("\x1F\x8B\x08"), HasSubstr("a name that ends with .gz"));
}

TEST_F(csv_table, reads_packed_files) {
  const std::string text = "a,b\n1,2\n";
  std::string zst(ZSTD_compressBound(text.size()), '\0');
  zst.resize(ZSTD_compress(zst.data(), zst.size(), text.data(), text.size(), 1));
  EXPECT_EQ(read(zst, {}, "data.csv.zst").rows, (rows{{"1", "2"}}));
  const std::string path = dir_ / "data.csv.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  EXPECT_EQ(read_whole(path).rows, (rows{{"1", "2"}}));
}

TEST_F(csv_table, says_that_data_is_missing_or_a_folder) {
  EXPECT_THAT(refusal_of([&] { (void)read_whole(dir_ / "none.csv"); }),
              HasSubstr("cannot read the data (No such file or directory); check the path"));
  EXPECT_THAT(refusal_of([&] { (void)read_whole(dir_.path()); }),
              HasSubstr("is a directory; name a file in it"));
}

TEST_F(csv_table, knows_the_format_by_name_then_by_the_first_character) {
  EXPECT_EQ(read("{\"a\":1}\n", {}, "data").columns, (std::vector<std::string>{"a"}));
  EXPECT_EQ(read("a,b\n1,2\n", {}, "data").rows, (rows{{"1", "2"}}));
  EXPECT_EQ(read("a\tb\n1\t2\n", {.format = table_format::tsv}, "data").rows, (rows{{"1", "2"}}));
  EXPECT_EQ(read("a;{b}\n", {}, "x.csv").columns, (std::vector<std::string>{"a;{b}"}));
}

// Random cells are written and read again. They also cross the boundaries of blocks.
TEST_F(csv_table, reads_what_the_writer_writes) {
  std::minstd_rand random(7);
  const std::vector<std::string> pieces = {",",    "\"", "\n", "\r\n", "\r",    " ",    "\t", "x",
                                           "你好", "é",  "'",  "\\",   "{{a}}", "0012", ";"};
  const auto cell = [&] {
    std::string text;
    for (auto n = random() % 6; n > 0; --n) text += pieces[random() % pieces.size()];
    return text;
  };
  for (int round = 0; round < 30; ++round) {
    const std::size_t columns = round == 0 ? 200 : 1 + random() % 8;
    const std::size_t count = round == 1 ? 60000 : random() % 400;
    rows expected;
    std::string text;
    for (std::size_t i = 0; i <= count; ++i) {
      auto& row = expected.emplace_back();
      for (std::size_t c = 0; c < columns; ++c) {
        row.push_back(columns == 1 ? "x" + cell() : cell());
        append_csv_cell(text, row.back());
        text += c + 1 < columns ? "," : round % 2 == 0 ? "\n" : "\r\n";
      }
    }
    const auto table = read(text);
    EXPECT_EQ(table.columns, expected.front());
    expected.erase(expected.begin());
    ASSERT_EQ(table.rows, expected) << "round " << round;
  }
}

}  // namespace
}  // namespace sluice::dataset
