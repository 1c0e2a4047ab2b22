#include "jobs/job_reprice.hpp"

#include <filesystem>
#include <utility>

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

// Only replies that can be wrong are rejected, so they are generated text.
model_prices::priced price_of(const rejected_reply& rejected, const std::string& model,
                              const relay_prices& prices) {
  if (!rejected.usage) return {std::nullopt, "usage"};
  const model_prices* price = prices.find(rejected.relay, model, endpoint::chat_completions);
  if (price == nullptr) return {std::nullopt, "price"};
  stored_line one;
  one.service_tier = rejected.service_tier;
  one.speed = rejected.speed;
  one.inference_geo = rejected.inference_geo;
  one.started_at = rejected.started_at;
  one.latency_ms = rejected.latency_ms;
  return price->cost(*rejected.usage, one.served());
}

// The cost of a request: of its reply, if it has one, and of the rejected replies before it.
model_prices::priced with_rejected(model_prices::priced whole, const line_facts& facts,
                                   const relay_prices& prices) {
  for (const rejected_reply& rejected : facts.rejected) {
    model_prices::priced more = price_of(rejected, facts.model, prices);
    if (!whole.cost || !more.cost) return whole.cost ? more : whole;
    *whole.cost += *more.cost;
  }
  return whole;
}

// A request that failed after replies that were rejected.
struct paid_failure {
  std::uint64_t line = 0;
  line_facts facts;
};
using paid_failures = std::map<std::string, paid_failure>;  // by custom_id

// A later line of a request contains the rejected replies of the earlier line, and more.
paid_failures read_failures(const std::string& errors_path, std::uint64_t& unreadable_lines) {
  paid_failures found;
  if (!std::filesystem::exists(errors_path)) return found;  // no request has failed
  line_reader reader(open_bytes(errors_path), longest_result_line);
  line_reader::line line;
  while (reader.next(line)) {
    auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
    if (!stored) ++unreadable_lines;
    if (!stored || stored->facts.rejected.empty()) continue;
    found[stored->custom_id] = {stored->line, std::move(stored->facts)};
  }
  return found;
}

class reprice_sums {
 public:
  reprice_sums(job_reprice& found, std::size_t most_named)
      : found_(found), most_named_(most_named) {}
  void add(const std::string& custom_id, std::uint64_t line, const line_facts& facts,
           const model_prices::priced& priced) {
    const auto paid = facts.whole_cost();
    found_.models[facts.model].add(paid, priced.cost);
    found_.total.add(paid, priced.cost);
    if (priced.cost) return;
    unpriced_results& unpriced = found_.unpriced[{facts.model, priced.missing}];
    ++unpriced.requests;
    if (unpriced.first.size() < most_named_) unpriced.first.push_back({line, custom_id});
  }

 private:
  job_reprice& found_;
  const std::size_t most_named_;
};

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

job_reprice reprice_job(const std::string& output_path, const std::string& errors_path,
                        const relay_prices& prices, std::size_t most_named) {
  job_reprice found;
  reprice_sums all(found, most_named);
  paid_failures failures = read_failures(errors_path, found.unreadable_lines);
  line_reader reader(open_bytes(output_path), longest_result_line);
  line_reader::line line;
  while (reader.next(line)) {
    const auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
    if (!stored || !stored->facts.succeeded) {
      ++found.unreadable_lines;
      continue;
    }
    failures.erase(stored->custom_id);
    all.add(stored->custom_id, stored->line, stored->facts,
            with_rejected(price_of(*stored, prices), stored->facts, prices));
  }
  for (const auto& [custom_id, failed] : failures) {
    all.add(custom_id, failed.line, failed.facts, with_rejected({usd{}, {}}, failed.facts, prices));
  }
  return found;
}

}  // namespace sluice
