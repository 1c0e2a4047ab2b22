#include "openai/usage_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "openai/chunk.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

using count = std::optional<std::int64_t>;

/// Every count that some relay gives; nothing where it was missing, null or no count.
struct reported_counts {
  count prompt, completion, total;   // chat, completions, embeddings
  count input, output;               // responses, and Claude's own
  count cached, reasoning;           // of the detail objects
  count cache_hit;                   // DeepSeek
  count cache_read, cache_creation;  // Claude: these are no part of `input`
  bool has_input_details = false;
  bool garbled = false;  ///< one that money hangs on is there, and is no count
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::optional<double> read_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(number)) return std::nullopt;
  return number;
}

// Some relays write their numbers as strings.
std::string_view number_text(ondemand::value& value) {
  const std::string_view raw = raw_json(value);
  return raw.starts_with('"') ? inside_quotes(raw) : raw;
}

count read_count(ondemand::value& value) {
  constexpr double largest = 9007199254740992.0;  // 2^53: beyond it a double is no count
  const std::string_view text = number_text(value);
  constexpr std::size_t short_enough = 15;
  if (!text.empty() && text.size() <= short_enough &&
      std::all_of(text.begin(), text.end(), is_digit)) {
    std::int64_t plain = 0;
    for (const char c : text) plain = plain * 10 + (c - '0');
    return plain;
  }
  const auto number = read_number(text);
  if (!number || *number < 0 || *number > largest) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(*number);
  if (static_cast<double>(whole) != *number) return std::nullopt;
  return whole;
}

void read_details(ondemand::value& value, std::string_view name, count& into) {
  if (value.type() != ondemand::json_type::object) return;
  for (ondemand::field field : value.get_object()) {
    const std::string_view key = field.unescaped_key();
    if (key != name) continue;
    if (const count found = read_count(field.value())) into = std::max(*found, into.value_or(0));
  }
}

void read_field(std::string_view key, ondemand::value& value, reported_counts& counts) {
  const auto billed = [&](count& into) {
    into = read_count(value);
    counts.garbled = counts.garbled || (!into && !is_null(value));
  };
  if (key == "prompt_tokens")
    billed(counts.prompt);
  else if (key == "completion_tokens")
    billed(counts.completion);
  else if (key == "total_tokens")
    counts.total = read_count(value);
  else if (key == "input_tokens")
    billed(counts.input);
  else if (key == "output_tokens")
    billed(counts.output);
  else if (key == "prompt_cache_hit_tokens")
    counts.cache_hit = read_count(value);
  else if (key == "cache_read_input_tokens")
    counts.cache_read = read_count(value);
  else if (key == "cache_creation_input_tokens")
    counts.cache_creation = read_count(value);
  else if (key == "prompt_tokens_details")
    read_details(value, "cached_tokens", counts.cached);
  else if (key == "completion_tokens_details" || key == "output_tokens_details")
    read_details(value, "reasoning_tokens", counts.reasoning);
  else if (key == "input_tokens_details") {
    counts.has_input_details = true;
    read_details(value, "cached_tokens", counts.cached);
  }
}

/// The first of two counts that says something: relays that speak both dialects leave zeros in one.
std::int64_t either(count first, count second) {
  const std::int64_t value = first.value_or(0);
  return value != 0 ? value : second.value_or(0);
}

bool is_claude_shaped(const reported_counts& counts) {
  return counts.prompt.value_or(0) == 0 && counts.input && !counts.has_input_details &&
         (counts.cache_read || counts.cache_creation);
}

std::optional<token_usage> normalised(reported_counts counts, endpoint target) {
  if (!counts.prompt && !counts.completion && !counts.input && !counts.output && !counts.total) {
    return std::nullopt;
  }
  if (is_claude_shaped(counts)) {
    *counts.input += counts.cache_read.value_or(0) + counts.cache_creation.value_or(0);
    counts.cached = counts.cache_read;
  }
  token_usage usage;
  usage.prompt_tokens = either(counts.prompt, counts.input);
  usage.completion_tokens = either(counts.completion, counts.output);
  const bool prompt_only = target == endpoint::embeddings;
  if (!prompt_only && usage.prompt_tokens == 0 && usage.completion_tokens == 0) return std::nullopt;
  // One of the two that is missing is what the total has more.
  const auto rest_of_total = [&](std::int64_t told) {
    return std::max<std::int64_t>(counts.total.value_or(0) - told, 0);
  };
  if (usage.prompt_tokens == 0) {
    usage.prompt_tokens = rest_of_total(usage.completion_tokens);
  } else if (!prompt_only && !counts.completion && !counts.output) {
    usage.completion_tokens = rest_of_total(usage.prompt_tokens);
  }
  usage.cached_tokens = std::min(either(counts.cached, counts.cache_hit), usage.prompt_tokens);
  usage.reasoning_tokens = std::min(counts.reasoning.value_or(0), usage.completion_tokens);
  return usage;
}

}  // namespace

usage_report read_usage(ondemand::object usage, endpoint target) {
  usage_report report;
  reported_counts counts;
  for (ondemand::field field : usage) {
    const std::string_view key = field.unescaped_key();
    if (key == "cost") {
      report.cost = usd::nearest(number_text(field.value()));
    } else {
      read_field(key, field.value(), counts);
    }
  }
  if (!counts.garbled) report.tokens = normalised(counts, target);
  return report;
}

}  // namespace sluice::openai
