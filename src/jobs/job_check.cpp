#include "jobs/job_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/id_table.hpp"
#include "base/ordered_tasks.hpp"
#include "jobs/job_blocks.hpp"

namespace sluice {
namespace {

struct checked_line {
  boost::system::result<checked_request, bad_line> told;
  hash128 id;  // of a good line
};

checked_request check_request(request&& asked, const check_options& options) {
  checked_request told;
  told.line = asked.line;
  told.prompt = prompt_tokens(asked.target, asked.model, asked.body);
  told.encoding = vocabulary_of(asked.model);
  const auto tokens = static_cast<std::int64_t>(told.prompt.tokens);
  bound_defaults at_standard = options.defaults;
  at_standard.tier = "standard";
  usd most;
  usd most_at_standard;
  std::int64_t completion = 0;
  bool priced = true;
  for (const std::string& model : named_models(asked)) {
    const auto bound = bound_tokens(asked, model, options.prices.limits(model).output,
                                    options.defaults.reply_tokens);
    if (!bound) {
      told.unbounded = bound.error();
      break;
    }
    completion = std::max(completion, bound->completion);
    const auto dearest = [&](const bound_defaults& defaults) -> std::optional<usd> {
      const auto rates = bound_rates(asked, model, tokens, options.prices, std::nullopt, defaults);
      if (!rates) return std::nullopt;
      return token_bound{tokens, bound->completion}.cost(*rates);
    };
    const auto cost = dearest(options.defaults);
    const auto cost_at_standard = dearest(at_standard);
    priced = priced && cost && cost_at_standard;
    if (!priced) continue;
    most = std::max(most, *cost);
    most_at_standard = std::max(most_at_standard, *cost_at_standard);
  }
  if (told.unbounded.empty()) {
    told.most_completion_tokens = completion;
    if (priced) {
      told.most_cost = most;
      told.most_cost_at_standard = most_at_standard;
    }
  }
  if (const auto price = options.prices.find({}, asked.model, asked.target)) {
    const serving how = likely_serving(asked, options.defaults, options.unix_now);
    told.prompt_cost = price->cost({.prompt_tokens = tokens}, how).cost;
    const std::int64_t likely = options.replies.of(asked.model) *
                                std::max<std::int64_t>(static_cast<std::int64_t>(asked.choices), 1);
    const std::int64_t reply = std::min(likely, told.most_completion_tokens.value_or(likely));
    told.likely_cost = price->cost({.prompt_tokens = tokens, .completion_tokens = reply}, how).cost;
  }
  told.custom_id = std::move(asked.custom_id);
  told.model = std::move(asked.model);
  return told;
}

std::vector<checked_line> check_block(const job_block& block, const check_options& options) {
  std::vector<checked_line> told;
  told.reserve(block.lines().size());
  for (const job_block::line& line : block.lines()) {
    auto parsed = block.parse(line, options.lines);
    if (!parsed) {
      told.push_back({parsed.error(), {}});
      continue;
    }
    const hash128 id = hash_of(parsed->custom_id);
    told.push_back({check_request(std::move(*parsed), options), id});
  }
  return told;
}

}  // namespace

void job_check::add(const checked_request& good) {
  ++good_;
  prompt_tokens_ += good.prompt.tokens;
  if (good.most_completion_tokens) {
    completion_tokens_ += static_cast<std::uint64_t>(*good.most_completion_tokens);
  } else if (!unbounded_) {
    unbounded_ = {good.line, good.unbounded, advice_on(good.unbounded)};
  }
  if (good.prompt_cost) {
    ++priced_;
    prompt_cost_ += *good.prompt_cost;
  }
  if (good.likely_cost) likely_cost_ += *good.likely_cost;
  lacks_most_cost_ = lacks_most_cost_ || !good.most_cost;
  if (good.most_cost) most_cost_ += *good.most_cost;
  if (good.most_cost_at_standard) most_cost_at_standard_ += *good.most_cost_at_standard;
  model_share& share = models_[good.model];
  ++share.requests;
  share.prompt_tokens += good.prompt.tokens;
  share.rough = !good.encoding;
  share.exact = share.exact && good.prompt.exact;
  share.priced = share.priced && good.prompt_cost.has_value();
}

void job_check::add(std::uint64_t line, errc code, const std::string& message) {
  const auto [known, fresh] =
      message_numbers_.emplace(message, static_cast<std::uint32_t>(messages_.size()));
  if (fresh) messages_.push_back(message);
  bad_lines_.push_back({line, code, known->second});
}

std::optional<usd> job_check::prompt_cost() const {
  if (priced_ == 0 && good_ > 0) return std::nullopt;
  return prompt_cost_;
}

std::optional<usd> job_check::likely_cost() const {
  return priced_ < good_ ? std::nullopt : std::optional(likely_cost_);
}

std::optional<usd> job_check::most_cost() const {
  if (lacks_most_cost_ || priced_ < good_) return std::nullopt;
  return most_cost_;
}

std::optional<usd> job_check::most_cost_at_standard() const {
  if (lacks_most_cost_ || priced_ < good_) return std::nullopt;
  return most_cost_at_standard_;
}

std::optional<double> job_check::minutes_at(std::uint64_t requests_a_minute,
                                            std::uint64_t tokens_a_minute) const {
  if (requests_a_minute == 0 && tokens_a_minute == 0) return std::nullopt;
  const auto minutes = [](std::uint64_t amount, std::uint64_t limit) {
    return limit == 0 ? 0.0 : static_cast<double>(amount) / static_cast<double>(limit);
  };
  return std::max(minutes(good_, requests_a_minute),
                  minutes(prompt_tokens_ + most_completion_tokens().value_or(0), tokens_a_minute));
}

job_check check_job(const std::string& path, const check_options& options,
                    const std::function<void(const checked_request&)>& each) {
  job_check sum;
  id_set ids;
  const auto take = [&](const checked_line& line) {
    if (!line.told) {
      const bad_line bad = line.told.error();
      sum.add(bad.line, bad.code, bad.message);
    } else if (!ids.insert(line.id).second) {
      const bad_line bad = duplicate_line(line.told->line, line.told->custom_id);
      sum.add(bad.line, bad.code, bad.message);
    } else {
      sum.add(*line.told);
      if (each) each(*line.told);
    }
  };

  ordered_tasks<job_block, std::vector<checked_line>> check(
      options.threads, [&options](const job_block& block) { return check_block(block, options); },
      [&take](const std::vector<checked_line>& lines) {
        for (const checked_line& line : lines) take(line);
      });
  job_blocks reader(path, options.lines);
  for (job_block next; reader.next(next);) check.add(std::move(next));
  check.finish();
  if (sum.lines() == 0) {
    throw fatal_error(fatal_error::kind::cannot_start,
                      fmt::format("{}: is empty; a job has one JSON object a line",
                                  path == "-" ? "standard input" : path));
  }
  return sum;
}

}  // namespace sluice
