#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "server/data_folder.hpp"
#include "store/batch_record.hpp"

namespace sluice::server {

/// The result files of a batch that has ended. They are under files/, with the ids in `batch.end`.
struct result_files_made {
  std::optional<std::uint64_t> output_bytes;  ///< nothing: no request succeeded
  std::optional<std::uint64_t> error_bytes;   ///< nothing: every request succeeded
};

/// Makes the result files from what the job has written. The job must not be running. The error
/// file gets a line for each request that was not sent, which says that the batch has expired or
/// was cancelled. It may be called again after a crash, with the same result. Memory: 16 bytes per
/// request. Blocks. Throws store_error, and fatal_error if the input cannot be read.
result_files_made make_result_files(data_folder& folder, const store::batch_record& batch);

/// Copies the lines of a batch's input that an error file names, to send those requests again.
/// Writes them to `into` and returns their number.
std::uint64_t copy_failed_lines(const std::string& input, const std::string& errors,
                                data_folder::draft& into);

}  // namespace sluice::server
