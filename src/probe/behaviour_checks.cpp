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
    "context_limit", weight::strong, subject::identity,
    "the refusal of too many tokens names limits that are not the model's",
    "another model may have the same limits, and a relay may lower the number without an error"};
constexpr check_kind stream_kind{"streaming", weight::medium, subject::other,
                                 "a stream is not real: all of it arrives at once at its end",
                                 "a proxy that buffers has the same effect"};
constexpr check_kind tool_kind{"forced_tool", weight::capability, subject::other,
                               "the model does not call a tool that it must call",
                               "models of many vendors call tools"};
constexpr check_kind schema_kind{"json_schema", weight::capability, subject::other,
                                 "an answer does not follow the JSON schema of its request",
                                 "a relay may drop the schema before it forwards the request"};
constexpr check_kind choices_kind{"n", weight::capability, subject::other,
                                  "the request is for two answers, but the reply has one",
                                  "models of other vendors behind a relay often give one answer"};
constexpr check_kind stop_kind{"stop", weight::capability, subject::other,
                               "an answer continues after the stop word",
                               "models of all vendors support stop words"};

const observation* find(const evidence& found, purpose why) {
  const auto one = std::find_if(found.seen.begin(), found.seen.end(),
                                [&](const observation& each) { return each.request->why == why; });
  return one == found.seen.end() ? nullptr : &*one;
}

// The number after `words`: 8192 in "maximum context length is 8,192 tokens".
std::optional<std::int64_t> number_after(std::string_view text, std::string_view words) {
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
    return skip(limit_kind, "if the relay did not refuse it, it could cost more than the budget");
  }
  if (one->answered) {
    return skip(limit_kind,
                "the relay answered although the request asked for more tokens than allowed");
  }
  const auto context = number_after(one->refusal, "maximum context length is");
  const auto output = number_after(one->refusal, "supports at most");
  if (!context && !output) {
    return skip(limit_kind, fmt::format("the refusal names no limit: {}", one->refusal));
  }
  const auto fits = [](std::optional<std::int64_t> reported, std::optional<std::int64_t> real) {
    return !reported || !real || *reported == *real;
  };
  // If a model has no separate limit for answers, the error names the context limit for them too.
  const bool good =
      fits(context, found.sold.context_limit) &&
      (fits(output, found.sold.output_limit) || fits(output, found.sold.context_limit));
  check made =
      judged(limit_kind, good,
             fmt::format(
                 "the relay names a limit of {} tokens; {} has a context of {} and an output limit "
                 "of {}",
                 context ? *context : *output, found.sold.model,
                 found.sold.context_limit ? std::to_string(*found.sold.context_limit) : "unknown",
                 found.sold.output_limit ? std::to_string(*found.sold.output_limit) : "unknown"));
  made.weak = true;
  return made;
}

// No model generates tokens faster than this on any provider.
constexpr double fastest_ms_per_token = 0.4;
constexpr std::int64_t long_stream = 24;
constexpr double shortest_latency_ms = 100;  // faster replies do not show how they were streamed

check streaming(const evidence& found) {
  std::size_t all = 0;
  std::size_t at_once = 0;
  double spread = 0;
  double whole = 0;
  for (const observation& one : found.seen) {
    if (one.request->why != purpose::stream || !one.answered || !one.ttft_ms) continue;
    const std::int64_t tokens = one.usage ? one.usage->completion_tokens : one.request->most_tokens;
    if (tokens < long_stream || one.latency_ms < shortest_latency_ms) continue;
    const double took = one.latency_ms - *one.ttft_ms;
    ++all;
    if (took < fastest_ms_per_token * static_cast<double>(tokens)) ++at_once;
    spread += took;
    whole += one.latency_ms;
  }
  if (all == 0) return skip(stream_kind, "no stream was long enough");
  const auto each = static_cast<double>(all);
  return judged(stream_kind, at_once < all || all < 2,
                fmt::format("{} of {} streams arrived at once; on average the text took {:.0f} ms "
                            "of {:.0f} ms",
                            at_once, all, spread / each, whole / each));
}

check forced_tool(const evidence& found) {
  const observation* one = find(found, purpose::forced_tool);
  if (one == nullptr) return skip(tool_kind, "the budget is too small for it");
  if (!one->answered || one->first() == nullptr) {
    return skip(tool_kind, fmt::format("the request was not answered: {}", one->refusal));
  }
  const observed_choice& answer = *one->first();
  if (answer.tool.empty()) return judged(tool_kind, false, "the answer is text");
  const bool json = nlohmann::json::accept(answer.tool_arguments);
  return judged(tool_kind, answer.tool == one->request->detail && json,
                fmt::format("the answer calls {} with arguments that are {}JSON", answer.tool,
                            json ? "" : "not "));
}

check json_schema(const evidence& found) {
  const observation* one = find(found, purpose::json_schema);
  if (one == nullptr)
    return skip(schema_kind, "the model has no JSON schemas, or the budget is too small for it");
  if (!one->answered || one->first() == nullptr) {
    return skip(schema_kind, fmt::format("the request was not answered: {}", one->refusal));
  }
  const auto answer = nlohmann::json::parse(one->first()->content, nullptr, false);
  const bool good = answer.is_object() && answer.size() == 2 && answer.contains("name") &&
                    answer["name"].is_string() && answer.contains("place") &&
                    answer["place"].is_number_integer();
  return judged(schema_kind, good,
                good ? "the answer follows the schema" : "the answer does not follow the schema");
}

check two_choices(const evidence& found) {
  const observation* one = find(found, purpose::choices);
  if (one == nullptr) return skip(choices_kind, "the probe sent no such request");
  if (!one->answered) {
    return skip(choices_kind, fmt::format("the request was not answered: {}", one->refusal));
  }
  return judged(choices_kind, one->choices.size() == 2,
                fmt::format("the reply has {} of 2 answers", one->choices.size()));
}

check stop_word(const evidence& found) {
  const observation* one = find(found, purpose::stop);
  if (one == nullptr) return skip(stop_kind, "the probe sent no such request");
  if (!one->answered || one->first() == nullptr) {
    return skip(stop_kind, fmt::format("the request was not answered: {}", one->refusal));
  }
  const bool good = one->first()->content.find(one->request->detail) == std::string::npos;
  return judged(stop_kind, good,
                fmt::format("the answer {} before \"{}\"", good ? "ends" : "does not end",
                            one->request->detail));
}

}  // namespace

std::vector<check> behaviour_checks(const evidence& found) {
  return {context_limit(found), streaming(found),   forced_tool(found),
          json_schema(found),   two_choices(found), stop_word(found)};
}

}  // namespace sluice::probe
