#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace sluice::cli {

using log_time = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// A name for this run of the program: eight hex digits, new for each process. With it, its lines
/// in a shared log can be distinguished from those of other runs, and matched with its webhook.
const std::string& run_id();

/// One line of --json-log, without its newline: an object with time, level, run and text.
std::string log_entry(std::string_view text, std::string_view level,
                      log_time time = std::chrono::time_point_cast<std::chrono::milliseconds>(
                          std::chrono::system_clock::now()));

/// Whether a text begins with such a line.
bool begins_as_json_log(std::string_view text);

}  // namespace sluice::cli
