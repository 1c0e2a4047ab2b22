#include "cli/log_notes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "base/printable.hpp"
#include "http/base_url.hpp"
#include "sluice/version.hpp"

namespace sluice::cli {

void log_start(screen& shown, const shown_command& command, const settings& flags) {
  shown.log_line(fmt::format("start: sluice {}, pid {}: {}", SLUICE_VERSION, ::getpid(),
                             printable_text(again(command))));
  std::string list;
  for (const auto& [name, value] : flags.given()) {
    const std::string text = name == "base-url" ? shown_address(value) : value;
    list += fmt::format("{}{} = {}", list.empty() ? "" : ", ", name, printable_text(text));
  }
  shown.log_line(
      fmt::format("settings: {}", list.empty() ? std::string("all have their defaults") : list));
}

void log_end(screen& shown, const std::string& summary, exit_status status,
             const std::vector<std::string>& lines) {
  shown.log_line(fmt::format("end: exit status {}; {}", static_cast<int>(status), summary));
  for (const auto& line : lines) shown.log_line(line);
}

}  // namespace sluice::cli
