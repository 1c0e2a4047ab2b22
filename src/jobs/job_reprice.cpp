#include "jobs/job_reprice.hpp"

#include "files/line_reader.hpp"
#include "jobs/stored_line.hpp"
#include "json/object.hpp"

namespace sluice {
namespace {

void add_known(std::optional<usd>& sum, const std::optional<usd>& more) {
  if (more) sum = sum.value_or(usd{}) + *more;
}

// A line does not contain its endpoint. The endpoint matters only for the price of embeddings,
// which need no rate for output.
endpoint likely_endpoint(std::string_view reply) {
  const json_object body(reply);
  const bool generated = body.has("choices") || body.has("output");
  return generated ? endpoint::chat_completions : endpoint::embeddings;
}

model_prices::priced price_of(const stored_line& line, const relay_prices& prices) {
  const line_facts& facts = line.facts;
  if (facts.copied) return {usd{}, {}};
  if (!facts.usage) return {std::nullopt, "usage"};
  const model_prices* price = prices.find(facts.relay, facts.model, likely_endpoint(line.reply));
  if (price == nullptr) return {std::nullopt, "price"};
  return price->cost(*facts.usage, line.served());
}

// The cost of a line: of its reply, and of the rejected replies before it.
model_prices::priced whole_price_of(const stored_line& line, const relay_prices& prices) {
  model_prices::priced whole = price_of(line, prices);
  for (const rejected_reply& rejected : line.facts.rejected) {
    stored_line one;
    one.facts.model = line.facts.model;
    one.facts.relay = rejected.relay;
    one.facts.usage = rejected.usage;
    one.reply = line.reply;
    one.service_tier = rejected.service_tier;
    one.started_at = rejected.started_at;
    one.latency_ms = rejected.latency_ms;
    model_prices::priced more = price_of(one, prices);
    if (!whole.cost || !more.cost) return whole.cost ? more : whole;
    *whole.cost += *more.cost;
  }
  return whole;
}

}  // namespace

void repriced_results::add(const std::optional<usd>& old_one, const std::optional<usd>& new_one) {
  ++requests;
  if (!old_one) ++without_old;
  if (!new_one) ++without_new;
  add_known(old_cost, old_one);
  add_known(new_cost, new_one);
  if (!old_one || !new_one) return;
  usd more = *new_one;
  more -= *old_one;
  add_known(difference, more);
}

repriced_results& repriced_results::operator+=(const repriced_results& other) {
  requests += other.requests;
  without_old += other.without_old;
  without_new += other.without_new;
  add_known(old_cost, other.old_cost);
  add_known(new_cost, other.new_cost);
  add_known(difference, other.difference);
  return *this;
}

job_reprice reprice_job(const std::string& output_path, const relay_prices& prices,
                        std::size_t most_named) {
  job_reprice found;
  line_reader reader(open_bytes(output_path), longest_result_line);
  line_reader::line line;
  while (reader.next(line)) {
    const auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
    if (!stored || !stored->facts.succeeded) {
      ++found.unreadable_lines;
      continue;
    }
    const line_facts& facts = stored->facts;
    const auto priced = whole_price_of(*stored, prices);
    const auto paid = facts.whole_cost();
    found.models[facts.model].add(paid, priced.cost);
    found.total.add(paid, priced.cost);
    if (priced.cost) continue;
    unpriced_results& unpriced = found.unpriced[{facts.model, priced.missing}];
    ++unpriced.requests;
    if (unpriced.first.size() < most_named) {
      unpriced.first.push_back({stored->line, stored->custom_id});
    }
  }
  return found;
}

}  // namespace sluice
