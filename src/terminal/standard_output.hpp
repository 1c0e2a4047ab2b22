#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>

namespace sluice::cli {

/// Thrown if the reader of standard output has closed it, as `head` does when it has its lines. The
/// program then ends as if SIGPIPE had ended it.
class reader_gone : public std::runtime_error {
 public:
  reader_gone() : std::runtime_error("the reader of standard output has gone") {}
};

/// Writes the result of a command to standard output, after the messages on standard error. Waits
/// for the reader without a time limit. Throws fatal_error (cannot_write) if it cannot be written,
/// and reader_gone. For one thread at a time.
void print(const std::string& lines);

/// The width of the terminal if standard output is one; otherwise 0.
std::size_t output_columns();

/// Writes a document, indented. On a terminal, characters outside ASCII become escapes, because a
/// terminal would act on some of them.
void print(const nlohmann::ordered_json& document);

}  // namespace sluice::cli
