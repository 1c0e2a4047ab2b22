#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "dataset/request_template.hpp"
#include "dataset/table.hpp"

namespace sluice::dataset {

/// Which rows become requests, and how.
struct prepare_options {
  std::string id_column = {};  ///< its cells are the ids; empty: the ids are row-N
  std::uint64_t limit = 0;     ///< only the first rows; 0: all
  std::uint64_t sample = 0;    ///< only this number of these rows, selected with `seed`; 0: all
  std::uint64_t seed = 1;
  std::string files = {};  ///< folder for `{{file:…}}`; empty: none
  std::uint64_t max_line_bytes = std::uint64_t{64} << 20;
};

struct prepared_job {
  std::uint64_t rows = 0;  ///< number of rows that were read
  std::uint64_t requests = 0;
  std::uint64_t files = 0;  ///< number of files that were inserted; their sizes follow
  std::uint64_t file_bytes = 0;
  std::uint64_t largest_file_bytes = 0;
  std::string largest_file;
};

/// Passes a request for each row of a table to `write`, each as a line of the OpenAI Batch API.
/// `url`: the endpoint. Memory: 30 bytes for each row for the ids, 16 bytes for each row of a
/// sample. Throws fatal_error that names the row.
prepared_job write_requests(const std::string& data, const table_options& table,
                            request_template& body, std::string_view url,
                            const prepare_options& options,
                            const std::function<void(std::string_view line)>& write);

/// Whether a file begins like a job from write_requests().
bool begins_as_prepared(std::string_view begin);
/// The same for the part of such a file that a crash left.
bool begins_as_torn_prepared(std::string_view begin);

/// The id of a row if there is no id column.
std::string row_id(std::uint64_t number);

}  // namespace sluice::dataset
