#include "bench/target_health.hpp"

#include <fmt/format.h>

namespace sluice::bench {

void target_health::succeeded() {
  served_ = true;
  unreachable_ = key_refusals_ = misplaced_ = refused_ = 0;
}

std::optional<target_health::stop> target_health::failed(const failure& why, duration max_wait) {
  using enum failure_class;
  const auto stopped = [&](std::string_view what, bool misconfigured = false) {
    return stop{misconfigured, fmt::format("{}: {}", what, why.message)};
  };
  unreachable_ = why.kind == unreachable ? unreachable_ + 1 : 0;
  if (why.retry_after && *why.retry_after > max_wait) {
    return stopped(fmt::format("the relay wants to be left alone for {:.0f} s",
                               std::chrono::duration<double>(*why.retry_after).count()));
  }
  if (why.kind == bad_certificate) {
    return stopped("the relay's certificate does not verify", true);
  }
  if (why.kind == bad_proxy) return stopped("the proxy refuses", true);
  if (why.kind == key_ended && ++key_refusals_ >= 2) {
    return stopped("the key is refused, or its quota is spent");
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
