#pragma once

#include <string>
#include <vector>

namespace sluice::cli {

/// Opens those of the descriptors 0 to 2 that the program was started without, so that no file of
/// a job becomes one of them, and what is meant for a person lands among the results. Standard
/// input can then not be read, nor standard output be written: both are errors that can be told.
/// To be called before anything else is opened.
void open_standard_descriptors();

/// Throws fatal_error where "-" is among the jobs and standard input cannot be read.
void require_standard_input(const std::vector<std::string>& jobs);

}  // namespace sluice::cli
