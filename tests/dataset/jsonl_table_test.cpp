#include "dataset/jsonl_table.hpp"

#include <gmock/gmock.h>

#include "dataset/reading.hpp"

namespace sluice::dataset {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using rows = std::vector<std::vector<std::string>>;

class jsonl_table : public testing::Test {
 protected:
  whole_table read(const std::string& text, const table_options& options = {}) {
    return read_whole(dir_.write("data.jsonl", text), options);
  }
  test::temp_dir dir_;
};

TEST_F(jsonl_table, takes_members_as_cells) {
  const auto table =
      read("{\"a\":\"x\\n\\u4f60\",\"b\":1.50}\n\n {\"b\":[1, 2],\"c\":null,\"a\":\"\"} \n");
  EXPECT_THAT(table.columns, ElementsAre("a", "b", "c"));
  EXPECT_EQ(table.rows, (rows{{"x\n你", "1.50"}, {"", "[1, 2]", ""}}));
  EXPECT_THAT(table.lines, ElementsAre(1, 3));
}

TEST_F(jsonl_table, has_no_cell_where_a_member_is_missing) {
  EXPECT_EQ(read("{\"a\":1,\"b\":2}\n{\"b\":3}\n").rows, (rows{{"1", "2"}, {"<none>", "3"}}));
}

TEST_F(jsonl_table, refuses_lines_that_are_no_objects) {
  EXPECT_THAT(refusal_of([&] { read("{\"a\":1}\n{\"a\":}\n"); }),
              HasSubstr("row 2 is not a JSON object: expected a value"));
  EXPECT_THAT(refusal_of([&] { read("{\"a\":1}\n7\n"); }),
              HasSubstr("row 2 is not a JSON object; correct that line"));
  EXPECT_THAT(refusal_of([&] { read("[{\"a\":1}]\n"); }), HasSubstr("is a JSON array"));
  EXPECT_THAT(refusal_of([&] { read("{\"a\":\"\xC4\xE3\"}\n"); }),
              HasSubstr("row 1 is not UTF-8; name the file's encoding with --encoding"));
  EXPECT_THAT(refusal_of([&] { read("{\"a\":\"xxxxxxxxxxxxxxxxxxxx\"}\n", {.max_row_bytes = 9}); }),
              HasSubstr("row 1 is longer than 9 bytes"));
}

TEST_F(jsonl_table, gives_cells_in_every_form) {
  dir_.write("data.jsonl",
             "{\"s\":\"a\\\"\\u00e9\",\"n\":12e1,\"o\":{\"k\":\"v\"},\"z\":null,\"b\":true}\n");
  const auto table = open_table(dir_ / "data.jsonl", {});
  table_row row;
  ASSERT_TRUE(table->next(row));
  std::vector<std::string> escaped(row.cells.size());
  std::vector<std::string> json(row.cells.size());
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    append_escaped(escaped[i], row.cells[i]);
    append_json(json[i], row.cells[i]);
  }
  EXPECT_THAT(escaped, ElementsAre("a\\\"\\u00e9", "12e1", "{\\\"k\\\":\\\"v\\\"}", "", "true"));
  EXPECT_THAT(json, ElementsAre("\"a\\\"\\u00e9\"", "12e1", "{\"k\":\"v\"}", "null", "true"));
  EXPECT_EQ(id_of(row.cells[0]), "a\"é");
  EXPECT_EQ(id_of(row.cells[1]), "12e1");
}

}  // namespace
}  // namespace sluice::dataset
