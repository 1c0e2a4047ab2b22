#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataset/answer_path.hpp"
#include "dataset/csv_table.hpp"
#include "dataset/jsonl_table.hpp"
#include "dataset/request_template.hpp"
#include "dataset/table.hpp"
#include "fuzz/support.hpp"
#include "json/text.hpp"
#include "sluice/error.hpp"

namespace sluice::fuzz {
namespace {

using namespace dataset;
using json = nlohmann::json;

/// Bytes in memory, returned in pieces.
class pieces final : public byte_source {
 public:
  pieces(std::string_view bytes, std::vector<std::size_t> cuts)
      : bytes_(bytes), cuts_(std::move(cuts)) {}
  std::size_t read(char* into, std::size_t size) override {
    while (next_ < cuts_.size() && cuts_[next_] <= at_) ++next_;
    const std::size_t end = next_ < cuts_.size() ? cuts_[next_] : bytes_.size();
    const std::size_t count = std::min(size, end - at_);
    bytes_.copy(into, count, at_);
    at_ += count;
    return count;
  }

 private:
  std::string_view bytes_;
  std::vector<std::size_t> cuts_;
  std::size_t at_ = 0;
  std::size_t next_ = 0;
};

/// A table until the place where the reader refuses it.
struct whole {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::string refusal;
  friend bool operator==(const whole&, const whole&) = default;
};

std::unique_ptr<table_reader> open(std::string_view text, std::vector<std::size_t> cuts,
                                   table_format format, bool quotes) {
  text_source source;
  source.bytes = std::make_unique<pieces>(text, std::move(cuts));
  const table_options options{.quotes = quotes};
  return format == table_format::jsonl ? open_jsonl("data", std::move(source), options)
                                       : open_csv("data", std::move(source), format, options);
}

whole read(std::string_view text, std::vector<std::size_t> cuts, table_format format,
           bool quotes = true) {
  whole table;
  try {
    const auto reader = open(text, std::move(cuts), format, quotes);
    if (format != table_format::jsonl) table.columns = reader->columns();
    for (table_row row; reader->next(row);) {
      auto& cells = table.rows.emplace_back();
      for (const table_cell& cell : row.cells) {
        append_text(cells.emplace_back(), cell);
        require(is_utf8(cells.back()), "a cell is UTF-8", cells.back());
        std::string value;
        append_json(value, cell);
        require(!json_fault(value), "a cell is a JSON value", value);
        std::string escaped = "\"";
        append_escaped(escaped, cell);
        escaped += '"';
        require(!json_fault(escaped), "a cell stands in a JSON string", escaped);
      }
      if (format != table_format::jsonl) {
        require(cells.size() == table.columns.size(), "a row has the cells of the header");
      }
    }
  } catch (const fatal_error& refused) {
    table.refusal = refused.what();
    require(refused.why() == fatal_error::kind::cannot_start && is_one_line(refused.what()),
            "a table is refused in one sentence", refused.what());
  }
  return table;
}

void check_table(input& given) {
  const table_format format =
      std::vector{table_format::csv, table_format::tsv, table_format::jsonl}[given.pick(3)];
  const bool quotes = given.pick(2) == 0;
  const std::string_view text = given.text();
  const whole table = read(text, {}, format, quotes);
  require(read(text, given.cuts(text), format, quotes) == table, "pieces make no difference");
  require(read(text, every_byte(text), format, quotes) == table, "bytes make no difference");
  if (format == table_format::jsonl || table.columns.empty()) return;

  std::string written;
  const auto write = [&](const std::vector<std::string>& cells) {
    std::string row;
    for (const std::string& cell : cells) {
      if (!row.empty() || &cell != &cells.front()) row += ',';
      append_csv_cell(row, cell);
    }
    written += row.empty() ? "\"\"" : row;
    written += '\n';
  };
  write(table.columns);
  for (const auto& row : table.rows) write(row);
  whole again = read(written, {}, table_format::csv);
  require(again.refusal.empty(), "what is written can be read", again.refusal);
  require(again.columns == table.columns && again.rows == table.rows,
          "what is written is read as it was", written);
}

void check_template(std::string_view body) {
  if (json_fault(body)) return;
  try {
    request_template made("t.json", body);
    if (made.has_files()) return;
    const auto table =
        open("a,b c,\"{{a}}\"\n\"x\"\"\n{{b c}}\",你,}}\n", {}, table_format::csv, true);
    table_row row;
    require(table->next(row), "the table has a row");
    made.bind(*table, row);
    std::string out;
    made.append_body(out, *table, row, nullptr);
    require(!json_fault(out), "a request is JSON", out);
    require(made.has_placeholders() || out == body, "a template without placeholders stays", out);
  } catch (const fatal_error& refused) {
    require(is_one_line(refused.what()), "a template is refused in one sentence", refused.what());
  }
}

void check_cell(std::string_view cell) {
  if (!is_utf8(cell)) return;
  std::string text = "a\n";
  append_csv_cell(text, cell);
  if (cell.empty()) text += "\"\"";
  const auto table = open(text, {}, table_format::csv, true);
  table_row row;
  require(table->next(row), "a cell makes a row", text);
  request_template made("t.json", R"({"t":"<{{a}}>"})");
  made.bind(*table, row);
  std::string out;
  made.append_body(out, *table, row, nullptr);
  require(json::parse(out)["t"] == "<" + std::string(cell) + ">", "a cell goes in as it is", out);
}

void check_path(std::string_view text) {
  const auto path = answer_path::parse(text);
  if (!path) return;
  for (const char* body : {R"({"choices":[{"message":{"content":"{\"a\":[1,{\"b\":\"\\n\"}]}"}}]})",
                           R"({"a":{"b":[null,"x"]},"output":[]})", "[1]", "\"x\""}) {
    const found_value found = path->find(body);
    require(!json_fault(found.json()), "a found value is JSON", found.json());
    require(is_utf8(found.text()) && is_one_line(found.fault), "a found value is text");
  }
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::fuzz::input given(data, size);
  switch (given.pick(4)) {
    case 1:
      sluice::fuzz::check_template(given.text());
      break;
    case 2:
      sluice::fuzz::check_cell(given.text());
      break;
    case 3:
      sluice::fuzz::check_path(given.text());
      break;
    default:
      sluice::fuzz::check_table(given);
  }
  return 0;
}
