#include "dataset/extract.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "dataset/csv_table.hpp"
#include "dataset/draft.hpp"
#include "dataset/prepare.hpp"
#include "dataset/result_lines.hpp"
#include "jobs/own_files.hpp"
#include "jobs/stored_line.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

constexpr std::string_view error_column = "error";
constexpr std::size_t longest_row = std::size_t{1} << 30;  // rows of data and replies are shorter
constexpr std::array<std::string_view, 5> usage_columns = {
    "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cost_usd"};

bool is_csv(const std::string& path) {
  return path.ends_with(".csv");
}

// The name of the column for failures.
std::string failure_name(const extract_options& options) {
  for (const answer_column& one : options.columns) {
    if (one.path.is_error()) return one.name;
  }
  return std::string(error_column);
}

// The names of the columns that are added, in order.
std::vector<std::string> added_names(const extract_options& options) {
  std::vector<std::string> names;
  bool has_error = false;
  for (const answer_column& one : options.columns) {
    names.push_back(one.name);
    has_error = has_error || one.path.is_error();
  }
  if (!has_error) names.emplace_back(error_column);
  if (options.usage) names.insert(names.end(), usage_columns.begin(), usage_columns.end());
  return names;
}

void require_new_names(const std::vector<std::string>& names, const table_reader& table) {
  for (auto name = names.begin(); name != names.end(); ++name) {
    const auto& there = table.columns();
    if (std::find(there.begin(), there.end(), *name) != there.end()) {
      refuse(table.name(),
             fmt::format("has a column '{0}' already; {1}", printable_text(*name),
                         *name == error_column ? "name the column of failures otherwise, as with "
                                                 "--column problem=.error"
                                               : "give the new column another name with --column "
                                                 "NAME=PATH, or rename the one in the data"));
    }
    if (std::find(names.begin(), name, *name) != name) {
      refuse(fmt::format("--column {}: two new columns would have that name; give each its own",
                         printable_text(*name)));
    }
  }
}

// Checks whether the first row of a file was written by extract for this data: it has the columns
// of the data, and more columns, including the one for failures.
class own_table {
 public:
  own_table(const std::vector<std::string>& source, const extract_options& options)
      : source_(source), failure_(failure_name(options)) {}

  bool begins_as_ours(std::string_view begin, bool csv) const {
    return csv ? begins_with_header(begin) : is_object(begin.substr(0, begin.find('\n')));
  }

 private:
  // The name of a column may contain a line break.
  bool begins_with_header(std::string_view begin) const {
    std::string expected;
    for (const std::string& name : source_) {
      append_csv_cell(expected, name);
      expected += ',';
    }
    if (begin.starts_with("\xEF\xBB\xBF")) begin.remove_prefix(3);
    if (!begin.starts_with(expected)) return false;
    begin.remove_prefix(expected.size());
    std::size_t end = 0;
    for (bool quoted = false; end < begin.size() && (quoted || begin[end] != '\n'); ++end) {
      if (begin[end] == '"') quoted = !quoted;
    }
    return names_a_failure(begin.substr(0, end));
  }
  bool names_a_failure(std::string_view rest) const {
    if (rest.ends_with('\r')) rest.remove_suffix(1);
    std::string cell;
    append_csv_cell(cell, failure_);
    return fmt::format(",{},", rest).find("," + cell + ",") != std::string::npos;
  }
  bool is_object(std::string_view line) const {
    const json_object row = json_object::parse(line);
    const bool has_source = std::all_of(source_.begin(), source_.end(),
                                        [&](const std::string& name) { return row.has(name); });
    // A failure is always text, also if there is none. Results have null as their `error`.
    return has_source && row.value(failure_).starts_with('"') &&
           (are_results() || !begins_as_results(line));
  }
  // Whether the data are results, so that a table of their rows begins like them.
  bool are_results() const {
    const auto has = [&](std::string_view name) {
      return std::find(source_.begin(), source_.end(), name) != source_.end();
    };
    return has("custom_id") && has("sluice");
  }

  const std::vector<std::string>& source_;
  const std::string failure_;
};

// The cells that are added to one row.
struct added_cells {
  std::vector<found_value> answers;
  std::string error;
  std::vector<std::string> usage;
};

void append_csv_row(std::string& out, const table_row& row, std::size_t columns,
                    const added_cells& added, bool has_error) {
  std::string text;
  for (std::size_t i = 0; i < columns; ++i) {
    text.clear();
    if (i < row.cells.size()) append_text(text, row.cells[i]);
    append_csv_cell(out, text);
    out += ',';
  }
  for (const found_value& answer : added.answers) {
    append_csv_cell(out, answer.text());
    out += ',';
  }
  if (has_error) {
    append_csv_cell(out, added.error);
    out += ',';
  }
  for (const std::string& number : added.usage) out.append(number) += ',';
  out.pop_back();
}

// Appends the row of the data as an object without its closing brace.
void append_json_source(std::string& out, const table_row& row,
                        const std::vector<std::string>& columns) {
  if (!row.json.empty()) {
    out += row.json.substr(0, row.json.size() - 1);
    return;
  }
  out += '{';
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out += ',';
    append_json_quoted(out, columns[i]);
    out += ':';
    append_json(out, row.cells[i]);
  }
}

void append_json_added(std::string& out, const table_row& row, const added_cells& added,
                       const std::vector<std::string>& names, bool has_error) {
  bool first = std::all_of(row.cells.begin(), row.cells.end(), [](const table_cell& cell) {
    return cell.is == table_cell::kind::missing;
  });
  auto name = names.begin();
  const auto add = [&](std::string_view value) {
    if (!first) out += ',';
    first = false;
    append_json_quoted(out, *name++);
    out += ':';
    out += value;
  };
  for (const found_value& answer : added.answers) add(answer.json());
  if (has_error) add(json_quote(added.error));
  for (std::size_t i = 0; i < added.usage.size(); ++i) {
    const std::string& number = added.usage[i];
    const bool is_cost = i + 1 == usage_columns.size();
    add(number.empty() ? "null" : is_cost ? json_quote(number) : number);
  }
  out += '}';
}

std::vector<std::string> usage_of(const stored_line& line) {
  std::vector<std::string> numbers(usage_columns.size());
  if (const auto& usage = line.facts.usage) {
    numbers = {std::to_string(usage->prompt_tokens), std::to_string(usage->cached_tokens),
               std::to_string(usage->completion_tokens), std::to_string(usage->reasoning_tokens),
               ""};
  }
  if (const auto cost = line.facts.whole_cost()) numbers.back() = cost->to_string();
  return numbers;
}

// The new cells of a row, from its line; `line` is empty if there is no line.
added_cells cells_of(std::string_view line, const extract_options& options) {
  added_cells cells;
  std::optional<stored_line> stored;
  if (!line.empty()) stored = parse_stored_line(line);
  if (!stored) {
    cells.error = line.empty() ? "no result" : "the line of the result is damaged";
  } else if (!stored->facts.succeeded) {
    cells.error = fmt::format("{}: {}", stored->facts.error, failure_message(*stored));
  }
  const bool succeeded = stored && stored->facts.succeeded;
  for (const answer_column& one : options.columns) {
    cells.answers.emplace_back();
    if (!succeeded || one.path.is_error()) continue;
    cells.answers.back() = one.path.find(stored->reply);
    if (cells.error.empty()) cells.error = cells.answers.back().fault;
  }
  for (std::size_t i = 0; i < options.columns.size(); ++i) {
    if (options.columns[i].path.is_error()) {
      cells.answers[i] = {found_value::kind::text, cells.error, {}};
    }
  }
  if (options.usage) {
    cells.usage = stored ? usage_of(*stored) : std::vector<std::string>(usage_columns.size());
  }
  return cells;
}

// The columns of all rows. A JSONL file contains no list of them, so all rows are read.
std::vector<std::string> all_columns(const std::string& data, const table_options& options) {
  if (data == "-") {
    refuse(
        "JSONL from standard input has no list of columns for a CSV; save it to a file, or name "
        "an -o FILE.jsonl");
  }
  const auto table = open_table(data, options);
  for (table_row row; table->next(row);) {
  }
  return table->columns();
}

void require_apart(const extract_files& names) {
  namespace fs = std::filesystem;
  for (const std::string& path : {names.data, names.output, names.errors}) {
    std::error_code not_there;
    if (path != "-" && fs::equivalent(path, names.into, not_there)) {
      refuse(fmt::format("-o {}: is {}, which this command reads; name another file", names.into,
                         path));
    }
  }
}

void require_target(file_system& files, const extract_files& names,
                    const std::vector<std::string>& columns, const extract_options& options) {
  if (!is_csv(names.into) && !names.into.ends_with(".jsonl")) {
    refuse(fmt::format("-o {}: write a name that ends with .csv or .jsonl",
                       printable_text(names.into)));
  }
  require_apart(names);
  const own_table ours(columns, options);
  const bool csv = is_csv(names.into);
  const std::size_t longest = csv ? longest_header : longest_row;
  require_replaceable(
      files, names.into, [&](std::string_view begin) { return ours.begins_as_ours(begin, csv); },
      longest);
}

}  // namespace

void require_extract_target(file_system& files, const extract_files& names,
                            const table_options& options, const extract_options& chosen) {
  const auto table = open_table(names.data, options);
  table_row first;
  if (table->format() == table_format::jsonl) (void)table->next(first);
  require_new_names(added_names(chosen), *table);
  const bool all = is_csv(names.into) && table->format() == table_format::jsonl;
  require_target(files, names, all ? all_columns(names.data, options) : table->columns(), chosen);
}

extracted_rows extract_rows(file_system& files, const extract_files& names,
                            const table_options& options, const extract_options& chosen) {
  result_lines results(names.output, names.errors);
  const auto table = open_table(names.data, options);
  const bool csv = is_csv(names.into);
  const bool from_jsonl = table->format() == table_format::jsonl;
  const std::vector<std::string> columns =
      csv && from_jsonl ? all_columns(names.data, options) : table->columns();
  const std::vector<std::string> added = added_names(chosen);
  const bool has_error =
      added.size() > chosen.columns.size() + (chosen.usage ? usage_columns.size() : 0);
  require_new_names(added, *table);

  extracted_rows done;
  const std::string line_end = csv && table->ends_with_crlf() ? "\r\n" : "\n";
  std::string out;
  if (csv) {
    if (table->has_mark()) out += "\xEF\xBB\xBF";
    for (const std::string& name : columns) {
      append_csv_cell(out, name);
      out += ',';
    }
    for (const std::string& name : added) {
      append_csv_cell(out, name);
      out += ',';
    }
    out.pop_back();
    out += line_end;
  }
  std::optional<draft> into;
  // A temporary file that a crash left is recognized by its first bytes.
  const auto begin_with = [&](const std::string& expected) {
    require_target(files, names, csv ? columns : table->columns(), chosen);
    into.emplace(files, names.into, [&](std::string_view begin) {
      return begin.starts_with(expected) || expected.starts_with(begin);
    });
  };
  if (csv) begin_with(out);
  std::optional<std::size_t> id_column;
  std::size_t known_columns = table->columns().size();
  for (table_row row; table->next(row);) {
    if (!chosen.id_column.empty() && !id_column) {
      id_column = table->find_column(chosen.id_column);
      if (!id_column) {
        refuse(fmt::format("--id {}: names no column of {}: {} has {}",
                           printable_text(chosen.id_column), table->name(), row.place(),
                           table->columns_text()));
      }
    }
    if (table->columns().size() != known_columns) {  // only in JSONL
      known_columns = table->columns().size();
      require_new_names(added, *table);
    }
    const std::string id = !id_column                      ? row_id(row.number)
                           : *id_column < row.cells.size() ? id_of(row.cells[*id_column])
                                                           : std::string();
    std::string_view line;
    const auto found = results.find(id, line);
    if (found == result_lines::found::line_again) {
      refuse(table->name(),
             fmt::format("{} has the same id as an earlier row, {}; make the ids different",
                         row.place(), printable_text(id)));
    }
    const added_cells cells = cells_of(line, chosen);
    ++done.rows;
    if (found == result_lines::found::nothing) {
      ++done.no_result;
    } else if (cells.error.empty()) {
      ++done.answered;
    } else {
      ++done.failed;
    }
    if (csv) {
      append_csv_row(out, row, columns.size(), cells, has_error);
    } else {
      append_json_source(out, row, columns);
      if (!into) begin_with(out);
      append_json_added(out, row, cells, added, has_error);
    }
    out += line_end;
    into->append(out);
    out.clear();
  }
  if (done.rows == 0) refuse(table->name(), "has no rows");
  done.other_results = results.size() - results.found_lines();
  if (results.size() > 0 && results.found_lines() == 0) {
    refuse(fmt::format(
        "none of the {} results belongs to a row of {}; {}", results.size(), table->name(),
        chosen.id_column.empty() ? "name the column of the ids with --id"
                                 : "check --id, and whether this is the data of the job"));
  }
  into->publish();
  return done;
}

}  // namespace sluice::dataset
