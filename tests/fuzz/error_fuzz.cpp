#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

#include "fuzz/head_lines.hpp"
#include "fuzz/support.hpp"
#include "openai/error_body.hpp"
#include "openai/http_failure.hpp"

namespace sluice::fuzz {
namespace {

/// Whether a status can mean this class of failure, for any body.
bool may_mean(int status, failure_class kind) {
  using enum failure_class;
  if (status < 400) return kind == wrong_address;
  if (status == 401 || status == 402) return kind == key_ended;
  if (status == 407) return kind == bad_proxy;
  if (kind == key_ended) return true;  // relays report a spent account with any status
  if (status >= 500) return kind == passing || kind == permanent;
  switch (status) {
    case 404:
    case 405:
      return kind == permanent || kind == wrong_address || kind == passing;
    case 408:
    case 409:
    case 425:
    case 498:
    case 499:
      return kind == passing;
    case 413:
      return kind == permanent || kind == passing;
    case 429:
      return kind == throttled || kind == permanent || kind == passing;
    default:
      return kind == permanent || kind == wrong_address || kind == passing || kind == throttled;
  }
}

void check_words(std::string_view body) {
  const auto read = openai::read_error_body(body);
  require(is_one_line(read.message), "the relay's message is one line", read.message);
  require(read.message.size() <= 1000 + std::string_view("…").size(),
          "the message is not too long");
  require(is_utf8(read.code) && is_utf8(read.type) && is_utf8(read.param), "all of it is UTF-8");
  require(!(read.page && read.structured), "a page is not structured");
}

void check_one_line(std::string_view text, std::size_t limit) {
  const std::string line = openai::one_line(text, limit);
  require(is_one_line(line), "one_line", line);
  require(line.size() <= limit + std::string_view("…").size(), "one_line keeps its limit", line);
}

}  // namespace
}  // namespace sluice::fuzz

/// The text consists of a head, a blank line and a body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  auto [head, body] = split_head(in.text());
  head.status = static_cast<int>(100 * in.pick(10) + 10 * in.pick(10) + in.pick(10));
  head.request_id = "req_1";

  const failure failed = openai::http_failure(head, std::string(body), 1'700'000'000);
  require(failed.code == errc::http_error, "the code comes from the status");
  require(failed.http_status == head.status && failed.body == body && failed.request_id == "req_1",
          "status, body and id are those received");
  require(!failed.message.empty() && is_one_line(failed.message), "the message is one line",
          failed.message);
  require(may_mean(head.status, failed.kind), "the class fits the status");
  const bool again =
      failed.kind == failure_class::passing || failed.kind == failure_class::throttled;
  require(again || (!failed.retry_after && failed.max_retries == -1),
          "what will not be tried again has no hints");
  require(!failed.retry_after || *failed.retry_after > std::chrono::nanoseconds(0),
          "a hint is a wait");
  require(failed.max_retries >= -1 && failed.max_retries <= 2, "a bound on retries is small");
  require(!(failed.model_out || failed.tier_full) || failed.kind == failure_class::passing,
          "what is out now may be there again");
  require(!failed.foreign || failed.kind == failure_class::wrong_address ||
              failed.kind == failure_class::key_ended || failed.kind == failure_class::permanent,
          "an answer of another API is not retried");
  check_words(body);
  check_one_line(body, 20);
  return 0;
}
