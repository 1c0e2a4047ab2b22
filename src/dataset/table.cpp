#include "dataset/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "dataset/csv_table.hpp"
#include "dataset/jsonl_table.hpp"
#include "dataset/text_source.hpp"
#include "json/members.hpp"
#include "json/plain_prefix.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

table_format format_of(const std::string& path, std::string_view start) {
  std::string_view name = path;
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.remove_suffix(packed.size());
  }
  if (name.ends_with(".csv")) return table_format::csv;
  if (name.ends_with(".tsv") || name.ends_with(".tab")) return table_format::tsv;
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return table_format::jsonl;
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  const bool braced = first != std::string_view::npos && start[first] == '{';
  return braced ? table_format::jsonl : table_format::csv;
}

// Most text needs no escape inside a JSON string.
void append_without_quotes(std::string& out, std::string_view text) {
  if (plain_prefix(text) == text.size()) {
    out += text;
    return;
  }
  const std::string quoted = json_quote(text);
  out.append(quoted, 1, quoted.size() - 2);
}

}  // namespace

std::string table_row::place() const {
  return line == number ? fmt::format("row {}", number)
                        : fmt::format("row {} (line {})", number, line);
}

std::optional<std::size_t> table_reader::find_column(std::string_view wanted) const {
  const auto& all = columns();
  const auto found = std::find(all.begin(), all.end(), wanted);
  if (found == all.end()) return std::nullopt;
  if (std::find(found + 1, all.end(), wanted) != all.end()) {
    refuse(name_, fmt::format("has two columns with the name '{}'; rename one of them",
                              printable_text(wanted)));
  }
  return static_cast<std::size_t>(found - all.begin());
}

std::string table_reader::columns_text() const {
  constexpr std::size_t most = 12;
  constexpr std::size_t longest = 40;
  std::string text;
  const auto& all = columns();
  for (std::size_t i = 0; i < std::min(all.size(), most); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", printable_text(utf8_prefix(all[i], longest)));
  }
  if (all.size() > most) text += fmt::format(", and {} more", all.size() - most);
  if (all.size() == 1) {
    for (const auto& [other, name] :
         {std::pair(';', "';'"), std::pair('\t', "tab"), std::pair('|', "'|'")}) {
      if (all.front().find(other) == std::string::npos) continue;
      return text + fmt::format("; if cells end at another character, add --delimiter {}", name);
    }
  }
  return text;
}

void table_reader::refuse_row(const table_row& row, std::string_view what) const {
  refuse(name_, fmt::format("{} {}", row.place(), what));
}

std::unique_ptr<table_reader> open_table(const std::string& path, const table_options& options) {
  text_source text = open_text(path, options.encoding);
  const std::string name = path == "-" ? "standard input" : path;
  const table_format format = options.format.value_or(format_of(path, text.start));
  if (format == table_format::jsonl) return open_jsonl(name, std::move(text), options);
  return open_csv(name, std::move(text), format, options);
}

void append_text(std::string& out, const table_cell& cell) {
  switch (cell.is) {
    case table_cell::kind::missing:
      return;
    case table_cell::kind::text:
      out += cell.content;
      return;
    case table_cell::kind::json:
      if (cell.content == "null") return;
      if (cell.content.front() == '"') {
        out += json_string(cell.content).value_or(std::string());
      } else {
        out += cell.content;
      }
  }
}

void append_escaped(std::string& out, const table_cell& cell) {
  if (cell.is == table_cell::kind::missing) return;
  if (cell.is == table_cell::kind::text) return append_without_quotes(out, cell.content);
  if (cell.content == "null") return;
  if (cell.content.front() == '"') {
    out += cell.content.substr(1, cell.content.size() - 2);
  } else {
    append_without_quotes(out, cell.content);
  }
}

void append_json(std::string& out, const table_cell& cell) {
  if (cell.is == table_cell::kind::missing) {
    out += "null";
  } else if (cell.is == table_cell::kind::json) {
    out += cell.content;
  } else {
    append_json_quoted(out, cell.content);
  }
}

std::string id_of(const table_cell& cell) {
  std::string id;
  if (cell.is == table_cell::kind::json && cell.content.front() == '"') {
    id = json_string_wtf8(cell.content).value_or(std::string());
  } else {
    append_text(id, cell);
  }
  return id;
}

}  // namespace sluice::dataset
