#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataset/answer_path.hpp"
#include "dataset/table.hpp"
#include "files/file_system.hpp"

namespace sluice::dataset {

/// A column that is added to the rows of the data.
struct answer_column {
  std::string name;
  answer_path path;
};

struct extract_options {
  std::vector<answer_column> columns = {};
  std::string id_column = {};  ///< its cells are the ids of the requests; empty: the ids are row-N
  bool usage = false;          ///< also adds tokens and cost
};

/// The files of the results, and the data with which they are joined.
struct extract_files {
  std::string data;
  std::string output;
  std::string errors;
  std::string into;  ///< ends with .csv or .jsonl
};

struct extracted_rows {
  std::uint64_t rows = 0;
  std::uint64_t answered = 0;  ///< without an error
  /// The request failed, or its answer does not have what a path expects.
  std::uint64_t failed = 0;
  std::uint64_t no_result = 0;      ///< not sent, or not finished
  std::uint64_t other_results = 0;  ///< results that do not belong to any row
};

/// Writes the rows of the data with the columns of their answers. The order of the rows and the
/// cells of the data do not change. The file gets its name only when it is complete. The columns
/// after those of the data are the answers, `error`, and with `usage` prompt_tokens, cached_tokens,
/// completion_tokens, reasoning_tokens and cost_usd. CSV keeps the line ends and the byte order
/// mark of CSV data. Memory: 30 bytes for each result. Throws fatal_error.
extracted_rows extract_rows(file_system& files, const extract_files& names,
                            const table_options& table, const extract_options& options);

/// Throws fatal_error if the file that extract_rows() would write must not be replaced, or if its
/// name has another ending.
void require_extract_target(file_system& files, const extract_files& names,
                            const table_options& table, const extract_options& options);

}  // namespace sluice::dataset
