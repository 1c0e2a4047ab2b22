#include "sluice/error.hpp"

#include <fmt/format.h>

#include "base/printable.hpp"
#include "base/refuse.hpp"

namespace sluice {

fatal_error::fatal_error(kind why, std::string_view sentence)
    : std::runtime_error(printable_text(sentence)), why_(why) {}

std::string described(const failure& why, std::string_view model) {
  if (why.http_status == 0) return why.message;
  const std::string status = fmt::format("HTTP {}", why.http_status);
  const bool has_status = why.message.find(status) != std::string::npos;
  const bool has_model = model.empty() || why.message.find(model) != std::string::npos;
  if (has_status) return has_model ? why.message : fmt::format("{} ({})", why.message, model);
  return fmt::format("{}{}: {}", status, has_model ? "" : fmt::format(" for {}", model),
                     why.message);
}

void refuse(std::string_view sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

void refuse(std::string_view subject, std::string_view what) {
  refuse(fmt::format("{}: {}", subject, what));
}

}  // namespace sluice
