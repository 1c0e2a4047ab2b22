#include "views/cache_text.hpp"

#include <fmt/format.h>

#include <string_view>

#include "views/progress.hpp"

namespace sluice::cli {
namespace {

std::string saved_text(std::string_view saved) {
  if (saved.empty()) return "what it saved is unknown, because replies have no price";
  if (saved.starts_with('-')) {
    return fmt::format("writing cost ${} more than reading saved", saved.substr(1));
  }
  return fmt::format("saved ${}", saved);
}

}  // namespace

std::string cache_text(const cache_use& cache) {
  if (cache.read == 0 && cache.written == 0) return {};
  const std::string share =
      cache.read_share ? fmt::format(" ({:.1f} % of the prompts)", *cache.read_share * 100) : "";
  return fmt::format("{} tokens read{}, {} written; {}", grouped(cache.read), share,
                     grouped(cache.written), saved_text(cache.saved));
}

}  // namespace sluice::cli
