#include "money/cost_bound.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <vector>

#include "json/object.hpp"
#include "json/text.hpp"
#include "tokens/image_tokens.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

using elements = std::vector<std::string_view>;

constexpr std::int64_t most_tokens = 1'000'000'000'000;  // so that no product overflows
constexpr std::size_t longest_shown = 64;                // bytes of a word of the body
constexpr std::size_t most_models = 8;                   // that one body may name

// The key in the form in which Go's encoding/json compares it: it ignores case, and two characters
// outside ASCII count as ASCII letters (https://pkg.go.dev/encoding/json#Unmarshal,
// unicode.SimpleFold).
std::string folded(std::string_view key) {
  std::string name;
  for (std::size_t at = 0; at < key.size(); ++at) {
    const std::string_view rest = key.substr(at);
    if (rest.starts_with("\u017F")) {
      name += 's';
      at += 1;
    } else if (rest.starts_with("\u212A")) {
      name += 'k';
      at += 2;
    } else {
      name += key[at] >= 'A' && key[at] <= 'Z' ? static_cast<char>(key[at] - 'A' + 'a') : key[at];
    }
  }
  return name;
}

bool is_set(std::string_view value) {
  return value != "null" && value != "false" && value != "[]" && value != "{}" && value != "\"\"";
}

// An object in all the ways in which relays may read it. If two members have the same name, some
// parsers take the first and some the last; some ignore case in names. This class contains every
// member under every name that it may be read as.
class readings {
 public:
  explicit readings(const json_object& object) {
    for (const json_member& member : object) {
      const std::string plain = member_name(member);
      std::string name = folded(plain);
      const bool exact = name == plain;
      all_.push_back({std::move(name), member.value, exact});
    }
  }

  struct reading {
    std::string name;        ///< folded
    std::string_view value;  ///< as JSON
    bool exact;              ///< every parser reads the member under this name
  };

  template <typename Visit>
  void each(std::string_view name, Visit&& visit) const {
    for (const reading& one : all_) {
      if (one.name == name) visit(one);
    }
  }
  template <typename Holds>
  bool any(std::string_view name, Holds&& holds) const {
    return std::any_of(all_.begin(), all_.end(),
                       [&](const reading& one) { return one.name == name && holds(one.value); });
  }
  bool any(std::string_view name) const { return any(name, is_set); }
  /// The value that every parser finds under the name; empty if parsers may differ or find none.
  std::string_view only(std::string_view name) const {
    const reading* found = nullptr;
    for (const reading& one : all_) {
      if (one.name != name) continue;
      if (found != nullptr || !one.exact) return {};
      found = &one;
    }
    return found == nullptr ? std::string_view() : found->value;
  }

 private:
  std::vector<reading> all_;
};

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// ---------------------------------------------------------------- counts

std::optional<std::int64_t> positive(std::string_view text) {
  std::int64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value <= 0) return std::nullopt;
  return std::min(value, most_tokens);
}

// The largest count that a parser may find under the name.
struct count {
  std::int64_t most = 0;
  bool may_be_unset = true;  // for a parser that accepts null, or compares names exactly
};

count count_of(const readings& body, std::string_view name) {
  count found;
  bool set = false;
  bool null = false;
  body.each(name, [&](const readings::reading& one) {
    found.most = std::max(found.most, positive(one.value).value_or(0));
    null = null || one.value == "null";
    set = set || one.exact;
  });
  found.may_be_unset = !set || null;
  return found;
}

constexpr std::string_view without_limit = "says nowhere how long its reply may be";
constexpr std::string_view no_count = " that is no plain whole number above zero";
constexpr std::string_view too_many_choices = "asks for more choices than can be paid";
constexpr std::string_view own_searches = ", whose own searches have no known price";

// The name of a count that exists but is not a plain whole number above zero. The relay may
// understand it although this program does not.
std::optional<std::string_view> unreadable_count(const readings& body) {
  for (const std::string_view name :
       {"max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"}) {
    if (body.any(name, [](std::string_view value) { return value != "null" && !positive(value); }))
      return name;
  }
  return std::nullopt;
}

// The larger of the body's limits, because each relay chooses for itself which of the two applies.
count own_limit(const readings& body, endpoint target) {
  if (target == endpoint::responses) return count_of(body, "max_output_tokens");
  const count older = count_of(body, "max_tokens");
  if (target == endpoint::completions) return older;
  const count newer = count_of(body, "max_completion_tokens");
  return {std::max(older.most, newer.most), older.may_be_unset && newer.may_be_unset};
}

// Number of choices in a complete reply, like request::choices.
std::int64_t most_choices(const readings& body, endpoint target) {
  if (target == endpoint::responses) return 1;
  const std::int64_t n = std::max<std::int64_t>(count_of(body, "n").most, 1);
  if (target != endpoint::completions) return n;
  std::int64_t prompts = 1;
  body.each("prompt", [&](const readings::reading& one) {
    const auto list = json_elements(one.value).value_or(elements());
    if (list.empty() || (list.front().front() != '"' && list.front().front() != '[')) return;
    prompts = std::max(prompts, static_cast<std::int64_t>(list.size()));
  });
  return n > most_tokens / prompts ? most_tokens : n * prompts;
}

// ---------------------------------------------------------------- prompts

// Searches a prompt for parts whose tokens are not bounded by their bytes.
class prompt_parts {
 public:
  explicit prompt_parts(std::string_view model) : model_(model), rule_(image_rule_of(model)) {}

  /// Why the prompt has no bound, as a sentence without its subject.
  const std::optional<std::string>& fault() const noexcept { return fault_; }
  /// For images: their tokens, and the bytes of the body that contain only image data.
  std::int64_t image_tokens() const noexcept { return image_tokens_; }
  std::int64_t image_bytes() const noexcept { return image_bytes_; }

  // A list of messages, or of the input items of a response.
  void add_messages(std::string_view list) {
    if (!list.starts_with('[')) return;
    for (const std::string_view element : json_elements(list).value_or(elements())) {
      const readings message{json_object(element)};
      message.each("type", [&](const readings::reading& one) {
        const std::string type = json_string(one.value).value_or(std::string());
        if (!is_one_of(type, {"", "message", "function_call", "function_call_output",
                              "custom_tool_call", "custom_tool_call_output", "reasoning"})) {
          refuse_part(type);
        }
      });
      if (message.any("audio")) refuse_part("audio");
      for (const std::string_view place : {"content", "output"}) {
        message.each(place, [&](const readings::reading& one) { add_content(one.value); });
      }
    }
  }

 private:
  void add_content(std::string_view content) {
    if (content.starts_with('{')) return add_part(content);
    if (!content.starts_with('[')) return;
    for (const std::string_view element : json_elements(content).value_or(elements())) {
      add_part(element);
    }
  }

  void add_part(std::string_view element) {
    const json_object object(element);
    if (!object.is_object()) return;  // a string or a token id
    const readings part(object);
    bool typed = false;
    std::string image;
    part.each("type", [&](const readings::reading& one) {
      std::string type = json_string(one.value).value_or(std::string());
      typed = typed || one.exact;
      if (is_one_of(type, {"image_url", "input_image"})) {
        image = std::move(type);
      } else if (!is_one_of(type, {"text", "input_text", "output_text", "refusal", "summary_text",
                                   "reasoning_text"})) {
        refuse_part(type);
      }
    });
    if (!typed) refuse_part("");
    if (!image.empty()) add_image(part, image);
  }

  void add_image(const readings& part, std::string_view type) {
    if (!rule_) {
      return refuse(
          model_.empty()
              ? fmt::format("has a part of type \"{}\", and a relay of the pool serves another "
                            "model under that name, whose tokens for an image are not known",
                            type)
              : fmt::format("has a part of type \"{}\", and how many tokens model {} counts for "
                            "an image is not known",
                            type, utf8_prefix(model_, longest_shown)));
    }
    const bool certain = !part.only("type").empty();
    const std::string_view image = part.only("image_url");
    const json_object object(image);
    const readings inner(object);
    const std::string_view url = object.is_object() ? inner.only("url") : image;
    const std::string_view detail =
        type == "image_url" ? inner.only("detail") : part.only("detail");
    image_tokens_ += rule_->most(certain && detail == "\"low\"");
    if (certain && url.starts_with('"')) image_bytes_ += static_cast<std::int64_t>(url.size());
  }

  void refuse_part(std::string_view type) {
    refuse(fmt::format("has a part of type \"{}\", whose tokens cannot be bounded",
                       utf8_prefix(type, longest_shown)));
  }
  void refuse(std::string sentence) {
    if (!fault_) fault_ = std::move(sentence);
  }

  const std::string_view model_;
  const std::optional<image_rule> rule_;
  std::optional<std::string> fault_;
  std::int64_t image_tokens_ = 0;
  std::int64_t image_bytes_ = 0;
};

bool holds_objects(std::string_view list) {
  const auto inputs = json_elements(list).value_or(elements());
  return list.starts_with('{') ||
         std::any_of(inputs.begin(), inputs.end(),
                     [](std::string_view one) { return one.starts_with('{'); });
}

// Whether these search_parameters of xAI turn searches on. Only these have a mode for off.
bool turns_searches_on(std::string_view value) {
  if (!is_set(value)) return false;
  return !value.starts_with('{') || json_string(readings(json_object(value)).only("mode")) != "off";
}

std::optional<std::string> why_unbounded(const readings& body, endpoint target) {
  for (const std::string_view place : {"previous_response_id", "conversation"}) {
    if (body.any(place)) return fmt::format("has {}, input that is stored elsewhere", place);
  }
  if (target == endpoint::responses && body.any("prompt"))
    return "has prompt, input that is stored elsewhere";
  constexpr std::string_view no_bound = "has {}, whose tokens cannot be bounded";
  // Searches of OpenAI and DashScope; the documents of Azure's "On Your Data".
  for (const std::string_view place :
       {"web_search_options", "enable_search", "data_sources", "audio"}) {
    if (body.any(place)) return fmt::format(no_bound, place);
  }
  if (body.any("search_parameters", turns_searches_on)) {
    return fmt::format(no_bound, "search_parameters");
  }
  // OpenRouter's fallback models, searches and presets; Anthropic's speed and location.
  for (const std::string_view place : {"models", "plugins", "preset", "speed", "inference_geo"}) {
    if (body.any(place)) return fmt::format("has {}, which may change what it costs", place);
  }
  std::optional<std::string> fault;
  body.each("modalities", [&](const readings::reading& one) {
    for (const std::string_view kind : json_elements(one.value).value_or(elements())) {
      if (!fault && json_string(kind) != "text")
        fault = fmt::format("asks for a reply of {}, whose tokens cannot be bounded",
                            utf8_prefix(kind, longest_shown));
    }
  });
  body.each("tools", [&](const readings::reading& tools) {
    for (const std::string_view element : json_elements(tools.value).value_or(elements())) {
      const readings tool{json_object(element)};
      tool.each("type", [&](const readings::reading& one) {
        const std::string type = json_string(one.value).value_or(std::string());
        if (!fault && !is_one_of(type, {"function", "custom", ""}))
          fault = fmt::format("has the tool \"{}\", whose tokens cannot be bounded",
                              utf8_prefix(type, longest_shown));
      });
    }
  });
  return fault;
}

// The service tiers that a relay may read in the body. If a parser may find none, or "auto", the
// tier of the account counts.
std::vector<std::string> tiers_in(const readings& body, const bound_defaults& defaults) {
  const std::string own = defaults.tier.empty() ? "auto" : defaults.tier;
  std::vector<std::string> tiers;
  bool always_set = false;
  body.each("service_tier", [&](const readings::reading& one) {
    if (one.value == "null") return tiers.push_back(own);
    always_set = always_set || one.exact;
    // A value that is not a string keeps its JSON text, which is not the name of any tier.
    std::string tier = json_string(one.value).value_or(std::string(one.value));
    if (tier == "auto") tier = own;
    tiers.push_back(std::move(tier));
  });
  if (!always_set) tiers.push_back(own);
  return tiers;
}

// Members that no relay adds to a prompt.
constexpr std::string_view beside_the_prompt[] = {"model",
                                                  "max_tokens",
                                                  "max_completion_tokens",
                                                  "n",
                                                  "best_of",
                                                  "temperature",
                                                  "top_p",
                                                  "top_k",
                                                  "stop",
                                                  "presence_penalty",
                                                  "frequency_penalty",
                                                  "logprobs",
                                                  "top_logprobs",
                                                  "logit_bias",
                                                  "seed",
                                                  "user",
                                                  "stream",
                                                  "stream_options",
                                                  "echo",
                                                  "store",
                                                  "metadata",
                                                  "service_tier",
                                                  "dimensions",
                                                  "encoding_format"};

bool stands_beside_the_prompt(const json_member& member) {
  return !member.escaped && std::find(std::begin(beside_the_prompt), std::end(beside_the_prompt),
                                      member.key) != std::end(beside_the_prompt);
}

std::string_view prompt_key(endpoint target) {
  switch (target) {
    case endpoint::chat_completions:
      return "messages";
    case endpoint::completions:
      return "prompt";
    case endpoint::embeddings:
    case endpoint::responses:
      break;
  }
  return "input";
}

// The request's model first, without duplicates. The list stops at one model more than the limit.
std::vector<std::string> models_in(const readings& body, const request& asked) {
  std::vector<std::string> models{asked.model};
  body.each("model", [&](const readings::reading& one) {
    auto model = json_string(one.value);
    if (!model || model->empty() || models.size() > most_models) return;
    if (std::find(models.begin(), models.end(), *model) == models.end())
      models.push_back(*std::move(model));
  });
  return models;
}

// Whether the model searches the web without a member of the body, for a fee per search:
// gpt-4o-search-preview, gpt-5-search-api, o3-deep-research, deep-research-preview (Gemini), and
// Perplexity's sonar, sonar-pro and so on.
bool searches_by_itself(std::string_view model) {
  const auto has = [&](std::string_view part) {
    return model.find(part) != std::string_view::npos;
  };
  const std::string_view name = model.substr(model.rfind('/') + 1);
  return has("-search-preview") || has("-search-api") || has("deep-research") || name == "sonar" ||
         name.starts_with("sonar-");
}

}  // namespace

std::int64_t bound_prompt(const request& asked, std::int64_t by_bytes) {
  constexpr std::size_t framing_margin = 8;
  const token_count counted = prompt_tokens(asked.target, asked.model, asked.body);
  if (!counted.exact) return by_bytes;
  const json_object body(asked.body);
  if (models_in(readings(body), asked).size() > 1) return by_bytes;
  const json_member* prompt = body.find(prompt_key(asked.target));
  std::size_t tokens = counted.tokens + framing_margin;
  for (const json_member& member : body) {
    if (&member == prompt) {
      const auto list = json_elements(member.value);
      tokens += list ? list->size() : 1;
    } else if (!stands_beside_the_prompt(member)) {
      tokens += member.end - member.begin;
    }
  }
  return static_cast<std::int64_t>(tokens);
}

usd token_bound::cost(const model_prices::bound& rates) const noexcept {
  return rates.prompt * prompt + rates.completion * completion;
}

std::optional<std::int64_t> named_output_limit(const request& asked) {
  const count limit = own_limit(readings(json_object(asked.body)), asked.target);
  return limit.most > 0 ? std::optional(limit.most) : std::nullopt;
}

std::vector<std::string> named_models(const request& asked) {
  return models_in(readings(json_object(asked.body)), asked);
}

boost::system::result<token_bound, std::string> bound_tokens(
    const request& asked, std::string_view model, std::optional<std::int64_t> model_limit,
    std::optional<std::int64_t> assumed) {
  const readings body{json_object(asked.body)};
  const std::vector<std::string> models = models_in(body, asked);
  if (models.size() > most_models) return fmt::format("names more than {} models", most_models);
  for (const std::string& named : models) {
    if (searches_by_itself(named))
      return fmt::format("names model {}{}", utf8_prefix(named, longest_shown), own_searches);
  }
  prompt_parts parts(model);
  for (const std::string_view place : {"messages", "input"}) {
    if (asked.target == endpoint::embeddings) break;
    body.each(place, [&](const readings::reading& one) { parts.add_messages(one.value); });
  }
  if (parts.fault()) return *parts.fault();
  if (auto why = why_unbounded(body, asked.target)) return *std::move(why);
  token_bound bound;
  bound.prompt =
      static_cast<std::int64_t>(asked.body.size()) - parts.image_bytes() + parts.image_tokens();
  if (asked.target == endpoint::embeddings) {
    if (body.any("input", holds_objects))
      return std::string("has an input that is no text, whose tokens cannot be bounded");
    return bound;
  }
  if (const auto name = unreadable_count(body)) return fmt::format("has {}{}", *name, no_count);
  const count own = own_limit(body, asked.target);
  std::int64_t limit = own.most;
  if (own.may_be_unset) {
    const auto other = model_limit ? model_limit : assumed;
    if (!other) return std::string(without_limit);
    limit = std::max(limit, *other);
  }
  const std::int64_t choices = most_choices(body, asked.target);
  const std::int64_t candidates = std::max<std::int64_t>(count_of(body, "best_of").most, 1);
  if (choices >= request::most_choices || candidates > most_tokens / limit / choices)
    return std::string(too_many_choices);
  bound.replies = choices * candidates;
  bound.completion = limit * bound.replies;
  // Predicted text that is not used is billed as completion tokens in addition to the limit.
  if (body.any("prediction")) {
    if (bound.prompt > most_tokens / choices / candidates) return std::string(too_many_choices);
    bound.completion += bound.prompt * choices * candidates;
  }
  return bound;
}

serving likely_serving(const request& asked, const bound_defaults& defaults, double unix_time) {
  const readings body{json_object(asked.body)};
  const auto text = [&](std::string_view name) {
    return json_string(body.only(name)).value_or(std::string());
  };
  std::string tier = text("service_tier");
  if (tier.empty() || tier == "auto") tier = defaults.tier;
  return {std::move(tier), unix_time, unix_time, text("speed"), text("inference_geo")};
}

boost::system::result<model_prices::bound, no_bound> bound_rates(
    const request& asked, const std::string& model, std::int64_t most_prompt_tokens,
    const relay_prices& prices, std::optional<std::string_view> relay,
    const bound_defaults& defaults) {
  model_prices::bound most;
  for (const std::string& tier : tiers_in(readings(json_object(asked.body)), defaults)) {
    const auto rates = prices.dearest(relay, model, most_prompt_tokens, asked.target, tier);
    if (!rates) {
      const std::string_view odd = prices.not_understood(model);
      if (odd.empty() && tier == "auto" &&
          prices.dearest(relay, model, most_prompt_tokens, asked.target, "standard")) {
        return no_bound{fmt::format(
            "model {} lacks a rate for the priority tier, which an account may use by default, and "
            "--budget needs it; name the account's tier with --tier-default, or give the rate with "
            "--prices",
            model)};
      }
      return no_bound{
          odd.empty() ? fmt::format("model {} has no price for service_tier {}, and --budget needs "
                                    "one; give it with --prices",
                                    model, utf8_prefix(tier, longest_shown))
                      : fmt::format("the price list says of model {} what this program does not "
                                    "understand ({}), and --budget needs to; correct it with "
                                    "--prices",
                                    model, odd)};
    }
    most.prompt = std::max(most.prompt, rates->prompt);
    most.completion = std::max(most.completion, rates->completion);
  }
  return most;
}

std::string advice_on(std::string_view why_no_bound) {
  if (why_no_bound == without_limit)
    return "give it max_tokens as a whole number, or a bound for all with --assume-max-tokens";
  if (why_no_bound.ends_with(no_count)) return "write it as a whole number";
  if (why_no_bound == too_many_choices) return "ask for fewer choices";
  if (why_no_bound.ends_with(own_searches))
    return "name another model, or run such requests without it";
  return "leave that out, or run such requests without it";
}

boost::system::result<cost_bound, no_bound> bound_cost(const request& asked,
                                                       const relay_prices& prices,
                                                       std::optional<std::string_view> relay,
                                                       const bound_defaults& defaults) {
  std::optional<cost_bound> most;
  for (const std::string& model : named_models(asked)) {
    if (!prices.has(relay, model, asked.target)) {
      return no_bound{fmt::format(
          "model {} has no price for {}, and --budget needs one; give it with --prices{}", model,
          to_string(asked.target), prices.did_you_mean(model))};
    }
    const auto tokens = bound_tokens(asked, prices.is_renamed(model) ? "" : model,
                                     prices.limits(model).output, defaults.reply_tokens);
    if (!tokens) {
      return no_bound{fmt::format("the request {}; under --budget, {}", tokens.error(),
                                  advice_on(tokens.error()))};
    }
    const auto rates = bound_rates(asked, model, tokens->prompt, prices, relay, defaults);
    if (!rates) return rates.error();
    const cost_bound bound{*tokens, *rates};
    if (!most || most->cost() < bound.cost()) most = bound;
  }
  return *most;
}

std::optional<no_bound> set_cost_bound(request& asked, const relay_prices& prices,
                                       std::optional<std::string_view> relay,
                                       const bound_defaults& defaults) {
  auto most = bound_cost(asked, prices, relay, defaults);
  if (!most) return most.error();
  if (!prices.is_renamed(asked.model)) {
    most->tokens.prompt = bound_prompt(asked, most->tokens.prompt);
  }
  asked.most = most->cost();
  asked.most_for_prompt = most->rates.prompt * most->tokens.prompt;
  asked.most_reply_tokens = most->tokens.completion;
  asked.billed_replies = most->tokens.replies;
  asked.model_in_doubt = named_models(asked).size() > 1;
  return std::nullopt;
}

}  // namespace sluice
