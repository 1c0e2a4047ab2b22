#include "cli/standard_output.hpp"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "sluice/error.hpp"

namespace sluice::cli {

void print(const std::string& lines) {
  const bool written = std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size();
  if (written && std::fflush(stdout) == 0) return;
  throw fatal_error(fatal_error::kind::cannot_write,
                    "standard output cannot be written; give it a file with room, or a reader");
}

void print(const nlohmann::ordered_json& document) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  print(document.dump(2, ' ', terminal, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace sluice::cli
