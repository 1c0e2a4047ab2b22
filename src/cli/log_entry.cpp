#include "cli/log_entry.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <random>

#include "json/text.hpp"

namespace sluice::cli {
namespace {

constexpr std::string_view first_member = R"({"time":")";

}  // namespace

const std::string& run_id() {
  static const std::string id = fmt::format("{:08x}", std::random_device{}());
  return id;
}

std::string log_entry(std::string_view text, std::string_view level, log_time time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  std::tm local{};
  const auto whole = static_cast<std::time_t>(seconds.count());
  ::localtime_r(&whole, &local);
  const long offset = local.tm_gmtoff / 60;
  std::string entry(first_member);
  fmt::format_to(std::back_inserter(entry), "{:%Y-%m-%dT%H:%M:%S}.{:03}{}{:02}:{:02}", local,
                 (since - seconds).count(), offset < 0 ? '-' : '+', std::abs(offset) / 60,
                 std::abs(offset) % 60);
  fmt::format_to(std::back_inserter(entry), R"(","level":"{}","run":"{}","text":)", level,
                 run_id());
  append_json_quoted(entry, text);
  return entry + '}';
}

bool begins_as_json_log(std::string_view text) {
  // {"time":"2026-01-31T23:59:59.123+00:00","level":"
  constexpr std::string_view shape = R"({"time":"dddd-dd-ddTdd:dd:dd.dddsdd:dd","level":")";
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const char c = text[i];
    const bool in_time = i >= first_member.size();
    const bool fits = in_time && shape[i] == 'd'   ? c >= '0' && c <= '9'
                      : in_time && shape[i] == 's' ? c == '+' || c == '-'
                                                   : c == shape[i];
    if (!fits) return false;
  }
  return true;
}

}  // namespace sluice::cli
