#include "probe/token_checks.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <span>
#include <string>

namespace sluice::probe {
namespace {

constexpr check_kind prompt_kind{
    "prompt_tokens", weight::strong, subject::identity,
    "the token counts of prompts do not match the model's vocabulary: another model answers, or "
    "counts are inflated",
    "a relay may count with the claimed model's vocabulary although another model answers"};
constexpr check_kind mixture_kind{"mixed_routing", weight::strong, subject::identity,
                                  "another model serves some of the calls",
                                  "a share so small that it affected none of the samples"};
constexpr check_kind overhead_kind{
    "chat_overhead", weight::medium, subject::counts,
    "the relay adds a hidden text to every prompt, and you pay for it",
    "up to 15 extra tokens are accepted as another format of messages"};
constexpr check_kind completion_kind{"completion_tokens", weight::strong, subject::counts,
                                     "the reported tokens of answers do not match their text",
                                     "hidden reasoning tokens cannot be checked"};
constexpr check_kind max_tokens_kind{
    "max_tokens", weight::strong, subject::identity,
    "an answer is longer than its token limit, or one that was cut there has another length in the "
    "model's vocabulary",
    "another model with the same vocabulary gives the same result; where the vocabulary is not "
    "public, only an answer of about four times its limit is found"};
constexpr check_kind logprobs_kind{
    "logprobs", weight::strong, subject::identity,
    "answers consist of tokens that the model does not have",
    "another model with the same vocabulary has the same tokens; many honest relays send none"};

constexpr std::int64_t openai_overhead = 7;  // tokens that OpenAI adds to one user message
// with this number of extra tokens or more, there is a hidden text
constexpr std::int64_t hidden_prompt = 16;
// a difference of this many tokens means another vocabulary
constexpr std::int64_t clear_misfit = 4;
constexpr std::size_t fewest = 3;  // the smallest number of samples that allows a conclusion

// If this share of calls goes to another model, the check must find it with this probability.
constexpr double mixture = 0.1;
constexpr double sure = 0.95;

vocabulary other_than(vocabulary one) {
  return one == vocabulary::cl100k_base ? vocabulary::o200k_base : vocabulary::cl100k_base;
}

std::string_view name_of(vocabulary one) {
  return one == vocabulary::cl100k_base ? "cl100k_base" : "o200k_base";
}

// The maximum number of tokens of an answer with this limit. OpenAI's newest endpoint, to which a
// relay may forward a chat, accepts no limit below 16. A truncated character can add one or two
// tokens.
std::int64_t most_allowed(std::int64_t limit) {
  constexpr std::int64_t lowest_limit = 16;
  return std::max(limit, lowest_limit) + std::max<std::int64_t>(2, limit / 16);
}

std::int64_t tokens(const tokenizer& counter, std::string_view text) {
  return static_cast<std::int64_t>(counter.count(text).value_or(0));
}

// The answers that are longer than their limit. `count` gives the tokens of a text.
template <class Count>
std::vector<std::string> answers_too_long(const evidence& found, Count count) {
  std::vector<std::string> lengths;
  for (const observation& one : found.seen) {
    for (const auto& choice : one.choices) {
      const std::int64_t length = count(choice.content);
      if (length > most_allowed(one.request->most_tokens))
        lengths.push_back(fmt::format("{} for {}", length, one.request->most_tokens));
    }
  }
  return lengths;
}

// The first few of them, as text: "203 for 24, 187 for 48, …".
std::string some_of(const std::vector<std::string>& lengths) {
  constexpr std::size_t enough = 4;
  const auto shown = std::span(lengths).first(std::min(enough, lengths.size()));
  return fmt::format("{}{}", fmt::join(shown, ", "), lengths.size() > enough ? ", …" : "");
}

// The token counts of a prompt: from the relay, the claimed vocabulary and the other vocabulary.
struct counted_prompt {
  const observation* source;
  std::int64_t reported;
  std::int64_t claimed;
  std::int64_t other;
  std::int64_t overhead() const { return reported - claimed; }
};

class token_evidence {
 public:
  explicit token_evidence(const evidence& found)
      : found_(found),
        claimed_(*tokenizer::of(*found.sold.tokens)),
        other_(*tokenizer::of(other_than(*found.sold.tokens))) {
    for (const observation& one : found.seen) {
      const bool with_tools =
          one.request->why == purpose::forced_tool || one.request->why == purpose::json_schema;
      // the cache check never accuses a relay
      const bool of_cache = one.request->why == purpose::cache;
      if (!one.answered || !one.usage || one.usage->prompt_tokens == 0 || with_tools || of_cache)
        continue;
      prompts_.push_back({&one, one.usage->prompt_tokens, tokens(claimed_, one.request->prompt),
                          tokens(other_, one.request->prompt)});
    }
    const auto usual = most_common([](const counted_prompt& one) { return one.overhead(); });
    usual_overhead_ = usual.first;
    fitting_ = usual.second;
  }

  std::vector<check> all() {
    std::vector<check> made{prompts()};
    if (prompts_fit()) made.push_back(overhead());
    made.push_back(completions());
    made.push_back(limited_answers());
    if (!found_.sold.reasons) made.push_back(logprobs());
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

  // By how much the reported count grows per token of the claimed vocabulary (linear regression).
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
                  fmt::format("the relay reported usage for only {} prompt(s)", prompts_.size()));
    }
    const auto name = name_of(*found_.sold.tokens);
    if (prompts_fit()) {
      return judged(prompt_kind, true,
                    fmt::format("the counts of {} of {} prompts match {}, plus {} for the message "
                                "format",
                                fitting_, prompts_.size(), name, usual_overhead_));
    }
    std::string text = fmt::format(
        "the counts of {} of {} prompts match {}; the relay bills {:.2f} tokens for one of it",
        fitting_, prompts_.size(), name, slope());
    const auto by_other = most_common([](const auto& one) { return one.reported - one.other; });
    if (2 * by_other.second > prompts_.size()) {
      text +=
          fmt::format("; {} match {}", by_other.second, name_of(other_than(*found_.sold.tokens)));
      return judged(prompt_kind, false, std::move(text));
    }
    check failed = judged(prompt_kind, false, std::move(text));
    failed.about = subject::counts;
    return failed;
  }

  check overhead() const {
    if (found_.sold.reasons)
      return skip(overhead_kind, "the overhead of the model's messages is unknown");
    const std::int64_t more = usual_overhead_ - openai_overhead;
    return judged(overhead_kind, more < hidden_prompt,
                  more >= hidden_prompt
                      ? fmt::format("every prompt is billed with {} extra tokens", more)
                      : fmt::format("a prompt has {} tokens of overhead; at OpenAI it has {}",
                                    usual_overhead_, openai_overhead));
  }

  // Compares the reported completion tokens with the text of the answers.
  check completions() const {
    std::int64_t reported = 0;
    std::int64_t own = 0;
    std::int64_t replies = 0;
    bool all_separable = true;
    for (const observation& one : found_.seen) {
      if (!one.answered || !one.usage || one.choices.empty()) continue;
      // Some servers report reasoning tokens only as a part of the completion.
      const bool separable = !found_.sold.reasons || one.usage->reasoning_tokens > 0;
      all_separable = all_separable && separable;
      if (!separable) continue;
      std::int64_t counted = 0;
      bool countable = true;
      for (const auto& choice : one.choices) {
        countable = countable && choice.tool.empty() && !choice.content.empty();
        counted += tokens(claimed_, choice.content);
      }
      if (!countable) continue;
      own += counted;
      reported += one.usage->completion_tokens - one.usage->reasoning_tokens;
      ++replies;
    }
    if (own < 50) {
      return skip(completion_kind,
                  all_separable ? "there is too little text with reported usage"
                                : "the relay reports no reasoning tokens apart from the text");
    }
    constexpr double tolerance = 0.04;
    // A relay may or may not count the token that ends an answer.
    const double slack = 0.5 * static_cast<double>(replies);
    const auto exact = static_cast<double>(own);
    const auto claimed = static_cast<double>(reported);
    const bool good = claimed <= exact * (1 + tolerance) + slack &&
                      claimed >= exact * (1 - 2 * tolerance) - slack;
    return judged(completion_kind, good,
                  fmt::format("{} replies: the relay reports {} tokens, {} counts {}", replies,
                              reported, name_of(*found_.sold.tokens), own));
  }

  // Unset if the sample cannot show this.
  std::optional<bool> cut_fits(const observation& one) const {
    if (found_.sold.reasons) return {};  // hidden reasoning counts towards the limit too
    if (one.request->why != purpose::max_tokens && one.request->why != purpose::stream) return {};
    const observed_choice* answer = one.first();
    if (answer == nullptr || answer->finish_reason != "length") return {};
    if (answer->content.empty()) return {};  // the limit was spent on something else
    const std::int64_t off = tokens(claimed_, answer->content) - one.request->most_tokens;
    return std::abs(off) <= std::max<std::int64_t>(2, one.request->most_tokens / 16);
  }

  check limited_answers() const {
    const auto too_long =
        answers_too_long(found_, [&](std::string_view text) { return tokens(claimed_, text); });
    check made = found_.sold.reasons
                     ? skip(max_tokens_kind,
                            "no answer is longer than its limit; how long one is when it is cut "
                            "depends on hidden reasoning")
                     : cut_answers();
    if (too_long.empty()) return made;
    const std::string words = fmt::format("{} answer(s) are longer than their limit: {} tokens",
                                          too_long.size(), some_of(too_long));
    if (made.result == check_result::fail) {
      made.evidence += "; " + words;
      return made;
    }
    made = judged(max_tokens_kind, false, words);
    made.about = subject::counts;
    return made;
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
                               tokens(claimed_, one.first()->content), one.request->most_tokens);
      }
    }
    if (all == 0) return skip(max_tokens_kind, "no answer was cut at its limit");
    return judged(max_tokens_kind, 2 * fit > all,
                  fmt::format("{} of {} answers end at their token limit{}{}", fit, all,
                              lengths.empty() ? "" : "; others have ", lengths));
  }

  // Unset if the sample has no logprobs.
  std::optional<bool> logprobs_fit(const observation& one) const {
    if (one.request->why != purpose::logprobs || one.first() == nullptr) return {};
    const auto& pieces = one.first()->tokens;
    if (!pieces || pieces->empty()) return {};
    std::string whole;
    std::size_t unknown = 0;
    for (const auto& token : *pieces) {
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
                  fmt::format("{} of {} answers consist of tokens of {}", fit, all,
                              name_of(*found_.sold.tokens)));
  }

  bool misfits(const observation& one) const {
    const auto counted = std::find_if(prompts_.begin(), prompts_.end(),
                                      [&](const auto& prompt) { return prompt.source == &one; });
    if (counted != prompts_.end() &&
        std::abs(counted->overhead() - usual_overhead_) >= clear_misfit) {
      return true;
    }
    return !cut_fits(one).value_or(true) || !logprobs_fit(one).value_or(true);
  }

  check mixed_routing() const {
    if (!prompts_fit()) {
      return skip(mixture_kind, "the counts of most prompts do not match the model");
    }
    std::size_t off = 0;
    std::size_t telling = 0;  // prompts that would reveal another vocabulary
    for (const auto& prompt : prompts_) {
      if (misfits(*prompt.source)) ++off;
      if (std::abs(prompt.claimed - prompt.other) >= clear_misfit) ++telling;
    }
    if (off > 0) {
      return judged(mixture_kind, false,
                    fmt::format("{} of {} replies do not match the model, but the others do", off,
                                prompts_.size()));
    }
    const double power = 1 - std::pow(1 - mixture, static_cast<double>(telling));
    std::string text = fmt::format(
        "all {} replies match the model; if a model with another vocabulary served {:.0f} % of the "
        "calls, these replies would show it with a probability of {:.0f} %",
        telling, 100 * mixture, 100 * power);
    check made = power < sure
                     ? skip(mixture_kind, text + "; a larger --budget allows more requests")
                     : judged(mixture_kind, true, std::move(text));
    if (telling > 0) {
      made.leaves_open = fmt::format(
          "Another vocabulary in less than {:.0f} % of the calls may have met none of the samples.",
          std::ceil(100 * (1 - std::pow(1 - sure, 1 / static_cast<double>(telling)))));
    }
    return made;
  }

  const evidence& found_;
  const tokenizer& claimed_;
  const tokenizer& other_;
  std::vector<counted_prompt> prompts_;
  std::int64_t usual_overhead_ = 0;
  std::size_t fitting_ = 0;
};

// For a model without a public vocabulary. In these languages, no vocabulary puts several times as
// much text into one token as others do.
check roughly_limited_answers(const evidence& found, const std::string& why) {
  // so that no vocabularies are loaded in vain
  if (found.seen.empty()) return skip(max_tokens_kind, why);
  const tokenizer* const one = tokenizer::of(vocabulary::cl100k_base);
  const tokenizer* const other = tokenizer::of(vocabulary::o200k_base);
  if (one == nullptr || other == nullptr) return skip(max_tokens_kind, why);
  constexpr std::int64_t times = 4;
  const auto too_long = answers_too_long(found, [&](std::string_view text) {
    return std::min(tokens(*one, text), tokens(*other, text)) / times;
  });
  if (too_long.empty()) {
    return skip(max_tokens_kind, "no answer is clearly longer than its limit, and " + why);
  }
  check failed = judged(max_tokens_kind, false,
                        fmt::format("{} answer(s) are longer than their limit: at least {} tokens",
                                    too_long.size(), some_of(too_long)));
  failed.about = subject::counts;
  return failed;
}

}  // namespace

bool identity_is_testable(const claim& sold) {
  return sold.tokens && tokenizer::of(*sold.tokens) != nullptr &&
         tokenizer::of(other_than(*sold.tokens)) != nullptr;
}

std::vector<check> token_checks(const evidence& found) {
  if (identity_is_testable(found.sold)) return token_evidence(found).all();
  const std::string why = found.sold.tokens
                              ? "this program was built without the tokenizer vocabularies"
                              : fmt::format("the vocabulary of {} is not public", found.sold.model);
  return {skip(prompt_kind, why),     skip(overhead_kind, why),
          skip(completion_kind, why), roughly_limited_answers(found, why),
          skip(logprobs_kind, why),   skip(mixture_kind, why)};
}

}  // namespace sluice::probe
