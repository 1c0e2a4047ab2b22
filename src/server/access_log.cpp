#include "server/access_log.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <ctime>

#include "json/text.hpp"

namespace sluice::server {
namespace {

std::string or_null(const std::string& text) {
  return text.empty() ? "null" : json_quote(text);
}

}  // namespace

std::string access_line(const access_entry& entry) {
  const double second = std::floor(entry.unix_time);
  const int milliseconds = static_cast<int>((entry.unix_time - second) * 1000);
  return fmt::format(
      R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z","key":{},"peer":{},"method":{},"route":{},)"
      R"("status":{},"bytes_in":{},"bytes_out":{},"duration_ms":{:.3f},"request_id":{}}})",
      fmt::gmtime(static_cast<std::time_t>(second)), milliseconds, or_null(entry.key),
      or_null(entry.peer), or_null(entry.method), or_null(entry.route), entry.status,
      entry.bytes_in, entry.bytes_out, entry.duration_ms, or_null(entry.request_id));
}

}  // namespace sluice::server
