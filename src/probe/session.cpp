#include "probe/session.hpp"

#include <algorithm>
#include <utility>

namespace sluice::probe {
namespace {

// One-api and its successors count money in units of 1/500,000 USD.
usd rounded_up(usd cost) {
  constexpr usd::units unit = 2'000'000'000'000;
  return usd::from_units((cost.count() + unit - 1) / unit * unit);
}

}  // namespace

session::session(const claim& sold, const plan& planned, usd limit, std::string identity)
    : sold_(sold),
      plan_(planned),
      identity_(std::move(identity)),
      money_(limit),
      end_(planned.cache_begin) {}

std::optional<request> session::next() {
  if (cancelled_.load() || next_ >= end_.load()) return std::nullopt;
  const std::size_t number = next_++;
  return plan_.samples[number].to_request(sold_.model, number + 1);
}

bool session::begin_cache_check() {
  cache_check_began_ = true;
  end_.store(plan_.samples.size());
  cancelled_.store(false);
  return next_ == plan_.cache_begin && plan_.cache_begin < plan_.samples.size();
}

funds session::reserve(const request& next) {
  if (seen_.empty() && !reserved_.empty()) return funds::wait;
  const auto index = static_cast<std::size_t>(next.line) - 1;
  if (index > plan_.cache_begin + ended_in_cache_check_) return funds::wait;
  const usd most = next.most + extra_cost_;
  const funds granted = money_.reserve(most);
  if (granted == funds::reserved) reserved_[next.custom_id] = most;
  return granted;
}

usd session::release(std::string_view id) {
  const auto found = reserved_.find(id);
  if (found == reserved_.end()) return {};
  const usd most = found->second;
  reserved_.erase(found);
  return most;
}

void session::unreserve(const request& next) {
  money_.give_back(release(next.custom_id));
}

void session::attempt_started(const attempt_record&) {
  ++attempts_;
}

void session::attempt_ended(const attempt_record& attempt, attempt_end how) {
  const usd most = release(attempt.custom_id);
  switch (how) {
    case attempt_end::unsent:
      --attempts_;
      money_.give_back(most);
      break;
    case attempt_end::answered:
      money_.give_back(most);
      break;
    case attempt_end::lost:
    case attempt_end::given_up:
    case attempt_end::unpriced:
      money_.settle(most, most);
      add_lost(most);
      break;
  }
}

void session::add_lost(usd most) {
  charges& part = cache_check_began_ ? in_cache_check_ : before_cache_;
  part.lost += most;
  part.at_most += rounded_up(most);
  part.without_discount_at_most += rounded_up(most);
}

void session::put(result&& finished) {
  const sample& source = plan_.samples[static_cast<std::size_t>(finished.line) - 1];
  const bool of_cache = source.why == purpose::cache;
  seen_.push_back(observe(source, finished));
  if (of_cache) ++ended_in_cache_check_;
  if (!finished.outcome) return;
  const usd most = release(finished.custom_id);
  const auto& usage = finished.outcome->usage;
  const reply& whole = *finished.outcome;
  const double ended = finished.started_at + finished.latency_ms / 1000;
  const serving how = whole.served(finished.started_at, ended);
  const usd cost = usage ? sold_.price.cost(*usage, how).cost.value_or(most) : most;
  money_.settle(most, cost);
  usd full = cost;
  if (usage) {
    token_usage uncached = *usage;
    uncached.cached_tokens = 0;
    full = sold_.price.cost(uncached, how).cost.value_or(cost);
  }
  charges& part = of_cache ? in_cache_check_ : before_cache_;
  part.cost += cost;
  part.at_most += rounded_up(cost);
  part.without_discount += full;
  part.without_discount_at_most += rounded_up(full);
  if (source.most < cost) {
    usd more = cost;
    more -= source.most;
    // An answer that ignores its limit can be of any length.
    if (usage && usage->completion_tokens > source.most_tokens * source.answers()) more += more;
    extra_cost_ = std::max(extra_cost_, more);
  }
}

}  // namespace sluice::probe
