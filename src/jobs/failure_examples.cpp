#include "jobs/failure_examples.hpp"

#include <cstdint>
#include <string_view>

#include "files/line_reader.hpp"
#include "jobs/stored_line.hpp"

namespace sluice {
namespace {}  // namespace

std::map<std::string, std::string> failure_examples(const std::string& errors_path) {
  std::map<std::string, std::string> examples;
  line_reader reader(open_bytes(errors_path), longest_result_line);
  line_reader::line line;
  while (reader.next(line)) {
    const auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
    if (!stored || examples.contains(stored->facts.error)) continue;
    examples.emplace(stored->facts.error, failure_message(*stored));
  }
  return examples;
}

}  // namespace sluice
