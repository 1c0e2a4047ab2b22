#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/folder_files.hpp"
#include "dataset/table.hpp"

namespace sluice::dataset {

/// The body of a request with placeholders: `{{column}}` inside its strings stands for the cell of
/// that column, `{{file:column}}` for the file that the cell names, as a data URL. Values are never
/// expanded again, and all other braces stay. Not thread safe.
class request_template {
 public:
  /// `body`: valid JSON. `name`: the template's file, for messages. Throws fatal_error where a
  /// placeholder stands in the name of a member.
  request_template(std::string name, std::string_view body);

  /// Whether a `{{file:…}}` is among the placeholders.
  bool has_files() const;
  /// Whether there is any placeholder.
  bool has_placeholders() const { return pieces_.size() > 1; }

  /// Finds the columns; to be called once, when the first row is read. Throws fatal_error that
  /// names a missing column.
  void bind(const table_reader& table, const table_row& first);
  /// Adds the body for the row. `files` may be null where has_files() is false. Throws fatal_error
  /// that names row and column.
  void append_body(std::string& out, const table_reader& table, const table_row& row,
                   folder_files* files) const;

 private:
  // Text as it stands, then a placeholder; the last one has none.
  struct piece {
    std::string text;
    std::optional<std::string> column;
    bool is_file = false;
    std::size_t index = 0;  // of the column, once bound
  };
  void add_string(std::string_view inside, std::string& pending);

  std::string name_;
  std::vector<piece> pieces_;
};

}  // namespace sluice::dataset
