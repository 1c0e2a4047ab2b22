#include "views/version.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sluice/prices.hpp"
#include "sluice/version.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::cli {

std::string version_text(const std::vector<std::string>& command_line) {
  std::string text = "sluice " SLUICE_VERSION;
  const bool verbose =
      std::any_of(command_line.begin(), command_line.end(),
                  [](const std::string& word) { return word == "--verbose" || word == "-v"; });
  if (!verbose) return text;
  const bool counts = tokenizer::of(vocabulary::o200k_base) != nullptr;
  return text + fmt::format("\nprices of {}\nvocabularies: {}", price_table::built_in_date(),
                            counts ? "cl100k_base, o200k_base" : "none");
}

}  // namespace sluice::cli
