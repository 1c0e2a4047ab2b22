#include "dataset/jsonl_table.hpp"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

#include "base/refuse.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

class jsonl_table final : public table_reader {
 public:
  jsonl_table(const std::string& name, text_source text, const table_options& options)
      : table_reader(name, table_format::jsonl, text.has_mark),
        lines_(std::move(text.bytes), options.max_row_bytes),
        max_row_bytes_(options.max_row_bytes) {}

  bool next(table_row& row) override {
    line_reader::line line;
    if (!lines_.next(line)) return false;
    row.number = ++number_;
    row.line = line.number;
    if (line.too_long) {
      refuse_row(row,
                 fmt::format("is longer than {} bytes; raise --max-line-bytes", max_row_bytes_));
    }
    const json_object object = json_object::parse(line.text);
    if (!object.is_object()) refuse_line(row, line.text);
    row.json = line.text.substr(line.text.find('{'));
    row.json = row.json.substr(0, row.json.rfind('}') + 1);
    row.cells.assign(columns_.size(), {});
    std::size_t place = 0;
    for (const json_member& member : object) {
      const std::size_t column = column_of(member, place++);
      if (column >= row.cells.size()) row.cells.resize(column + 1);
      row.cells[column] = {table_cell::kind::json, member.value};
    }
    return true;
  }
  const std::vector<std::string>& columns() const override { return columns_; }

 private:
  // Finds the column of a member. Most rows have the same members in the same order, so the
  // expected column is tried first.
  std::size_t column_of(const json_member& member, std::size_t expected) {
    constexpr std::size_t most = 10'000;
    if (expected < columns_.size() && !member.escaped && columns_[expected] == member.key)
      return expected;
    const auto [found, is_new] = places_.emplace(member_name(member), columns_.size());
    if (is_new) {
      if (columns_.size() == most) {
        refuse(name(), fmt::format("its rows have more than {} different members; a member's name "
                                   "must be that of a column",
                                   most));
      }
      columns_.push_back(found->first);
    }
    return found->second;
  }

  [[noreturn]] void refuse_line(const table_row& row, std::string_view text) const {
    const auto fault = json_fault(text);
    if (fault && *fault == "invalid UTF-8") {
      const std::string guess = likely_encodings(text);
      refuse_row(row, fmt::format("is not UTF-8; name the file's encoding with --encoding{}{}",
                                  guess.empty() ? "" : ", ", guess));
    }
    if (row.number == 1 && text.starts_with('[')) {
      refuse(name(), "is a JSON array; write one object a line, as with: jq -c '.[]' FILE");
    }
    refuse_row(row,
               fmt::format("is not a JSON object{}; correct that line, or name the --format of "
                           "the file",
                           fault ? ": " + *fault : ""));
  }

  line_reader lines_;
  const std::uint64_t max_row_bytes_;
  std::vector<std::string> columns_;
  std::unordered_map<std::string, std::size_t> places_;
  std::uint64_t number_ = 0;
};

}  // namespace

std::unique_ptr<table_reader> open_jsonl(const std::string& name, text_source text,
                                         const table_options& options) {
  return std::make_unique<jsonl_table>(name, std::move(text), options);
}

}  // namespace sluice::dataset
