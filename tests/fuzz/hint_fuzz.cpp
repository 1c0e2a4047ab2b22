#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "fuzz/head_lines.hpp"
#include "fuzz/support.hpp"
#include "openai/retry_hint.hpp"

namespace sluice::fuzz {
namespace {

using wait = std::optional<std::chrono::nanoseconds>;

void check(const wait& hint, std::string_view what) {
  if (!hint) return;
  require(*hint > std::chrono::nanoseconds(0), what, "a hint is longer than 0");
  require(*hint <= std::chrono::seconds(1'000'000'000), what, "a hint is not absurdly long");
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace
}  // namespace sluice::fuzz

/// The text consists of a head, a blank line and a message.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  input in(data, size);
  constexpr int statuses[] = {429, 503, 400, 200};
  const double now = in.pick(2) == 0 ? 1'700'000'000 : 0;
  auto [head, message] = split_head(in.text());
  head.status = statuses[in.pick(4)];

  const wait hint = sluice::openai::retry_hint(head, message, now);
  check(hint, "retry_hint");
  require(hint == sluice::openai::retry_hint(head, message, now),
          "the same input gives the same hint");
  const wait duration = sluice::openai::leading_duration(message);
  check(duration, "leading_duration");
  if (duration) {
    require(message.front() >= '0' && message.front() <= '9', "a duration begins with a digit");
  }
  const std::string small = lower_case(message);
  const wait leading = sluice::openai::leading_duration(small);
  require(
      !leading || leading == sluice::openai::retry_hint({}, "Please Try Again In " + small, now),
      "words that name a duration are a hint of it", small);
  if (const auto date = sluice::openai::http_date(message)) {
    require(std::isfinite(*date), "a date is a number of seconds", message);
  }
  return 0;
}
