#include "terminal/standard_output.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sluice/error.hpp"
#include "terminal/screen_writer.hpp"

namespace sluice::cli {

void print(const std::string& lines) {
  // Standard output and standard error may be the same terminal.
  standard_error().settle_unless_stuck(std::chrono::milliseconds(100));
  std::string_view rest = lines;
  while (!rest.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (n >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {  // another program has set O_NONBLOCK
      pollfd ready{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno == EPIPE) {
      throw reader_gone();
    } else if (errno != EINTR) {
      throw fatal_error(fatal_error::kind::cannot_write,
                        fmt::format("standard output cannot be written ({}); redirect it to a file "
                                    "with room, or to a reader",
                                    std::strerror(errno)));
    }
  }
}

std::size_t output_columns() {
  return ::isatty(STDOUT_FILENO) == 1 ? columns_of(STDOUT_FILENO) : 0;
}

void print(const nlohmann::ordered_json& document) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  print(document.dump(2, ' ', terminal, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace sluice::cli
