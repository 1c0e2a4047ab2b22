#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.hpp"
#include "simulated_clock.hpp"

namespace sluice::simulation {

/// Records the events of one life: a digest, which must be the same when the seed runs again, and
/// the text of the events if requested.
class trace {
 public:
  trace(const simulated_clock& time, bool keep_text) : time_(time), keep_text_(keep_text) {}

  template <typename... Args>
  void note(fmt::format_string<Args...> form, Args&&... args) {
    line_.clear();
    fmt::format_to(std::back_inserter(line_), "{:12.6f} ", time_.since_start());
    fmt::format_to(std::back_inserter(line_), form, std::forward<Args>(args)...);
    const hash128 one = hash_of(line_);
    digest_ = (digest_ ^ one.high) * 0x100000001B3U + one.low;
    if (keep_text_) text_.push_back(line_);
  }

  std::uint64_t digest() const noexcept { return digest_; }
  const std::vector<std::string>& text() const noexcept { return text_; }

 private:
  const simulated_clock& time_;
  const bool keep_text_;
  std::string line_;
  std::uint64_t digest_ = 0;
  std::vector<std::string> text_;
};

}  // namespace sluice::simulation
