#include "views/cache_text.hpp"

#include <fmt/format.h>

#include <string_view>

#include "base/wording.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

std::string saved_text(std::string_view saved, language spoken) {
  if (saved.empty()) return say(spoken, "what it saved is unknown, because replies have no price");
  if (saved.starts_with('-')) {
    return say(spoken, "writing cost ${} more than reading saved", saved.substr(1));
  }
  return say(spoken, "saved ${}", saved);
}

}  // namespace

std::string cache_text(const cache_use& cache, language spoken) {
  if (cache.read == 0 && cache.written == 0) return {};
  const std::string share =
      cache.read_share ? say(spoken, " ({:.1f} % of the prompts)", *cache.read_share * 100) : "";
  return say(spoken, "{} tokens read{}, {} written; {}", grouped(cache.read), share,
             grouped(cache.written), saved_text(cache.saved, spoken));
}

}  // namespace sluice::cli
