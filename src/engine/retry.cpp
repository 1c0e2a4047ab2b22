#include "engine/retry.hpp"

#include <algorithm>

#include "upstream/hint_spread.hpp"

namespace sluice {

duration retry_policy::backoff(unsigned failures) {
  duration longest = options_.base;
  for (unsigned i = 0; i < failures && longest < options_.cap; ++i) longest *= 2;
  longest = std::min(longest, options_.cap);
  return duration{std::uniform_int_distribution<duration::rep>(0, longest.count())(random_)};
}

duration retry_policy::spread(duration wait) {
  return upstream::hint_spread(wait, random_);
}

retry_policy::decision retry_policy::decide(history& past, const failure& why, bool charge,
                                            std::uint64_t successes) {
  switch (why.kind) {
    case failure_class::permanent:
    case failure_class::wrong_address:
      return {};
    case failure_class::throttled:
      if (why.max_retries == 0) return {};
      if (past.refusals++ == 0) past.successes_at_first_refusal = successes;
      if (past.refusals >= max_refusals && successes > past.successes_at_first_refusal) return {};
      return {true, {}};  // the key as a whole is paused
    case failure_class::key_ended:
      return {true, backoff(past.refusals_of_key++)};
    default:
      break;
  }
  // The same parse error twice: another attempt would not help.
  if (why.unreadable && !why.message.empty() && why.message == past.unreadable) {
    return {.lasting = true};
  }
  past.unreadable = why.unreadable ? why.message : std::string();
  if (charge) ++past.charged;
  if (past.charged >= options_.max_attempts) return {};
  if (why.max_retries >= 0 && past.charged > static_cast<unsigned>(why.max_retries)) return {};
  if (why.retry_after) {
    const auto wait = std::chrono::duration_cast<duration>(*why.retry_after);
    return {true, wait + spread(wait)};
  }
  return {true, backoff(past.charged == 0 ? 0 : past.charged - 1)};
}

}  // namespace sluice
