#pragma once

#include <string>
#include <string_view>

namespace sluice::openai {

/// Decodes the inside of a JSON string that grows. Not thread safe.
class text_decoder {
 public:
  /// `so_far` is the whole string so far, without quotes. Returns the new part, as UTF-8. An escape
  /// that is not complete yet is returned later.
  std::string more(std::string_view so_far);

 private:
  std::size_t taken_ = 0;
};

}  // namespace sluice::openai
