#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// Opens the descriptors 0 to 2 if the program was started without them. Otherwise a result file
/// could get one of these numbers, and messages would be written into it. After this, reading
/// standard input or writing standard output fails with an error. Call it before anything else is
/// opened, from one thread.
void open_standard_descriptors();

/// Raises the limit of open files to the maximum that the system allows, because each attempt in
/// flight needs one. Throws fatal_error if the maximum is too low even for an event loop.
void allow_open_files();

/// Throws fatal_error if "-" is among the jobs and standard input cannot be read.
void require_standard_input(const std::vector<std::string>& jobs);

}  // namespace sluice::cli
