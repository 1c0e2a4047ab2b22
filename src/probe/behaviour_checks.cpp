#include "probe/behaviour_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sluice::probe {
namespace {

constexpr check_kind limit_kind{
    "context_limit", weight::strong,
    "the refusal of too many tokens names limits that are not the model's",
    "models of the same limits; relays that cut the number down say nothing"};
constexpr check_kind stream_kind{"streaming", weight::medium,
                                 "a stream is no stream: all of it comes at once at its end",
                                 "a proxy on the way that buffers does the same"};
constexpr check_kind tool_kind{"forced_tool", weight::capability,
                               "a tool that must be called is not called",
                               "many models of many makers call tools"};
constexpr check_kind schema_kind{"json_schema", weight::capability,
                                 "an answer does not follow the JSON schema it was given",
                                 "relays may leave the schema out of what they pass on"};
constexpr check_kind choices_kind{"n", weight::capability, "two answers were asked for, one came",
                                  "other makers' models behind a relay often give one"};
constexpr check_kind stop_kind{"stop", weight::capability,
                               "an answer goes on behind the word that should have ended it",
                               "most models stop"};

const observation* find(const evidence& found, purpose why) {
  const auto one = std::find_if(found.seen.begin(), found.seen.end(),
                                [&](const observation& seen) { return seen.asked->why == why; });
  return one == found.seen.end() ? nullptr : &*one;
}

// The number behind the words, "8192" in "maximum context length is 8,192 tokens".
std::optional<std::int64_t> number_behind(std::string_view text, std::string_view words) {
  const std::size_t at = text.find(words);
  if (at == std::string_view::npos) return std::nullopt;
  std::string digits;
  for (const char c : text.substr(at + words.size())) {
    if (c >= '0' && c <= '9') {
      digits += c;
    } else if (!(c == ' ' && digits.empty()) && c != ',') {
      break;
    }
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return number;
}

check context_limit(const evidence& found) {
  const observation* one = find(found, purpose::context_limit);
  if (one == nullptr) {
    return skip(limit_kind, "an answer, were it not refused, might cost more than the budget");
  }
  if (one->answered) {
    return skip(limit_kind,
                "the relay answered although more tokens were asked for than there are");
  }
  const auto context = number_behind(one->refusal, "maximum context length is");
  const auto output = number_behind(one->refusal, "supports at most");
  if (!context && !output) {
    return skip(limit_kind, fmt::format("the refusal names no limit: {}", one->refusal));
  }
  const auto fits = [](std::optional<std::int64_t> told, std::optional<std::int64_t> known) {
    return !told || !known || *told == *known;
  };
  // Where the context is all that counts, it is named as the limit of an answer, too.
  const bool good =
      fits(context, found.sold.context_limit) &&
      (fits(output, found.sold.output_limit) || fits(output, found.sold.context_limit));
  return judged(
      limit_kind, good,
      fmt::format("the relay names {} tokens; {} has {} in all, {} of them in an answer",
                  context ? *context : *output, found.sold.model,
                  found.sold.context_limit ? std::to_string(*found.sold.context_limit) : "unknown",
                  found.sold.output_limit ? std::to_string(*found.sold.output_limit) : "unknown"));
}

// No model writes a token in less time, whoever serves it.
constexpr double fastest_ms_per_token = 0.4;
constexpr std::int64_t long_stream = 24;
constexpr double too_quick_to_tell_ms = 100;

check streaming(const evidence& found) {
  std::size_t all = 0;
  std::size_t at_once = 0;
  double spread = 0;
  double whole = 0;
  for (const observation& one : found.seen) {
    if (one.asked->why != purpose::stream || !one.answered || !one.ttft_ms) continue;
    const std::int64_t tokens = one.usage ? one.usage->completion_tokens : one.asked->most_tokens;
    if (tokens < long_stream || one.latency_ms < too_quick_to_tell_ms) continue;
    const double took = one.latency_ms - *one.ttft_ms;
    ++all;
    if (took < fastest_ms_per_token * static_cast<double>(tokens)) ++at_once;
    spread += took;
    whole += one.latency_ms;
  }
  if (all == 0) return skip(stream_kind, "no stream was long enough to tell");
  const auto each = static_cast<double>(all);
  return judged(stream_kind, at_once < all || all < 2,
                fmt::format("{} of {} streams came at once; in the mean their text took {:.0f} ms "
                            "of {:.0f} ms",
                            at_once, all, spread / each, whole / each));
}

check forced_tool(const evidence& found) {
  const observation* one = find(found, purpose::forced_tool);
  if (one == nullptr) return skip(tool_kind, "it did not fit into the budget");
  if (!one->answered || one->first() == nullptr) {
    return skip(tool_kind, fmt::format("it was not answered: {}", one->refusal));
  }
  const observed_choice& answer = *one->first();
  if (answer.tool.empty()) return judged(tool_kind, false, "the answer is text");
  const bool json = nlohmann::json::accept(answer.tool_arguments);
  return judged(
      tool_kind, answer.tool == one->asked->detail && json,
      fmt::format("{} was called, with arguments that are {}JSON", answer.tool, json ? "" : "no "));
}

check json_schema(const evidence& found) {
  const observation* one = find(found, purpose::json_schema);
  if (one == nullptr)
    return skip(schema_kind, "the model takes none, or the budget did not pay it");
  if (!one->answered || one->first() == nullptr) {
    return skip(schema_kind, fmt::format("it was not answered: {}", one->refusal));
  }
  const auto answer = nlohmann::json::parse(one->first()->content, nullptr, false);
  const bool good = answer.is_object() && answer.size() == 2 && answer.contains("name") &&
                    answer["name"].is_string() && answer.contains("place") &&
                    answer["place"].is_number_integer();
  return judged(schema_kind, good,
                good ? "the answer follows it" : "the answer does not follow it");
}

check two_choices(const evidence& found) {
  const observation* one = find(found, purpose::choices);
  if (one == nullptr) return skip(choices_kind, "it was not asked for");
  if (!one->answered) {
    return skip(choices_kind, fmt::format("it was not answered: {}", one->refusal));
  }
  return judged(choices_kind, one->choices.size() == 2,
                fmt::format("{} of 2 answers came", one->choices.size()));
}

check stop_word(const evidence& found) {
  const observation* one = find(found, purpose::stop);
  if (one == nullptr) return skip(stop_kind, "it was not asked for");
  if (!one->answered || one->first() == nullptr) {
    return skip(stop_kind, fmt::format("it was not answered: {}", one->refusal));
  }
  const bool good = one->first()->content.find(one->asked->detail) == std::string::npos;
  return judged(stop_kind, good,
                fmt::format("the answer {} before \"{}\"", good ? "ends" : "does not end",
                            one->asked->detail));
}

}  // namespace

std::vector<check> behaviour_checks(const evidence& found) {
  return {context_limit(found), streaming(found),   forced_tool(found),
          json_schema(found),   two_choices(found), stop_word(found)};
}

}  // namespace sluice::probe
