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

/// How a table is written.
struct table_options {
  std::optional<table_format> format = {};  ///< unset: by the name, else by the first byte
  std::string encoding = {};                ///< as iconv names it; empty: UTF-8
  std::optional<char> delimiter = {};       ///< between cells; unset: a comma, or a tab in TSV
  bool quotes = true;                       ///< of CSV and TSV: quotes enclose cells
  std::uint64_t max_row_bytes = std::uint64_t{64} << 20;
};

/// One cell of a row. A view of the row.
struct table_cell {
  enum class kind : std::uint8_t { missing, text, json };
  kind is = kind::missing;
  std::string_view content;  ///< the text, or the value of a JSON object's member as it is written
};

struct table_row {
  std::uint64_t number = 0;  ///< 1-based, without the header
  std::uint64_t line = 0;    ///< 1-based line of the file where the row begins
  /// In the order of the columns. A JSON object has no cells for columns that came after it.
  std::vector<table_cell> cells;
  std::string_view json;  ///< the object as written; empty for CSV and TSV

  /// "row 3 (line 7)"
  std::string place() const;
};

/// Reads a table row by row, in memory for a block and the longest row. Not thread safe.
///
/// CSV is that of RFC 4180, read by libcsv: cells in quotes may hold commas, quotes and line ends;
/// spaces belong to their cells; lines end with LF, CRLF or CR; empty lines are skipped. A quote
/// inside a cell that does not begin with one is text. Refused, with the row's number: a row that
/// has more or fewer cells than the header, text behind a closing quote, a quote that is never
/// closed, bytes that are not UTF-8, a JSONL line that is no object.
class table_reader {
 public:
  virtual ~table_reader() = default;
  /// The next row, valid until the next call. False at the end. Throws fatal_error.
  virtual bool next(table_row& row) = 0;
  /// The columns by name. Those of JSONL are the members seen so far, so the list may grow.
  virtual const std::vector<std::string>& columns() const = 0;

  const std::string& name() const noexcept { return name_; }
  table_format format() const noexcept { return format_; }
  bool has_mark() const noexcept { return has_mark_; }
  /// Of CSV and TSV: the end of the first line is CRLF.
  bool ends_with_crlf() const noexcept { return crlf_; }

  /// The index of a column. Nothing if there is none. Throws fatal_error if several have the name.
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

/// A JSON string of the text, the text of a JSON string, the JSON text of other values; nothing for
/// null and a missing cell.
void append_text(std::string& out, const table_cell& cell);
/// The same as it stands inside of a JSON string, without the quotes.
void append_escaped(std::string& out, const table_cell& cell);
/// The cell as a JSON value.
void append_json(std::string& out, const table_cell& cell);
/// The cell as an id: lone surrogates are kept apart, as ids of a job are (WTF-8).
std::string id_of(const table_cell& cell);

}  // namespace sluice::dataset
