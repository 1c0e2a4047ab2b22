#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::dataset {

enum class table_format : std::uint8_t { csv, tsv, jsonl };

constexpr std::string_view to_string(table_format format) noexcept {
  return format == table_format::csv ? "csv" : format == table_format::tsv ? "tsv" : "jsonl";
}

/// The form in which a table is written.
struct table_options {
  std::optional<table_format> format = {};  ///< unset: from the name, otherwise from the first byte
  std::string encoding = {};                ///< a name that iconv knows; empty: UTF-8
  std::optional<char> delimiter = {};       ///< between cells; unset: a comma, or a tab in TSV
  bool quotes = true;                       ///< in CSV and TSV: quotes enclose cells
  std::uint64_t max_row_bytes = std::uint64_t{64} << 20;
};

/// One cell of a row. It is a view of the row.
struct table_cell {
  enum class kind : std::uint8_t { missing, text, json };
  kind is = kind::missing;
  /// The text, or the value of a member of a JSON object as it is written.
  std::string_view content;
};

struct table_row {
  std::uint64_t number = 0;  ///< 1-based, without the header
  std::uint64_t line = 0;    ///< 1-based line of the file where the row begins
  /// In the order of the columns. A JSON object has no cells for columns that were first seen
  /// later.
  std::vector<table_cell> cells;
  std::string_view json;  ///< the object as written; empty for CSV and TSV

  /// "row 3 (line 7)"
  std::string place() const;
};

/// Reads a table row by row. Memory: one block and the longest row. Not thread safe.
///
/// The CSV format is that of RFC 4180, read by libcsv: cells in quotes may contain commas, quotes
/// and line ends; spaces are part of their cells; lines end with LF, CRLF or CR; empty lines are
/// skipped. A quote inside a cell that does not begin with one is text. These are refused, with the
/// number of the row: a row with more or fewer cells than the header, text after a closing quote, a
/// quote that is never closed, bytes that are not UTF-8, a JSONL line that is not an object.
class table_reader {
 public:
  virtual ~table_reader() = default;
  /// The next row, valid until the next call. False at the end. Throws fatal_error.
  virtual bool next(table_row& row) = 0;
  /// The names of the columns. In JSONL these are the members seen so far, so the list may grow.
  virtual const std::vector<std::string>& columns() const = 0;

  const std::string& name() const noexcept { return name_; }
  table_format format() const noexcept { return format_; }
  bool has_mark() const noexcept { return has_mark_; }
  /// In CSV and TSV: whether the first line ends with CRLF.
  bool ends_with_crlf() const noexcept { return crlf_; }

  /// The index of a column. Nothing if there is none. Throws fatal_error if several columns have
  /// this name.
  std::optional<std::size_t> find_column(std::string_view wanted) const;
  /// The names of the first columns, for a message.
  std::string columns_text() const;

 protected:
  table_reader(std::string name, table_format format, bool has_mark)
      : name_(std::move(name)), format_(format), has_mark_(has_mark) {}
  [[noreturn]] void refuse_row(const table_row& row, std::string_view what) const;
  bool crlf_ = false;

 private:
  std::string name_;
  table_format format_;
  bool has_mark_;
};

/// Opens a table: a file, compressed if its name ends with .gz or .zst, or "-" for standard input.
/// Throws fatal_error, also for a table without a header.
std::unique_ptr<table_reader> open_table(const std::string& path, const table_options& options);

/// Appends the cell as text: the text itself, the text of a JSON string, or the JSON text of
/// another value; nothing for null and a missing cell.
void append_text(std::string& out, const table_cell& cell);
/// The same, escaped for use inside a JSON string, without the quotes.
void append_escaped(std::string& out, const table_cell& cell);
/// Appends the cell as a JSON value.
void append_json(std::string& out, const table_cell& cell);
/// The cell as an id. Lone surrogates stay, as in the ids of a job (WTF-8).
std::string id_of(const table_cell& cell);

}  // namespace sluice::dataset
