#include "probe/token_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>

namespace sluice::probe {
namespace {

constexpr check_kind prompt_kind{
    "prompt_tokens", weight::strong,
    "prompts are not counted by the model's vocabulary: another model answers, or counts are "
    "inflated",
    "a relay may count by the claimed model's vocabulary whatever answers"};
constexpr check_kind mixture_kind{"mixed_routing", weight::strong,
                                  "some calls are served by another model than the rest",
                                  "a share so small that no sample met it"};
constexpr check_kind overhead_kind{
    "chat_overhead", weight::medium,
    "text that is not yours stands before every prompt, and you pay for it",
    "up to 15 tokens more than usual are taken for another way of framing"};
constexpr check_kind completion_kind{"completion_tokens", weight::strong,
                                     "the relay's count of its answers is not that of the text",
                                     "tokens of hidden thoughts cannot be counted again"};
constexpr check_kind max_tokens_kind{
    "max_tokens", weight::strong,
    "an answer cut after a number of tokens has another number by the model's vocabulary",
    "a model of the same vocabulary does the same"};
constexpr check_kind logprobs_kind{
    "logprobs", weight::strong, "answers are made of tokens that the model does not have",
    "a model of the same vocabulary has the same tokens; many honest relays give none"};

// A model frames a single message of a user with so many tokens.
constexpr std::int64_t usual_overhead = 7;
constexpr std::int64_t hidden_prompt = 16;  // tokens more, and they are a text
constexpr std::int64_t clear_misfit = 4;    // tokens off the count that fits the others
constexpr std::size_t fewest = 3;           // samples of which something can be said

constexpr double mixture = 0.1;  // the share of other models that should be found …
constexpr double sure = 0.95;    // … so surely

vocabulary other_than(vocabulary one) {
  return one == vocabulary::cl100k_base ? vocabulary::o200k_base : vocabulary::cl100k_base;
}

std::string_view name_of(vocabulary one) {
  return one == vocabulary::cl100k_base ? "cl100k_base" : "o200k_base";
}

std::int64_t tokens(const tokenizer& counter, std::string_view text) {
  return static_cast<std::int64_t>(counter.count(text).value_or(0));
}

// A prompt that the relay counted: by its report, by the claimed vocabulary and by the other.
struct counted_prompt {
  const observation* seen;
  std::int64_t reported;
  std::int64_t claimed;
  std::int64_t other;
  std::int64_t beside() const { return reported - claimed; }
};

class token_evidence {
 public:
  explicit token_evidence(const evidence& found)
      : found_(found),
        claimed_(*tokenizer::of(*found.sold.tokens)),
        other_(*tokenizer::of(other_than(*found.sold.tokens))) {
    for (const observation& one : found.seen) {
      const bool with_tools =
          one.asked->why == purpose::forced_tool || one.asked->why == purpose::json_schema;
      if (!one.answered || !one.usage || one.usage->prompt_tokens == 0 || with_tools) continue;
      prompts_.push_back({&one, one.usage->prompt_tokens, tokens(claimed_, one.asked->prompt),
                          tokens(other_, one.asked->prompt)});
    }
    const auto usual = most_common([](const counted_prompt& one) { return one.beside(); });
    usual_beside_ = usual.first;
    fitting_ = usual.second;
  }

  std::vector<check> all() {
    std::vector<check> made{prompts()};
    if (prompts_fit()) made.push_back(overhead());
    made.push_back(completions());
    if (!found_.sold.reasons) {
      made.push_back(cut_answers());
      made.push_back(logprobs());
    }
    made.push_back(mixed_routing());
    return made;
  }

 private:
  template <class Of>
  std::pair<std::int64_t, std::size_t> most_common(Of of) const {
    std::map<std::int64_t, std::size_t> times;
    for (const auto& one : prompts_) ++times[of(one)];
    const auto most =
        std::max_element(times.begin(), times.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most == times.end()) return {};
    return {most->first, most->second};
  }

  bool prompts_fit() const { return prompts_.size() >= fewest && 2 * fitting_ > prompts_.size(); }

  // How much the reported count grows with a token of the claimed vocabulary.
  double slope() const {
    double mean_x = 0;
    double mean_y = 0;
    for (const auto& one : prompts_) {
      mean_x += static_cast<double>(one.claimed);
      mean_y += static_cast<double>(one.reported);
    }
    mean_x /= static_cast<double>(prompts_.size());
    mean_y /= static_cast<double>(prompts_.size());
    double with = 0;
    double square = 0;
    for (const auto& one : prompts_) {
      const double x = static_cast<double>(one.claimed) - mean_x;
      with += x * (static_cast<double>(one.reported) - mean_y);
      square += x * x;
    }
    return square == 0 ? 0 : with / square;
  }

  check prompts() const {
    if (prompts_.size() < fewest) {
      return skip(prompt_kind,
                  fmt::format("the relay reported the usage of {} prompt(s)", prompts_.size()));
    }
    const auto name = name_of(*found_.sold.tokens);
    if (prompts_fit()) {
      return judged(prompt_kind, true,
                    fmt::format("{} of {} prompts are counted as by {}, and {} for the framing",
                                fitting_, prompts_.size(), name, usual_beside_));
    }
    std::string told =
        fmt::format("{} of {} prompts are counted as by {}; a token of it counts {:.2f}", fitting_,
                    prompts_.size(), name, slope());
    const auto by_other = most_common([](const auto& one) { return one.reported - one.other; });
    if (2 * by_other.second > prompts_.size()) {
      told += fmt::format("; {} are counted as by {}", by_other.second,
                          name_of(other_than(*found_.sold.tokens)));
    }
    return judged(prompt_kind, false, std::move(told));
  }

  check overhead() const {
    if (found_.sold.reasons) return skip(overhead_kind, "what frames a prompt of it is not known");
    const std::int64_t more = usual_beside_ - usual_overhead;
    return judged(
        overhead_kind, more < hidden_prompt,
        more >= hidden_prompt
            ? fmt::format("{} tokens that are not yours are billed with every prompt", more)
            : fmt::format("{} tokens frame a prompt, {} do at OpenAI", usual_beside_,
                          usual_overhead));
  }

  // The text of all answers, and what is reported for it.
  check completions() const {
    std::int64_t reported = 0;
    std::int64_t own = 0;
    std::int64_t replies = 0;
    for (const observation& one : found_.seen) {
      if (!one.answered || !one.usage || one.choices.empty()) continue;
      std::int64_t here = 0;
      bool countable = true;
      for (const auto& choice : one.choices) {
        countable = countable && choice.tool.empty() && !choice.content.empty();
        here += tokens(claimed_, choice.content);
      }
      if (!countable) continue;
      own += here;
      reported += one.usage->completion_tokens - one.usage->reasoning_tokens;
      ++replies;
    }
    if (own < 50) {
      return skip(completion_kind, "there is too little text with a reported count");
    }
    constexpr double tolerance = 0.04;
    const double slack = 0.5 * static_cast<double>(replies);  // ends may count, or not
    const auto exact = static_cast<double>(own);
    const auto told = static_cast<double>(reported);
    const bool good =
        told <= exact * (1 + tolerance) + slack && told >= exact * (1 - 2 * tolerance) - slack;
    return judged(completion_kind, good,
                  fmt::format("{} replies: {} tokens are reported, {} has {}", replies, reported,
                              name_of(*found_.sold.tokens), own));
  }

  // Unset: it says nothing.
  std::optional<bool> cut_fits(const observation& one) const {
    if (one.asked->why != purpose::max_tokens && one.asked->why != purpose::stream) return {};
    const observed_choice* answer = one.first();
    if (answer == nullptr || answer->finish_reason != "length") return {};
    const std::int64_t off = tokens(claimed_, answer->content) - one.asked->most_tokens;
    return std::abs(off) <= std::max<std::int64_t>(2, one.asked->most_tokens / 16);
  }

  check cut_answers() const {
    std::size_t fit = 0;
    std::size_t all = 0;
    std::string lengths;
    for (const observation& one : found_.seen) {
      const auto fits = cut_fits(one);
      if (!fits) continue;
      ++all;
      if (*fits) {
        ++fit;
      } else {
        lengths += fmt::format("{}{} for {}", lengths.empty() ? "" : ", ",
                               tokens(claimed_, one.first()->content), one.asked->most_tokens);
      }
    }
    if (all == 0) return skip(max_tokens_kind, "no answer was cut at its limit");
    return judged(max_tokens_kind, 2 * fit > all,
                  fmt::format("{} of {} answers end after as many tokens as were allowed{}{}", fit,
                              all, lengths.empty() ? "" : "; others have ", lengths));
  }

  // Unset: it has none.
  std::optional<bool> logprobs_fit(const observation& one) const {
    if (one.asked->why != purpose::logprobs || one.first() == nullptr) return {};
    const auto& made_of = one.first()->tokens;
    if (!made_of || made_of->empty()) return {};
    std::string whole;
    std::size_t unknown = 0;
    for (const auto& token : *made_of) {
      whole += token;
      if (!claimed_.rank_of(token)) ++unknown;
    }
    return unknown == 0 && whole == one.first()->content;
  }

  check logprobs() const {
    std::size_t fit = 0;
    std::size_t all = 0;
    for (const observation& one : found_.seen) {
      const auto fits = logprobs_fit(one);
      if (!fits) continue;
      ++all;
      if (*fits) ++fit;
    }
    if (all == 0) return skip(logprobs_kind, "the relay gives no logprobs");
    return judged(logprobs_kind, 2 * fit > all,
                  fmt::format("{} of {} answers are made of tokens of {}", fit, all,
                              name_of(*found_.sold.tokens)));
  }

  bool misfits(const observation& one) const {
    const auto counted = std::find_if(prompts_.begin(), prompts_.end(),
                                      [&](const auto& prompt) { return prompt.seen == &one; });
    if (counted != prompts_.end() && std::abs(counted->beside() - usual_beside_) >= clear_misfit) {
      return true;
    }
    return !cut_fits(one).value_or(true) || !logprobs_fit(one).value_or(true);
  }

  check mixed_routing() const {
    if (!prompts_fit()) {
      return skip(mixture_kind, "there is no count that fits most of the prompts");
    }
    std::size_t off = 0;
    std::size_t telling = 0;
    for (const auto& prompt : prompts_) {
      if (misfits(*prompt.seen)) ++off;
      if (std::abs(prompt.claimed - prompt.other) >= clear_misfit) ++telling;
    }
    if (off > 0) {
      return judged(mixture_kind, false,
                    fmt::format("{} of {} replies do not fit the model that the others fit", off,
                                prompts_.size()));
    }
    const double found = 1 - std::pow(1 - mixture, static_cast<double>(telling));
    std::string told = fmt::format(
        "all of {} replies fit the model; a relay that serves another vocabulary's in {:.0f} % of "
        "calls is found by so many with {:.0f} %",
        telling, 100 * mixture, 100 * found);
    if (found < sure) return skip(mixture_kind, told + "; a larger --budget pays for more");
    return judged(mixture_kind, true, std::move(told));
  }

  const evidence& found_;
  const tokenizer& claimed_;
  const tokenizer& other_;
  std::vector<counted_prompt> prompts_;
  std::int64_t usual_beside_ = 0;
  std::size_t fitting_ = 0;
};

}  // namespace

std::vector<check> token_checks(const evidence& found) {
  const auto known = found.sold.tokens;
  if (known && tokenizer::of(*known) != nullptr && tokenizer::of(other_than(*known)) != nullptr) {
    return token_evidence(found).all();
  }
  const std::string why = known
                              ? "this program was built without the vocabularies"
                              : fmt::format("the vocabulary of {} is not known", found.sold.model);
  std::vector<check> made;
  for (const check_kind* kind : {&prompt_kind, &overhead_kind, &completion_kind, &max_tokens_kind,
                                 &logprobs_kind, &mixture_kind}) {
    made.push_back(skip(*kind, why));
  }
  return made;
}

}  // namespace sluice::probe
