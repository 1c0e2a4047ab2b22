#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataset/table.hpp"
#include "sluice/error.hpp"
#include "support/temp_dir.hpp"

namespace sluice::dataset {

/// A whole table: its columns, and the text of all cells. "<none>" stands for a missing cell.
struct whole_table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::uint64_t> lines;
};

inline whole_table read_whole(const std::string& path, const table_options& options = {}) {
  const auto table = open_table(path, options);
  whole_table whole;
  for (table_row row; table->next(row);) {
    whole.lines.push_back(row.line);
    auto& cells = whole.rows.emplace_back();
    for (const table_cell& cell : row.cells) {
      cells.emplace_back(cell.is == table_cell::kind::missing ? "<none>" : "");
      append_text(cells.back(), cell);
    }
  }
  whole.columns = table->columns();
  return whole;
}

/// The message of the refusal; empty if `act` is not refused.
template <typename Act>
std::string refusal_of(const Act& act) {
  try {
    act();
  } catch (const fatal_error& refused) {
    return refused.what();
  }
  return {};
}

}  // namespace sluice::dataset
