#include "loadtest/target_cutoff.hpp"

#include <fmt/format.h>

namespace sluice::bench {

void target_cutoff::succeeded() {
  served_ = true;
  key_refused_at_.reset();
  unreachable_ = misplaced_ = refused_ = 0;
}

std::optional<target_cutoff::stop> target_cutoff::failed(const failure& why, time_point started,
                                                         time_point now, duration max_wait) {
  using enum failure_class;
  const auto stopped = [&](std::string_view what, bool misconfigured = false) {
    return stop{misconfigured, fmt::format("{}: {}", what, described(why, {}))};
  };
  // If a request has succeeded, the settings are right and are not the cause of later failures.
  const bool cut_off = why.kind == unreachable ||
                       (served_ && (why.kind == bad_certificate || why.kind == bad_proxy));
  unreachable_ = cut_off ? unreachable_ + 1 : 0;
  if (why.retry_after && *why.retry_after > max_wait) {
    return stopped(fmt::format("the relay asks for a pause of {:.0f} s",
                               std::chrono::duration<double>(*why.retry_after).count()));
  }
  if (!served_ && why.kind == bad_certificate) {
    return stopped("the relay's certificate does not verify", true);
  }
  if (!served_ && why.kind == wrong_address && why.code == errc::connection_failed) {
    return stopped("the address is wrong", true);
  }
  if (!served_ && why.kind == bad_proxy) return stopped("the proxy refuses", true);
  if (why.kind == key_ended && !key_refused_at_) {
    key_refused_at_ = now;
  } else if (why.kind == key_ended && started >= *key_refused_at_) {
    switch (why.ends_with) {
      case stop_reason::quota_spent:
        return stopped("the key's quota is used up");
      case stop_reason::blocked:
        return stopped("a gateway in front of the relay blocks this computer");
      default:
        return stopped("the relay refuses the key");
    }
  }
  if (unreachable_ >= (served_ ? gone : enough)) {
    return stopped("the relay cannot be reached");
  }
  if (served_) return std::nullopt;
  if ((why.kind == wrong_address || why.foreign) && ++misplaced_ >= enough) {
    return stopped("what answers is not this API (write the base URL like https://host/v1)", true);
  }
  if (why.kind == permanent && ++refused_ >= enough) {
    return stopped("the relay refuses these requests");
  }
  return std::nullopt;
}

}  // namespace sluice::bench
