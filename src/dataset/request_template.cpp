#include "dataset/request_template.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/ascii.hpp"
#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

constexpr std::string_view opening = "{{";
constexpr std::string_view closing = "}}";
constexpr std::string_view file_prefix = "file:";

// The end of the string that begins at `quote`: its closing quote.
std::size_t end_of_string(std::string_view json, std::size_t quote) {
  std::size_t at = quote + 1;
  while (json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return at;
}

// The first placeholder of a string: where it begins, and its name. In `{{{a}}}` the inner braces
// count.
struct found_placeholder {
  std::size_t begin = 0;
  std::string_view name;
};
std::optional<found_placeholder> find_placeholder(std::string_view inside) {
  std::size_t from = 0;  // after the pairs that contain no name
  for (std::size_t end = 0; (end = inside.find(closing, from)) != std::string_view::npos;) {
    const std::size_t begin = inside.substr(0, end).rfind(opening);
    if (begin == std::string_view::npos || begin < from) {
      from = end + 1;
      continue;
    }
    const std::string_view name =
        inside.substr(begin + opening.size(), end - begin - opening.size());
    if (!trimmed(name).empty()) return found_placeholder{begin, name};
    from = end + closing.size();
  }
  return std::nullopt;
}

}  // namespace

request_template::request_template(std::string name, std::string_view body)
    : name_(std::move(name)) {
  std::string pending;
  for (std::size_t at = 0; at < body.size();) {
    if (body[at] != '"') {
      pending += body[at++];
      continue;
    }
    const std::size_t end = end_of_string(body, at);
    const std::string_view inside = body.substr(at + 1, end - at - 1);
    const std::size_t next = body.find_first_not_of(" \t\r\n", end + 1);
    const bool is_key = next != std::string_view::npos && body[next] == ':';
    if (is_key && find_placeholder(inside)) {
      refuse(name_,
             fmt::format("a placeholder stands in the name of a member, \"{}\"; placeholders "
                         "stand in values",
                         printable_text(inside)));
    }
    pending += '"';
    if (is_key) {
      pending += inside;
    } else {
      add_string(inside, pending);
    }
    pending += '"';
    at = end + 1;
  }
  pieces_.push_back({std::move(pending), std::nullopt});
}

void request_template::add_string(std::string_view inside, std::string& pending) {
  while (const auto found = find_placeholder(inside)) {
    pending += inside.substr(0, found->begin);
    inside.remove_prefix(found->begin + opening.size() + found->name.size() + closing.size());
    std::string column = json_unescaped(found->name, false).value_or(std::string(found->name));
    const bool is_file = trimmed(column).starts_with(file_prefix);
    if (is_file) column = trimmed(column).substr(file_prefix.size());
    pieces_.push_back({std::move(pending), std::move(column), is_file});
    pending.clear();
  }
  pending += inside;
}

bool request_template::has_files() const {
  return std::any_of(pieces_.begin(), pieces_.end(), [](const auto& one) { return one.is_file; });
}

void request_template::bind(const table_reader& table, const table_row& first) {
  for (piece& one : pieces_) {
    if (!one.column) continue;
    auto found = table.find_column(*one.column);
    if (!found) found = table.find_column(trimmed(*one.column));
    if (!found) {
      refuse(name_,
             fmt::format("{{{{{}}}}} names no column of {}: {} has {}", printable_text(*one.column),
                         table.name(), first.place(), table.columns_text()));
    }
    one.index = *found;
  }
}

void request_template::append_body(std::string& out, const table_reader& table,
                                   const table_row& row, folder_files* files) const {
  for (const piece& one : pieces_) {
    out += one.text;
    if (!one.column) continue;
    const table_cell cell = one.index < row.cells.size() ? row.cells[one.index] : table_cell{};
    if (cell.is == table_cell::kind::missing) {
      refuse(table.name(), fmt::format("{} has no column '{}', which the template names",
                                       row.place(), printable_text(*one.column)));
    }
    if (!one.is_file) {
      append_escaped(out, cell);
      continue;
    }
    std::string file;
    append_text(file, cell);
    const std::string why = files->append_data_url(out, file);
    if (why.empty()) continue;
    refuse(table.name(), fmt::format("{}, column '{}': the file '{}' {}", row.place(),
                                     printable_text(*one.column), printable_text(file), why));
  }
}

}  // namespace sluice::dataset
