#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/folder_files.hpp"
#include "dataset/table.hpp"

namespace sluice::dataset {

/// The body of a request with placeholders. Inside its strings, `{{column}}` is replaced by the
/// cell of that column, and `{{file:column}}` by the file that the cell names, as a data URL.
/// Inserted values are never expanded again, and all other braces stay. Not thread safe.
class request_template {
 public:
  /// `body`: valid JSON. `name`: the template's file, for messages. Throws fatal_error if a
  /// placeholder is in the name of a member.
  request_template(std::string name, std::string_view body);

  /// Whether one of the placeholders is a `{{file:…}}`.
  bool has_files() const;
  /// Whether there is any placeholder.
  bool has_placeholders() const { return pieces_.size() > 1; }

  /// Finds the columns. Call it once, when the first row has been read. Throws fatal_error that
  /// names a missing column.
  void bind(const table_reader& table, const table_row& first);
  /// Adds the body for the row. `files` may be null if has_files() is false. Throws fatal_error
  /// that names the row and the column.
  void append_body(std::string& out, const table_reader& table, const table_row& row,
                   folder_files* files) const;

 private:
  // A text, followed by a placeholder; the last piece has no placeholder.
  struct piece {
    std::string text;
    std::optional<std::string> column;
    bool is_file = false;
    std::size_t index = 0;  // index of the column, after bind()
  };
  void add_string(std::string_view inside, std::string& pending);

  std::string name_;
  std::vector<piece> pieces_;
};

}  // namespace sluice::dataset
