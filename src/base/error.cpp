#include "sluice/error.hpp"

#include <fmt/format.h>

#include "base/printable.hpp"
#include "base/translated_error.hpp"

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

translated_error::translated_error(kind why, const wording& sentence)
    : fatal_error(why, sentence.english), chinese_(printable_text(sentence.chinese)) {}

wording words_of(const std::exception& thrown) {
  const auto* translated = dynamic_cast<const translated_error*>(&thrown);
  return {thrown.what(), translated == nullptr ? thrown.what() : translated->chinese()};
}

void refuse(std::string_view sentence) {
  throw fatal_error(fatal_error::kind::cannot_start, sentence);
}

void refuse(std::string_view subject, std::string_view what) {
  refuse(fmt::format("{}: {}", subject, what));
}

void refuse(const wording& sentence) {
  throw translated_error(fatal_error::kind::cannot_start, sentence);
}

void refuse(std::string_view subject, const wording& what) {
  refuse(worded("{}: {}", subject, what));
}

}  // namespace sluice
