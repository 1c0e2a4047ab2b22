#include "server/batch_sums.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace sluice::server {

namespace asio = boost::asio;

namespace {

constexpr std::size_t at_once = 1000;
// The sums stay valid for this multiple of the time that it took to compute them.
constexpr int rest_share = 50;

}  // namespace

store::batch_progress& operator+=(store::batch_progress& to, const store::batch_progress& more) {
  to.counts.total += more.counts.total;
  to.counts.completed += more.counts.completed;
  to.counts.failed += more.counts.failed;
  to.usage.input_tokens += more.usage.input_tokens;
  to.usage.cached_tokens += more.usage.cached_tokens;
  to.usage.output_tokens += more.usage.output_tokens;
  to.usage.reasoning_tokens += more.usage.reasoning_tokens;
  to.usage.total_tokens += more.usage.total_tokens;
  to.cost += more.cost;
  to.unpriced += more.unpriced;
  to.spent += more.spent;
  return to;
}

batch_sums sum_batches(store::batch_store& records, std::string_view owner) {
  batch_sums sums;
  store::page_request which{at_once, {}};
  for (bool more = true; more;) {
    auto page = records.list_batches(owner, which);
    for (auto& batch : page.records) {
      ++sums.by_status[batch.status];
      if (!store::has_ended(batch.status)) {
        sums.open.push_back({batch.id, batch.model, batch.progress});
        continue;
      }
      sums.ended += batch.progress;
      if (batch.model) {
        sums.by_model[*batch.model] += batch.progress;
      } else if (batch.progress.counts.completed > 0) {
        sums.mixed.push_back({batch.id, {}, batch.progress});
      }
    }
    more = page.has_more && !page.records.empty();
    if (more) which.after = page.records.back().id;
  }
  return sums;
}

asio::awaitable<batch_sums> kept_sums::of(std::string owner) {
  entry& kept = entries_[owner];
  if (kept.sums && (kept.being_made || time_.now() < kept.good_until)) co_return *kept.sums;
  kept.being_made = true;
  const time_point began = time_.now();
  std::exception_ptr fault;
  try {
    auto made = co_await disk_.run([&] { return sum_batches(records_, owner); });
    kept.sums = std::move(made);
  } catch (const store::store_error&) {
    fault = std::current_exception();
  }
  kept.being_made = false;
  if (fault) std::rethrow_exception(fault);
  const time_point now = time_.now();
  kept.good_until = now + std::max<duration>((now - began) * rest_share, std::chrono::seconds{1});
  co_return *kept.sums;
}

}  // namespace sluice::server
