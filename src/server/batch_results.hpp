#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/data_folder.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// The result files of a batch that has ended, under files/ with the ids in `batch.end`. It may be
/// called again after a crash, and then gives the same.
struct result_files_made {
  std::optional<std::uint64_t> output_bytes;  ///< nothing: no request succeeded
  std::optional<std::uint64_t> error_bytes;   ///< nothing: every request succeeded
};

/// Makes them from what the job has written, which must not be running. A request that was not sent
/// gets a line in the error file, which says that the batch has expired or was cancelled. Memory:
/// 16 bytes a request. Blocks. Throws store_error, and fatal_error if the input cannot be read.
result_files_made make_result_files(data_folder& folder, const store::batch_record& batch);

/// The lines of a batch's input that a list of ids names: the requests to send again. Gives the
/// number of lines, and writes them to `into`.
std::uint64_t copy_failed_lines(const std::string& input, const std::string& errors,
                                data_folder::draft& into);

}  // namespace sluice::server
