#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// Opens the descriptors 0 to 2 where the program was started without them. Otherwise a result file
/// could get such a number, and messages would be written into it. Reading standard input, or
/// writing standard output, then fails with an error. To be called before anything else is opened,
/// from one thread.
void open_standard_descriptors();

/// Raises the limit of open files to what the system allows: each attempt in flight needs one.
/// Throws fatal_error where it allows too few even for an event loop.
void allow_open_files();

/// Throws fatal_error where "-" is among the jobs and standard input cannot be read.
void require_standard_input(const std::vector<std::string>& jobs);

}  // namespace sluice::cli
