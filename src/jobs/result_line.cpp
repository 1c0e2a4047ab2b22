#include "jobs/result_line.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "base/hash.hpp"
#include "json/object.hpp"
#include "json/outline.hpp"
#include "json/text.hpp"
#include "openai/error_body.hpp"
#include "openai/whole_reply.hpp"

namespace sluice {
namespace {

constexpr std::size_t longest_shown_text = 4096;  // of an error body that is not JSON

bool is_bad_line(errc code) {
  return code == errc::invalid_json_line || code == errc::invalid_request_line ||
         code == errc::duplicate_custom_id;
}

template <typename Number>
void append_number(std::string& out, std::string_view before, Number number) {
  const fmt::format_int digits(number);
  out.append(before).append(digits.data(), digits.size());
}

usage_source source_of(const reply& whole) {
  if (whole.usage) return usage_source::reported;
  return whole.estimated_usage ? usage_source::estimated : usage_source::none;
}

// Kinds of tokens that few models use; written only if they were reported.
constexpr std::array<std::pair<std::string_view, std::int64_t token_usage::*>, 4> apart_tokens = {{
    {"audio_prompt_tokens", &token_usage::audio_prompt_tokens},
    {"image_prompt_tokens", &token_usage::image_prompt_tokens},
    {"audio_completion_tokens", &token_usage::audio_completion_tokens},
    {"image_completion_tokens", &token_usage::image_completion_tokens},
}};

void append_usage(std::string& out, const std::optional<token_usage>& usage) {
  if (!usage) {
    out += "null";
    return;
  }
  append_number(out, R"({"prompt_tokens":)", usage->prompt_tokens);
  append_number(out, R"(,"cached_tokens":)", usage->cached_tokens);
  append_number(out, R"(,"cache_write_tokens":)", usage->cache_write_tokens);
  append_number(out, R"(,"cache_write_1h_tokens":)", usage->cache_write_1h_tokens);
  append_number(out, R"(,"completion_tokens":)", usage->completion_tokens);
  append_number(out, R"(,"reasoning_tokens":)", usage->reasoning_tokens);
  for (const auto& [name, count] : apart_tokens) {
    if ((*usage).*count > 0) append_number(out, fmt::format(R"(,"{}":)", name), (*usage).*count);
  }
  out += '}';
}

// Writes a value that is not negative with a fixed number of decimals. It uses integers, because
// printing a double, or using a width that is known only at run time, takes several times as long.
void append_fixed(std::string& out, double value, int decimals) {
  std::int64_t scale = 1;
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const std::int64_t scaled = std::llround(std::max(value, 0.0) * static_cast<double>(scale));
  append_number(out, "", scaled / scale);
  out += '.';
  // The leading one keeps the zeros; it is skipped below.
  const fmt::format_int fraction(scaled % scale + scale);
  out.append(fraction.data() + 1, fraction.size() - 1);
}

void append_string_or_null(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_quoted(out, text);
  }
}

void append_response(std::string& out, int status, std::string_view request_id,
                     std::string_view body_json) {
  append_number(out, R"({"status_code":)", status);
  out += ",\"request_id\":";
  append_json_quoted(out, request_id);
  out += ",\"body\":";
  out += body_json;
  out += '}';
}

void append_error(std::string& out, const failure& why) {
  fmt::format_to(std::back_inserter(out), R"("error":{{"code":"{}","message":)",
                 to_string(why.code));
  append_json_quoted(out, why.message);
  out += '}';
}

void append_failure(std::string& out, const failure& why) {
  if (why.code == errc::reply_rejected) {
    append_response(out, why.http_status, why.request_id, why.body);
    out += ',';
    return append_error(out, why);
  }
  if (why.code == errc::http_error) {
    const std::string body = valid_utf8(why.body);
    const bool is_json =
        !body.empty() && !json_fault(body) && !is_nested_deeper(body, deepest_body);
    append_response(out, why.http_status, why.request_id,
                    is_json ? without_lone_surrogates(json_compact(body))
                            : json_quote(utf8_prefix(body, longest_shown_text)));
    out += ",\"error\":null";
  } else {
    out += "null,";
    append_error(out, why);
  }
}

// Usage without cache reads or writes does not use the cache.
bool uses_cache(const std::optional<token_usage>& usage) {
  return usage && usage->uses_cache();
}

void append_rejected(std::string& out, const rejected_reply& rejected) {
  out += R"({"reason":)";
  append_json_quoted(out, rejected.reason);
  if (!rejected.relay.empty()) {
    out += ",\"relay\":";
    append_json_quoted(out, rejected.relay);
  }
  out += ",\"usage\":";
  append_usage(out, rejected.usage);
  out += ",\"usage_source\":\"";
  out += to_string(!rejected.usage      ? usage_source::none
                   : rejected.estimated ? usage_source::estimated
                                        : usage_source::reported);
  out += "\",\"cost_usd\":";
  append_string_or_null(out, rejected.cost ? rejected.cost->to_string() : std::string());
  if (uses_cache(rejected.usage)) {
    out += ",\"cache_saved_usd\":";
    append_string_or_null(out,
                          rejected.cache_saved ? rejected.cache_saved->to_string() : std::string());
  }
  if (rejected.reported_cost) {
    out += ",\"reported_cost_usd\":\"";
    out += rejected.reported_cost->to_string();
    out += '"';
  }
  out += ",\"service_tier\":";
  append_string_or_null(out, rejected.service_tier.value_or(""));
  out += ",\"started_at\":";
  append_fixed(out, rejected.started_at, 3);
  out += ",\"latency_ms\":";
  append_fixed(out, rejected.latency_ms, 1);
  out += '}';
}

void append_rejected_list(std::string& out, const std::vector<rejected_reply>& rejected) {
  if (rejected.empty()) return;
  out += ",\"rejected\":";
  char before = '[';
  for (const rejected_reply& one : rejected) {
    out += before;
    append_rejected(out, one);
    before = ',';
  }
  out += ']';
}

// The cost of a line: of its own reply, if there is one, and of the rejected replies.
std::optional<usd> whole_cost(bool has_reply, const std::optional<usd>& own,
                              const std::vector<rejected_reply>& rejected) {
  line_facts facts;
  facts.succeeded = has_reply;
  facts.cost = own;
  facts.rejected = rejected;
  return facts.whole_cost();
}

hex_digits id_of(const result& finished) {
  std::string identity;
  identity.reserve(finished.custom_id.size() + 64);
  identity.append(finished.custom_id).append(finished.digest);
  append_fixed(identity, finished.started_at, 3);
  return hex_digits(hash_of(identity));
}

template <typename Number>
Number number_of(const json_object& object, std::string_view name) {
  const std::string_view text = object.value(name);
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::optional<double> decimals_of(const json_object& object, std::string_view name) {
  return object.has_value(name) ? std::optional(number_of<double>(object, name)) : std::nullopt;
}

std::string text_of(const json_object& object, std::string_view name) {
  return object.text(name).value_or(std::string());
}

std::optional<usd> money_of(const json_object& object, std::string_view name) {
  return usd::parse(text_of(object, name));
}

// An amount that may be below zero.
std::optional<usd> balance_of(const json_object& object, std::string_view name) {
  const std::string text = text_of(object, name);
  const bool negative = text.starts_with('-');
  const auto amount = usd::parse(std::string_view(text).substr(negative ? 1 : 0));
  return amount && negative ? usd::from_units(-amount->count()) : amount;
}

// The `usage` of a line or of a rejected reply.
std::optional<token_usage> usage_of(const json_object& of) {
  const json_object usage = of.object("usage");
  if (!usage.is_object()) return std::nullopt;
  token_usage read{number_of<std::int64_t>(usage, "prompt_tokens"),
                   number_of<std::int64_t>(usage, "cached_tokens"),
                   number_of<std::int64_t>(usage, "completion_tokens"),
                   number_of<std::int64_t>(usage, "reasoning_tokens"),
                   number_of<std::int64_t>(usage, "cache_write_tokens"),
                   number_of<std::int64_t>(usage, "cache_write_1h_tokens")};
  for (const auto& [name, count] : apart_tokens) read.*count = number_of<std::int64_t>(usage, name);
  return read;
}

serving serving_at(std::string tier, double started_at, double latency_ms) {
  return {std::move(tier), started_at, started_at + latency_ms / 1000};
}

double rounded(double value, double steps) {
  return std::round(std::max(value, 0.0) * steps) / steps;
}

}  // namespace

std::string rejected_json(const rejected_reply& rejected) {
  std::string out;
  append_rejected(out, rejected);
  return out;
}

rejected_reply parse_rejected(std::string_view json) {
  const json_object object(json);
  rejected_reply read;
  read.reason = text_of(object, "reason");
  read.relay = text_of(object, "relay");
  read.usage = usage_of(object);
  read.estimated = object.text("usage_source") == to_string(usage_source::estimated);
  read.cost = money_of(object, "cost_usd");
  read.reported_cost = money_of(object, "reported_cost_usd");
  if (uses_cache(read.usage)) read.cache_saved = balance_of(object, "cache_saved_usd");
  if (std::string tier = text_of(object, "service_tier"); !tier.empty())
    read.service_tier = std::move(tier);
  read.started_at = decimals_of(object, "started_at").value_or(0);
  read.latency_ms = decimals_of(object, "latency_ms").value_or(0);
  return read;
}

std::string error_name(const failure& why) {
  return why.code == errc::http_error ? std::to_string(why.http_status)
                                      : std::string(to_string(why.code));
}

serving serving_of(const result& finished) {
  const std::string tier =
      finished.outcome ? finished.outcome->service_tier.value_or("") : std::string();
  return serving_at(tier, rounded(finished.started_at, 1000), rounded(finished.latency_ms, 10));
}

serving stored_line::served() const {
  return serving_at(service_tier.value_or(""), started_at.value_or(0), latency_ms);
}

line_facts facts_of(const result& finished, const std::optional<usd>& cost,
                    const std::optional<usd>& cache_saved) {
  line_facts facts;
  facts.relay = finished.relay;
  facts.model = finished.model;
  facts.latency_ms = finished.latency_ms;
  facts.ttft_ms = finished.ttft_ms;
  if (!finished.outcome) {
    facts.error = error_name(finished.outcome.error());
    facts.retryable = finished.retryable;
    return facts;
  }
  const reply& whole = *finished.outcome;
  facts.succeeded = true;
  facts.usage = whole.usage ? whole.usage : whole.estimated_usage;
  facts.estimated = source_of(whole) == usage_source::estimated;
  facts.cost = cost;
  facts.reported_cost = whole.reported_cost;
  if (uses_cache(facts.usage)) facts.cache_saved = cache_saved;
  facts.finish_reasons = whole.finish_reasons;
  return facts;
}

std::string result_line(const result& finished, const std::optional<usd>& cost, bool simulated,
                        usd kept, const std::optional<usd>& cache_saved,
                        const std::vector<rejected_reply>& rejected) {
  const bool bad = !finished.outcome && is_bad_line(finished.outcome.error().code);
  std::string out;
  out.reserve(finished.outcome ? finished.outcome->body.size() + 768 : 1024);
  out += R"({"id":"batch_req_)";
  out += id_of(finished);
  out += R"(","custom_id":)";
  append_json_wtf8(out, finished.custom_id);
  out += ",\"response\":";
  if (finished.outcome) {
    append_response(out, finished.outcome->http_status, finished.outcome->request_id,
                    finished.outcome->body);
    out += ",\"error\":null";
  } else {
    append_failure(out, finished.outcome.error());
  }

  append_number(out, R"(,"sluice":{"line":)", finished.line);
  append_number(out, R"(,"attempts":)", finished.attempts);
  if (!bad) {
    const reply* whole = finished.outcome ? &*finished.outcome : nullptr;
    if (!finished.relay.empty()) {
      out += ",\"relay\":";
      append_json_quoted(out, finished.relay);
    }
    out += ",\"model\":";
    append_json_quoted(out, finished.model);
    const bool streamed = whole != nullptr ? whole->streamed : finished.streamed;
    out += streamed ? ",\"streamed\":true,\"started_at\":" : ",\"streamed\":false,\"started_at\":";
    append_fixed(out, finished.started_at, 3);
    out += ",\"latency_ms\":";
    append_fixed(out, finished.latency_ms, 1);
    out += ",\"ttft_ms\":";
    if (finished.ttft_ms) {
      append_fixed(out, *finished.ttft_ms, 1);
    } else {
      out += "null";
    }
    out += ",\"usage\":";
    const std::optional<token_usage> usage = whole == nullptr ? std::nullopt
                                             : whole->usage   ? whole->usage
                                                              : whole->estimated_usage;
    append_usage(out, usage);
    out += ",\"usage_source\":\"";
    out += to_string(whole == nullptr ? usage_source::none : source_of(*whole));
    out += "\",\"cost_usd\":";
    const std::optional<usd> whole_cost_of_line = whole_cost(whole != nullptr, cost, rejected);
    append_string_or_null(out, whole_cost_of_line ? whole_cost_of_line->to_string() : "");
    if (whole != nullptr && !rejected.empty()) {
      out += ",\"reply_cost_usd\":";
      append_string_or_null(out, cost ? cost->to_string() : "");
    }
    append_rejected_list(out, rejected);
    if (uses_cache(usage)) {
      out += ",\"cache_saved_usd\":";
      append_string_or_null(out, cache_saved ? cache_saved->to_string() : std::string{});
    }
    if (whole != nullptr && whole->reported_cost) {
      out += ",\"reported_cost_usd\":\"";
      out += whole->reported_cost->to_string();
      out += '"';
    }
    if (kept != usd{}) {
      out += ",\"kept_usd\":\"";
      out += kept.to_string();
      out += '"';
    }
    out += ",\"service_tier\":";
    append_string_or_null(out, whole != nullptr ? whole->service_tier.value_or("") : "");
    out += ",\"digest\":\"";
    out += finished.digest;
    out += '"';
  }
  if (!finished.outcome) out += finished.retryable ? ",\"retryable\":true" : ",\"retryable\":false";
  if (simulated) out += ",\"simulated\":true";
  out += "}}\n";
  return out;
}

std::string copied_line(const request& equal, std::string_view text, const stored_line& stored,
                        std::uint32_t attempts, bool simulated, usd kept,
                        const std::vector<rejected_reply>& rejected) {
  const json_object outer = json_object::parse(text);
  const auto value_or_null = [&](std::string_view name) {
    return outer.has_value(name) ? outer.value(name) : std::string_view("null");
  };
  std::string out;
  out.reserve(text.size() + 256);
  out += R"({"id":"batch_req_)";
  out += hex_digits(hash_of(equal.custom_id + equal.digest));
  out += R"(","custom_id":)";
  append_json_wtf8(out, equal.custom_id);
  out += ",\"response\":";
  out += value_or_null("response");
  out += ",\"error\":";
  out += value_or_null("error");
  append_number(out, R"(,"sluice":{"line":)", equal.line);
  append_number(out, R"(,"attempts":)", attempts);
  out += ",\"model\":";
  append_json_quoted(out, equal.model);
  out += ",\"copied_from\":";
  append_json_wtf8(out, stored.copied_from.empty() ? stored.custom_id : stored.copied_from);
  out += R"(,"usage":null,"usage_source":"none","cost_usd":)";
  const std::optional<usd> paid = whole_cost(true, usd{}, rejected);
  append_string_or_null(out, paid ? paid->to_string() : "");
  if (!rejected.empty()) out += R"(,"reply_cost_usd":"0")";
  append_rejected_list(out, rejected);
  if (kept != usd{}) {
    out += ",\"kept_usd\":\"";
    out += kept.to_string();
    out += '"';
  }
  out += ",\"digest\":\"";
  out += equal.digest;
  out += '"';
  if (!stored.facts.succeeded) {
    out += stored.facts.retryable ? ",\"retryable\":true" : ",\"retryable\":false";
  }
  if (simulated) out += ",\"simulated\":true";
  out += "}}\n";
  return out;
}

line_facts facts_of_copy(const request& equal, const stored_line& stored) {
  line_facts facts;
  facts.copied = true;
  facts.succeeded = stored.facts.succeeded;
  facts.model = equal.model;
  facts.cost = usd{};
  facts.finish_reasons = stored.facts.finish_reasons;
  facts.error = stored.facts.error;
  facts.retryable = stored.facts.retryable;
  return facts;
}

std::optional<stored_line> parse_stored_line(std::string_view text) {
  auto outline = outline_json(text, "sluice");
  if (!outline) return std::nullopt;
  const json_object outer(std::move(outline->members));
  const auto id = json_string_wtf8(outer.value("custom_id"));
  const json_member* const own = outer.find("sluice");
  const bool is_opened =
      outline->opened < outer.members().size() && own == &outer.members()[outline->opened];
  const json_object extra =
      is_opened ? json_object(std::move(outline->inner)) : outer.object("sluice");
  if (!id || !extra.is_object()) return std::nullopt;

  stored_line line;
  line.custom_id = *id;
  line.line = number_of<std::uint64_t>(extra, "line");
  line.attempts = number_of<std::uint32_t>(extra, "attempts");
  line.digest = text_of(extra, "digest");
  line.simulated = extra.value("simulated") == "true";
  line.streamed = extra.value("streamed") == "true";
  line.started_at = decimals_of(extra, "started_at");
  line.latency_ms = decimals_of(extra, "latency_ms").value_or(0);
  line.kept = money_of(extra, "kept_usd").value_or(usd{});
  line.facts.copied = extra.has("copied_from");
  if (line.facts.copied) {
    line.copied_from = json_string_wtf8(extra.value("copied_from")).value_or(std::string());
  }
  line.facts.retryable = extra.value("retryable") == "true";
  line.facts.relay = text_of(extra, "relay");
  line.facts.model = text_of(extra, "model");
  line.facts.latency_ms = number_of<double>(extra, "latency_ms");
  line.facts.ttft_ms = decimals_of(extra, "ttft_ms");

  for (const std::string_view element : extra.list("rejected"))
    line.facts.rejected.push_back(parse_rejected(element));

  const json_object response = outer.object("response");
  line.request_id = response.value("request_id");
  line.reply = response.value("body");
  line.facts.succeeded = !extra.has("retryable");
  if (!line.facts.succeeded) {
    const json_object error = outer.object("error");
    line.facts.error =
        error.empty() ? std::string(response.value("status_code")) : text_of(error, "code");
    line.message = text_of(error, "message");
    line.of_bad_line = line.digest.empty();
    return line;
  }
  line.facts.usage = usage_of(extra);
  if (line.facts.usage) {
    line.facts.estimated = extra.text("usage_source") == to_string(usage_source::estimated);
  }
  if (std::string tier = text_of(extra, "service_tier"); !tier.empty()) {
    line.service_tier = std::move(tier);
  }
  line.facts.cost = money_of(extra, line.facts.rejected.empty() ? "cost_usd" : "reply_cost_usd");
  line.facts.reported_cost = money_of(extra, "reported_cost_usd");
  if (uses_cache(line.facts.usage)) {
    line.facts.cache_saved = balance_of(extra, "cache_saved_usd");
  }
  line.facts.finish_reasons = openai::finish_reasons(line.reply);
  return line;
}

std::uint64_t job_line_of(std::string_view text) {
  const json_object extra = json_object::parse(text).object("sluice");
  const auto line = number_of<std::uint64_t>(extra, "line");
  return line == 0 ? std::numeric_limits<std::uint64_t>::max() : line;
}

std::string failure_message(const stored_line& line) {
  if (!line.message.empty()) return line.message;
  return openai::read_error_body(json_string(line.reply).value_or(std::string(line.reply))).message;
}

}  // namespace sluice
