#include "openai/usage_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/ascii.hpp"
#include "json/members.hpp"
#include "json/same_key.hpp"
#include "openai/chunk.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

using count = std::optional<std::int64_t>;

/// All counts that relays send; nullopt: missing, null, or not a count.
struct reported_counts {
  count prompt, completion, total;   // chat, completions, embeddings
  count input, output;               // responses, and Claude's own
  count cached, reasoning;           // in the detail objects
  count cache_hit;                   // DeepSeek
  count cached_at_top;               // Moonshot
  count cache_read, cache_creation;  // Claude: not part of `input`
  count cache_creation_5m;           // the part of cache_creation that is cached for 5 minutes
  count cache_creation_1h;           // the part that is cached for an hour
  count audio_prompt, image_prompt, audio_completion, image_completion;
  bool has_input_details = false;
  bool garbled = false;  ///< a count that decides the price is invalid, or any count is too large

  count read(ondemand::value& value);
  /// Keeps the larger of the value so far and the new count.
  void take_larger(count& into, ondemand::value value) {
    if (const count found = read(value)) into = std::max(*found, into.value_or(0));
  }
};

/// A larger cost is not believed.
const usd dearest_reply = *usd::parse("1000000000");

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

count reported_counts::read(ondemand::value& value) {
  const std::string_view text = number_text(value);
  constexpr std::size_t short_enough = 12;  // so that the number is within the maximum
  if (!text.empty() && text.size() <= short_enough &&
      std::all_of(text.begin(), text.end(), is_digit)) {
    std::int64_t plain = 0;
    for (const char c : text) plain = plain * 10 + (c - '0');
    return plain;
  }
  const auto number = read_number(text);
  if (number && *number > static_cast<double>(most_tokens_of_a_reply)) garbled = true;
  if (!number || *number < 0 || garbled) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(*number);
  if (static_cast<double>(whole) != *number) return std::nullopt;
  return whole;
}

/// Tokens written to the cache, in the names of OpenAI, LiteLLM and new-api.
bool names_cache_write(std::string_view key) {
  return same_key(key, "cache_write_tokens") || same_key(key, "cache_creation_tokens") ||
         same_key(key, "cached_creation_tokens") || same_key(key, "cache_creation_input_tokens");
}

/// Claude's split of the tokens written to the cache, in Claude's names and in those of new-api.
void read_cache_part(std::string_view key, ondemand::value value, reported_counts& counts) {
  if (same_key(key, "ephemeral_5m_input_tokens") ||
      same_key(key, "claude_cache_creation_5_m_tokens")) {
    counts.take_larger(counts.cache_creation_5m, value);
  } else if (same_key(key, "ephemeral_1h_input_tokens") ||
             same_key(key, "claude_cache_creation_1_h_tokens")) {
    counts.take_larger(counts.cache_creation_1h, value);
  }
}

void read_cache_parts(ondemand::value value, reported_counts& counts) {
  if (value.type() != ondemand::json_type::object) return;
  for (ondemand::field field : value.get_object()) {
    const std::string_view key = field.unescaped_key();
    read_cache_part(key, field.value(), counts);
  }
}

void read_details(ondemand::value& value, reported_counts& counts, count& audio, count& image) {
  if (value.type() != ondemand::json_type::object) return;
  for (ondemand::field field : value.get_object()) {
    const std::string_view key = field.unescaped_key();
    if (same_key(key, "cached_tokens")) {
      counts.take_larger(counts.cached, field.value());
    } else if (same_key(key, "reasoning_tokens")) {
      counts.take_larger(counts.reasoning, field.value());
    } else if (names_cache_write(key)) {
      counts.take_larger(counts.cache_creation, field.value());
    } else if (same_key(key, "cache_creation_token_details")) {  // LiteLLM
      read_cache_parts(field.value(), counts);
    } else if (same_key(key, "audio_tokens")) {
      counts.take_larger(audio, field.value());
    } else if (same_key(key, "image_tokens")) {
      counts.take_larger(image, field.value());
    }
  }
}

void read_field(std::string_view key, ondemand::value& value, reported_counts& counts) {
  const auto billed = [&](count& into) {
    into = counts.read(value);
    counts.garbled = counts.garbled || (!into && !is_null(value));
  };
  if (same_key(key, "prompt_tokens"))
    billed(counts.prompt);
  else if (same_key(key, "completion_tokens"))
    billed(counts.completion);
  else if (same_key(key, "total_tokens"))
    counts.total = counts.read(value);
  else if (same_key(key, "input_tokens"))
    billed(counts.input);
  else if (same_key(key, "output_tokens"))
    billed(counts.output);
  else if (same_key(key, "prompt_cache_hit_tokens"))
    counts.cache_hit = counts.read(value);
  else if (same_key(key, "cached_tokens"))
    counts.cached_at_top = counts.read(value);
  else if (same_key(key, "cache_read_input_tokens"))
    counts.cache_read = counts.read(value);
  else if (same_key(key, "reasoning_tokens"))
    counts.take_larger(counts.reasoning, value);  // SGLang, Perplexity
  else if (names_cache_write(key))
    counts.take_larger(counts.cache_creation, value);
  else if (same_key(key, "cache_creation"))
    read_cache_parts(value, counts);
  else if (same_key(key, "completion_tokens_details") || same_key(key, "output_tokens_details"))
    read_details(value, counts, counts.audio_completion, counts.image_completion);
  else if (same_key(key, "prompt_tokens_details") || same_key(key, "input_tokens_details")) {
    counts.has_input_details = counts.has_input_details || same_key(key, "input_tokens_details");
    read_details(value, counts, counts.audio_prompt, counts.image_prompt);
  } else {
    read_cache_part(key, value, counts);
  }
}

/// The first of two counts that is not 0. Relays that use both dialects leave zeros in one of them.
std::int64_t either(count first, count second) {
  const std::int64_t value = first.value_or(0);
  return value != 0 ? value : second.value_or(0);
}

/// Tokens written to the cache. A relay may report their sum, their parts, or both.
std::int64_t written_to_cache(const reported_counts& counts) {
  return std::max(counts.cache_creation.value_or(0),
                  counts.cache_creation_5m.value_or(0) + counts.cache_creation_1h.value_or(0));
}

bool is_claude_shaped(const reported_counts& counts) {
  return counts.prompt.value_or(0) == 0 && counts.input && !counts.has_input_details &&
         (counts.cache_read || counts.cache_creation || written_to_cache(counts) > 0);
}

/// Prompt tokens that were read from the cache, and that were written to it.
struct cache_counts {
  std::int64_t read = 0;
  std::int64_t written = 0;
};

/// Whether the cache tokens are not included in the prompt tokens: they are more than the prompt,
/// or the total contains both. Relays send this for Claude with OpenAI's fields:
/// https://github.com/decolua/9router/pull/2658
bool stands_beside(const cache_counts& cache, const token_usage& usage,
                   const reported_counts& counts) {
  const std::int64_t all = cache.read + cache.written;
  if (all > usage.prompt_tokens) return true;
  const std::int64_t rest = counts.total.value_or(0) - usage.total_tokens();
  return all > 0 && rest == all && rest != counts.reasoning.value_or(0);
}

std::optional<token_usage> normalised(const reported_counts& counts, endpoint target) {
  if (!counts.prompt && !counts.completion && !counts.input && !counts.output && !counts.total) {
    return std::nullopt;
  }
  token_usage usage;
  usage.prompt_tokens = either(counts.prompt, counts.input);
  usage.completion_tokens = either(counts.completion, counts.output);
  usage.cached_tokens = either(counts.cached, either(counts.cache_hit, counts.cached_at_top));
  const cache_counts cache{std::max(usage.cached_tokens, counts.cache_read.value_or(0)),
                           written_to_cache(counts)};
  const bool prompt_only = target == endpoint::embeddings;
  const bool claude = is_claude_shaped(counts);
  const std::int64_t beside_claude = claude ? cache.read + cache.written : 0;
  if (!prompt_only && usage.total_tokens() + beside_claude == 0) return std::nullopt;
  const auto rest_of_total = [&] {
    return std::max<std::int64_t>(counts.total.value_or(0) - usage.total_tokens(), 0);
  };
  if (!claude && usage.prompt_tokens == 0) usage.prompt_tokens = rest_of_total();
  if (claude || stands_beside(cache, usage, counts)) {
    usage.prompt_tokens += cache.read + cache.written;
    usage.cached_tokens = cache.read;
  }
  // xAI and Gemini count reasoning only in the total:
  // https://docs.x.ai/docs/key-information/consumption-and-rate-limits
  // https://github.com/mozilla-ai/any-llm/issues/1290
  if (!prompt_only) usage.completion_tokens += rest_of_total();
  // A part cannot be larger than the whole, so larger values are reduced.
  std::int64_t prompt_left = usage.prompt_tokens;
  const auto part_of = [](std::int64_t& left, count reported) {
    const std::int64_t part = std::min(reported.value_or(0), left);
    left -= part;
    return part;
  };
  usage.cached_tokens = part_of(prompt_left, usage.cached_tokens);
  std::int64_t written = part_of(prompt_left, cache.written);
  usage.cache_write_1h_tokens = part_of(written, counts.cache_creation_1h);
  usage.cache_write_tokens = written;
  usage.audio_prompt_tokens = part_of(prompt_left, counts.audio_prompt);
  usage.image_prompt_tokens = part_of(prompt_left, counts.image_prompt);
  usage.reasoning_tokens = std::min(counts.reasoning.value_or(0), usage.completion_tokens);
  std::int64_t completion_left = usage.completion_tokens;
  usage.audio_completion_tokens = part_of(completion_left, counts.audio_completion);
  usage.image_completion_tokens = part_of(completion_left, counts.image_completion);
  return usage;
}

}  // namespace

usage_report read_usage(ondemand::object usage, endpoint target) {
  usage_report report;
  reported_counts counts;
  for (ondemand::field field : usage) {
    const std::string_view key = field.unescaped_key();
    if (same_key(key, "cost")) {
      const auto cost = usd::nearest(number_text(field.value()));
      if (cost && *cost <= dearest_reply) report.cost = cost;
    } else if (same_key(key, "service_tier") || same_key(key, "speed") ||
               same_key(key, "inference_geo")) {
      ondemand::value value = field.value();
      std::string& into = same_key(key, "service_tier") ? report.service_tier
                          : same_key(key, "speed")      ? report.speed
                                                        : report.inference_geo;
      into = json_string(raw_json(value)).value_or(std::string());
    } else {
      ondemand::value value = field.value();
      read_field(key, value, counts);
    }
  }
  if (!counts.garbled) report.tokens = normalised(counts, target);
  return report;
}

}  // namespace sluice::openai
