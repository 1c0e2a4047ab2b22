#include "dataset/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "json/text.hpp"

namespace sluice::dataset {
namespace {

// No other tool writes the members in this order, so this identifies a file of this program.
constexpr std::string_view mark = R"({"method":"POST","url":"/v1/)";

// The numbers of the rows in a sample, in order. The sample consists of the rows with the smallest
// hashes.
std::vector<std::uint64_t> draw(const std::string& data, const table_options& options,
                                const prepare_options& chosen) {
  std::priority_queue<std::pair<std::uint64_t, std::uint64_t>> drawn;
  const auto table = open_table(data, options);
  for (table_row row; table->next(row);) {
    const std::uint64_t key = hash_of(fmt::format("{}/{}", chosen.seed, row.number)).high;
    drawn.emplace(key, row.number);
    if (drawn.size() > chosen.sample) drawn.pop();
    if (row.number == chosen.limit) break;
  }
  std::vector<std::uint64_t> rows;
  for (; !drawn.empty(); drawn.pop()) rows.push_back(drawn.top().second);
  std::sort(rows.begin(), rows.end());
  return rows;
}

// The ids of the rows; each may occur only once.
class row_ids {
 public:
  explicit row_ids(std::string column) : column_(std::move(column)) {}

  void bind(const table_reader& table, const table_row& first) {
    if (column_.empty()) return;
    const auto found = table.find_column(column_);
    if (!found) {
      refuse(fmt::format("--id {}: names no column of {}: {} has {}", printable_text(column_),
                         table.name(), first.place(), table.columns_text()));
    }
    index_ = *found;
  }
  void append(std::string& out, const table_reader& table, const table_row& row) {
    if (column_.empty()) {
      out += '"';
      out += row_id(row.number);
      out += '"';
      return;
    }
    const table_cell cell = index_ < row.cells.size() ? row.cells[index_] : table_cell{};
    const std::string id = id_of(cell);
    if (id.empty()) {
      refuse(table.name(), fmt::format("{} has no id in the column '{}'; give it one, or leave out "
                                       "--id",
                                       row.place(), printable_text(column_)));
    }
    const auto [first, is_new] = seen_.insert(hash_of(id));
    if (!is_new) {
      refuse(table.name(), fmt::format("{} has the same id in the column '{}' as row {}: {}; make "
                                       "the ids different, or leave out --id",
                                       row.place(), printable_text(column_), *first,
                                       printable_text(utf8_prefix(id, longest_shown))));
    }
    *first = row.number;
    append_json_wtf8(out, id);
  }

 private:
  static constexpr std::size_t longest_shown = 80;
  const std::string column_;
  std::size_t index_ = 0;
  id_table<std::uint64_t> seen_;
};

}  // namespace

std::string row_id(std::uint64_t number) {
  return fmt::format("row-{}", number);
}

bool begins_as_prepared(std::string_view begin) {
  return begin.starts_with(mark);
}

bool begins_as_torn_prepared(std::string_view begin) {
  return begin.starts_with(mark) || mark.starts_with(begin);
}

prepared_job write_requests(const std::string& data, const table_options& options,
                            request_template& body, std::string_view url,
                            const prepare_options& chosen,
                            const std::function<void(std::string_view)>& write) {
  std::optional<folder_files> files;
  if (!chosen.files.empty()) files.emplace(chosen.files, chosen.max_line_bytes);
  if (body.has_files() && !files) {
    refuse("the template puts files in; name their folder with --files DIR");
  }
  std::vector<std::uint64_t> sample;
  if (chosen.sample > 0) {
    if (data == "-") {
      refuse(
          "--sample reads the data twice, and standard input can be read once; save it to a "
          "file");
    }
    sample = draw(data, options, chosen);
  }

  const auto table = open_table(data, options);
  row_ids ids(chosen.id_column);
  prepared_job done;
  std::string line;
  const std::string head = fmt::format(R"({{"method":"POST","url":"{}","custom_id":)", url);
  auto next_drawn = sample.begin();
  for (table_row row; table->next(row);) {
    if (done.rows++ == 0) {
      body.bind(*table, row);
      ids.bind(*table, row);
    }
    const bool is_drawn =
        chosen.sample == 0 || (next_drawn != sample.end() && *next_drawn == row.number);
    if (is_drawn) {
      if (chosen.sample > 0) ++next_drawn;
      line = head;
      ids.append(line, *table, row);
      line += ",\"body\":";
      body.append_body(line, *table, row, files ? &*files : nullptr);
      line += "}\n";
      if (line.size() > chosen.max_line_bytes) {
        refuse(table->name(),
               fmt::format("{} makes a request of {} bytes, more than --max-line-bytes allows",
                           row.place(), line.size()));
      }
      write(line);
      ++done.requests;
    }
    if (row.number == chosen.limit) break;
  }
  if (done.rows == 0) refuse(table->name(), "has no rows");
  if (files) {
    done.files = files->count();
    done.file_bytes = files->bytes();
    done.largest_file_bytes = files->largest_bytes();
    done.largest_file = files->largest_name();
  }
  return done;
}

}  // namespace sluice::dataset
