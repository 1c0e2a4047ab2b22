#include "upstream/stream_support.hpp"

#include <utility>

#include "upstream/repeated_failures.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;

// If a request is cut off earlier than this, silence is not the cause.
constexpr duration shortest_silence = 10s;

// The failures by which gateways end a request that was silent for too long.
bool is_cut(const failure& why) {
  if (why.kind != failure_class::passing) return false;
  const int status = why.http_status;
  return status == 408 || status == 502 || status == 504 || status == 524 ||
         why.code == errc::connection_failed || why.code == errc::stream_interrupted;
}

bool is_about(duration a, duration b) {
  const duration apart = a > b ? a - b : b - a;
  return apart <= std::max<duration>(b / 20, 1s);
}

}  // namespace

bool stream_support::may_be_of_streams(const failure& why) {
  const bool passing = why.kind == failure_class::passing && !why.model_out && !why.tier_full;
  const int status = why.http_status;
  const bool of_another_thing = status == 403 || status == 404 || status == 412 || status == 413;
  return passing || (why.kind == failure_class::permanent && !of_another_thing);
}

bool stream_support::streamed_attempt_failed(const failure& why) {
  if (came_whole_ || trial_made_ || !may_be_of_streams(why)) return false;
  std::string words = words_without_ids(why);
  alike_ = words == words_ ? alike_ + 1 : 1;
  words_ = std::move(words);
  if (alike_ < failures_before_trial) return false;
  trial_made_ = on_trial_ = true;
  return true;
}

bool stream_support::trial_succeeded() noexcept {
  on_trial_ = false;
  off_ = !came_whole_;
  return off_;
}

bool stream_support::trial_failed(const failure& why) noexcept {
  on_trial_ = !may_be_of_streams(why);
  return on_trial_;
}

std::optional<duration> stream_support::unstreamed_attempt_failed(const failure& why,
                                                                  duration lasted) {
  if (advised_ || off_ || !is_cut(why) || lasted < shortest_silence) return std::nullopt;
  cuts_ = cuts_ > 0 && is_about(lasted, cut_after_) ? cuts_ + 1 : 1;
  if (cuts_ == 1) cut_after_ = lasted;
  if (cuts_ < cuts_before_advice) return std::nullopt;
  advised_ = true;
  return cut_after_;
}

}  // namespace sluice
