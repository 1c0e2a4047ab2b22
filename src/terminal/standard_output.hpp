#pragma once

#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

namespace sluice::cli {

/// Whoever read standard output has gone, like `head` when it has its lines: there is nobody to
/// tell, and nothing to do but to end as if SIGPIPE had ended the program.
class reader_gone : public std::runtime_error {
 public:
  reader_gone() : std::runtime_error("the reader of standard output has gone") {}
};

/// What a command was asked for, whole, on standard output, behind what has been said on standard
/// error. Waits for a reader as long as it takes. Throws fatal_error (cannot_write) when it cannot
/// be written, and reader_gone.
void print(const std::string& lines);

/// A document, indented. On a terminal all that is not ASCII stands as escapes: some of it a
/// terminal would obey.
void print(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
