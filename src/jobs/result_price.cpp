#include "jobs/result_price.hpp"

#include "jobs/result_line.hpp"

namespace sluice {

result_price price_of(const result& finished, const relay_prices& prices) {
  result_price priced;
  if (!finished.outcome) return priced;
  const reply& whole = *finished.outcome;
  const auto& used = whole.usage ? whole.usage : whole.estimated_usage;
  const auto price = prices.find(finished.relay, finished.model, finished.target);
  if (used && price != nullptr) {
    const serving how = serving_of(finished);
    auto found = price->cost(*used, how);
    priced.cost = found.cost;
    priced.cache_saved = price->saved_by_cache(*used, how);
    if (!priced.cost) priced.missing = found.missing;
    priced.stale = price->stale(how.ended_unix);
  }
  priced.settles = priced.cost && whole.usage && !finished.model_in_doubt;
  return priced;
}

}  // namespace sluice
