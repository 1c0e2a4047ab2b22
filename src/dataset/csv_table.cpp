#include "dataset/csv_table.hpp"

#include <csv.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/refuse.hpp"

namespace sluice::dataset {
namespace {

constexpr std::size_t block = std::size_t{256} << 10;

int never(unsigned char /*c*/) {
  return 0;
}

// Wraps the parser of libcsv, which calls functions for cells and rows. They collect the rows of a
// block.
class csv_cells {
 public:
  struct row_end {
    std::size_t cells = 0;   // index into cell_ends_
    std::uint64_t line = 0;  // the line on which the row begins
    bool crlf = false;
  };

  csv_cells(char delimiter, bool quotes) {
    if (::csv_init(&parser_, strictness) != 0) throw std::bad_alloc();
    ::csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    // NUL means "no quote"; no other byte is free for this in UTF-8 text.
    if (!quotes) ::csv_set_quote(&parser_, '\0');
    ::csv_set_space_func(&parser_, never);
  }
  csv_cells(const csv_cells&) = delete;
  csv_cells& operator=(const csv_cells&) = delete;
  ~csv_cells() { ::csv_free(&parser_); }

  /// Removes the complete rows and their cells. An incomplete row stays.
  void drop_rows() {
    if (rows_.empty()) return;
    const std::size_t cells = rows_.back().cells;
    const std::size_t bytes = cell_ends_[cells - 1] + 1;
    text_.erase(0, bytes);
    cell_ends_.erase(cell_ends_.begin(), cell_ends_.begin() + static_cast<std::ptrdiff_t>(cells));
    for (std::size_t& end : cell_ends_) end -= bytes;
    rows_.clear();
  }

  /// False if text follows a closing quote; the rows before it can be read.
  bool add(std::string_view bytes) {
    while (!bytes.empty()) {
      bytes.remove_prefix(::csv_parse(&parser_, bytes.data(), bytes.size(), on_cell, on_row, this));
      if (::csv_error(&parser_) == CSV_ENOMEM || ::csv_error(&parser_) == CSV_ETOOBIG)
        throw std::bad_alloc();
      if (bytes.empty()) return true;
      if (parser_.quoted != 0) return false;
      // A quote inside a cell that does not begin with one is text.
      ::csv_set_opts(&parser_, lenience);
      ::csv_parse(&parser_, bytes.data(), 1, on_cell, on_row, this);
      ::csv_set_opts(&parser_, strictness);
      bytes.remove_prefix(1);
    }
    return true;
  }
  /// False if a quote was never closed.
  bool finish() { return ::csv_fini(&parser_, on_cell, on_row, this) == 0; }

  const std::vector<row_end>& rows() const { return rows_; }
  /// A cell, counted over all rows.
  std::string_view cell(std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : cell_ends_[i - 1] + 1;
    return {text_.data() + begin, cell_ends_[i] - begin};
  }
  /// The text of some cells, with a line end after each.
  std::string_view text(std::size_t first, std::size_t last) const {
    const std::size_t begin = first == 0 ? 0 : cell_ends_[first - 1] + 1;
    return {text_.data() + begin, cell_ends_[last - 1] - begin};
  }
  /// Number of bytes of the incomplete row.
  std::size_t open_bytes() {
    const std::size_t begin = rows_.empty() ? 0 : cell_ends_[rows_.back().cells - 1] + 1;
    return text_.size() - begin + parser_.entry_pos;
  }
  /// The line on which the incomplete row begins.
  std::uint64_t open_line() const { return row_line_; }

 private:
  static constexpr unsigned char lenience = CSV_REPALL_NL | CSV_STRICT_FINI;
  static constexpr unsigned char strictness = lenience | CSV_STRICT;

  // Called from C code, through which no exception may pass, so the process ends if memory is
  // exhausted.
  static void on_cell(void* bytes, std::size_t size, void* self) noexcept {
    static_cast<csv_cells*>(self)->add_cell({static_cast<const char*>(bytes), size});
  }
  static void on_row(int end, void* self) noexcept { static_cast<csv_cells*>(self)->end_row(end); }

  void add_cell(std::string_view cell) {
    text_ += cell;
    cell_ends_.push_back(text_.size());
    text_ += '\n';
    line_ += static_cast<std::uint64_t>(std::count(cell.begin(), cell.end(), '\n'));
    after_return_ = false;
  }
  // libcsv reports an empty line as a row without cells, and also the LF of CRLF.
  void end_row(int end) {
    const std::size_t before = rows_.empty() ? 0 : rows_.back().cells;
    if (cell_ends_.size() > before) {
      rows_.push_back({cell_ends_.size(), row_line_, false});
    } else if (after_return_ && end == '\n' && !rows_.empty()) {
      rows_.back().crlf = true;
    }
    if (!(after_return_ && end == '\n')) ++line_;
    after_return_ = end == '\r';
    row_line_ = line_;
  }

  csv_parser parser_{};
  std::string text_;
  std::vector<std::size_t> cell_ends_;
  std::vector<row_end> rows_;
  std::uint64_t line_ = 1;
  std::uint64_t row_line_ = 1;
  bool after_return_ = false;
};

class csv_table final : public table_reader {
 public:
  csv_table(const std::string& name, text_source text, table_format format,
            const table_options& options)
      : table_reader(name, format, text.has_mark),
        bytes_(std::move(text.bytes)),
        cells_(options.delimiter.value_or(format == table_format::tsv ? '\t' : ','),
               options.quotes),
        max_row_bytes_(options.max_row_bytes),
        block_(block) {
    table_row header;
    if (!read(header)) refuse(name, "is empty; its first row must name the columns");
    for (const table_cell& cell : header.cells) columns_.emplace_back(cell.content);
    crlf_ = crlf_row_;
    number_ = 0;
  }

  bool next(table_row& row) override {
    if (!read(row)) return false;
    if (row.cells.size() == columns_.size()) return true;
    refuse_row(row,
               fmt::format("has {} cell(s), and the first row names {} column(s); correct that row",
                           row.cells.size(), columns_.size()));
  }
  const std::vector<std::string>& columns() const override { return columns_; }

 private:
  bool read(table_row& row) {
    while (next_row_ == cells_.rows().size()) {
      if (faulty_) refuse_fault();
      if (ended_) return false;
      fill();
    }
    const auto& end = cells_.rows()[next_row_++];
    const std::size_t first = next_cell_;
    next_cell_ = end.cells;
    row.number = ++number_;
    row.line = end.line;
    crlf_row_ = end.crlf;
    row.cells.clear();
    for (std::size_t i = first; i < end.cells; ++i) {
      row.cells.push_back({table_cell::kind::text, cells_.cell(i)});
    }
    const std::string_view text = cells_.text(first, end.cells);
    if (!simdjson::validate_utf8(text.data(), text.size())) refuse_encoding(row, text);
    return true;
  }

  void fill() {
    cells_.drop_rows();
    next_row_ = 0;
    next_cell_ = 0;
    const std::size_t n = bytes_->read(block_.data(), block_.size());
    ended_ = n == 0;
    faulty_ = ended_ ? !cells_.finish() : !cells_.add({block_.data(), n});
    if (!faulty_ && cells_.open_bytes() > max_row_bytes_) faulty_ = too_long_ = true;
  }

  // The error is in the incomplete row.
  [[noreturn]] void refuse_fault() const {
    table_row row;
    row.number = number_ + 1;
    row.line = cells_.open_line();
    if (too_long_) {
      refuse_row(row, fmt::format("is longer than {} bytes: its closing quote may be missing; "
                                  "correct that row, or raise --max-line-bytes",
                                  max_row_bytes_));
    }
    refuse_row(row, ended_
                        ? "has a quote that is never closed; correct that row, or add --no-quotes "
                          "where quotes are plain text"
                        : "has text behind a closing quote; double the quotes inside of a cell, "
                          "or add --no-quotes where quotes are plain text");
  }

  [[noreturn]] void refuse_encoding(const table_row& row, std::string_view text) const {
    const std::string guess = likely_encodings(text);
    const std::string what =
        fmt::format("is not UTF-8; name the file's encoding with --encoding{}{}",
                    guess.empty() ? "" : ", ", guess);
    if (columns_.empty()) refuse(name(), "the first row " + what);
    refuse_row(row, what);
  }

  const std::unique_ptr<byte_source> bytes_;
  csv_cells cells_;
  const std::uint64_t max_row_bytes_;
  std::vector<char> block_;
  std::vector<std::string> columns_;
  std::size_t next_row_ = 0;
  std::size_t next_cell_ = 0;
  std::uint64_t number_ = 0;
  bool crlf_row_ = false;
  bool ended_ = false;
  bool faulty_ = false;
  bool too_long_ = false;
};

}  // namespace

std::unique_ptr<table_reader> open_csv(const std::string& name, text_source text,
                                       table_format format, const table_options& options) {
  return std::make_unique<csv_table>(name, std::move(text), format, options);
}

void append_csv_cell(std::string& out, std::string_view cell) {
  const bool plain = cell.find_first_of(",\"\r\n") == std::string_view::npos &&
                     (cell.empty() || (cell.front() != ' ' && cell.back() != ' ' &&
                                       cell.front() != '\t' && cell.back() != '\t'));
  if (plain) {
    out += cell;
    return;
  }
  out += '"';
  for (std::size_t quote = 0; (quote = cell.find('"')) != std::string_view::npos;) {
    out.append(cell.substr(0, quote + 1)) += '"';
    cell.remove_prefix(quote + 1);
  }
  out.append(cell) += '"';
}

}  // namespace sluice::dataset
