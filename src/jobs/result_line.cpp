#include "jobs/result_line.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/hash.hpp"
#include "jobs/stored_line.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice {
namespace {

// Most texts below have the suffix sv, so that their lengths are not counted for each line.
using namespace std::string_view_literals;

constexpr std::size_t longest_shown_text = 4096;  // of an error body that is not JSON

bool is_bad_line(errc code) {
  return code == errc::invalid_json_line || code == errc::invalid_request_line ||
         code == errc::duplicate_custom_id;
}

template <typename Text, typename Number>
void append_number(Text& out, std::string_view before, Number number) {
  const fmt::format_int digits(number);
  out.append(before);
  out.append(std::string_view(digits.data(), digits.size()));
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
    out += "null"sv;
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
template <typename Text>
void append_fixed(Text& out, double value, int decimals) {
  std::int64_t scale = 1;
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const std::int64_t scaled = std::llround(std::max(value, 0.0) * static_cast<double>(scale));
  append_number(out, "", scaled / scale);
  out.push_back('.');
  // The leading one keeps the zeros; it is skipped below.
  const fmt::format_int fraction(scaled % scale + scale);
  out.append(std::string_view(fraction.data(), fraction.size()).substr(1));
}

void append_string_or_null(std::string& out, std::string_view text) {
  if (text.empty()) {
    out += "null"sv;
  } else {
    append_json_quoted(out, text);
  }
}

// The facts besides the usage and the times that a price depends on.
void append_service(std::string& out, std::string_view tier, std::string_view speed,
                    std::string_view geo) {
  out += ",\"service_tier\":"sv;
  append_string_or_null(out, tier);
  if (!speed.empty()) {
    out += ",\"speed\":"sv;
    append_json_quoted(out, speed);
  }
  if (!geo.empty()) {
    out += ",\"inference_geo\":"sv;
    append_json_quoted(out, geo);
  }
}

void append_response(std::string& out, int status, std::string_view request_id,
                     std::string_view body_json) {
  append_number(out, R"({"status_code":)", status);
  out += ",\"request_id\":"sv;
  append_json_quoted(out, request_id);
  out += ",\"body\":"sv;
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
    out += ",\"error\":null"sv;
  } else {
    out += "null,"sv;
    append_error(out, why);
  }
}

// Usage without cache reads or writes does not use the cache.
bool uses_cache(const std::optional<token_usage>& usage) {
  return usage && usage->uses_cache();
}

void append_rejected(std::string& out, const rejected_reply& rejected) {
  out += R"({"reason":)"sv;
  append_json_quoted(out, rejected.reason);
  if (!rejected.relay.empty()) {
    out += ",\"relay\":"sv;
    append_json_quoted(out, rejected.relay);
  }
  out += ",\"usage\":"sv;
  append_usage(out, rejected.usage);
  out += ",\"usage_source\":\""sv;
  out += to_string(!rejected.usage      ? usage_source::none
                   : rejected.estimated ? usage_source::estimated
                                        : usage_source::reported);
  out += "\",\"cost_usd\":"sv;
  append_string_or_null(out, rejected.cost ? rejected.cost->to_string() : std::string());
  if (uses_cache(rejected.usage)) {
    out += ",\"cache_saved_usd\":"sv;
    append_string_or_null(out,
                          rejected.cache_saved ? rejected.cache_saved->to_string() : std::string());
  }
  if (rejected.reported_cost) {
    out += ",\"reported_cost_usd\":\""sv;
    out += rejected.reported_cost->to_string();
    out += '"';
  }
  append_service(out, rejected.service_tier.value_or(""), rejected.speed, rejected.inference_geo);
  out += ",\"started_at\":"sv;
  append_fixed(out, rejected.started_at, 3);
  out += ",\"latency_ms\":"sv;
  append_fixed(out, rejected.latency_ms, 1);
  out += '}';
}

void append_rejected_list(std::string& out, const std::vector<rejected_reply>& rejected) {
  if (rejected.empty()) return;
  out += ",\"rejected\":"sv;
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
  fmt::basic_memory_buffer<char, 256> identity;  // nearly always on the stack
  identity.append(std::string_view(finished.custom_id));
  identity.append(std::string_view(finished.digest));
  append_fixed(identity, finished.started_at, 3);
  return hex_digits(hash_of({identity.data(), identity.size()}));
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

std::string error_name(const failure& why) {
  return why.code == errc::http_error ? std::to_string(why.http_status)
                                      : std::string(to_string(why.code));
}

serving serving_of(const result& finished) {
  const double start = rounded(finished.started_at, 1000);
  const double end = start + rounded(finished.latency_ms, 10) / 1000;
  return finished.outcome ? finished.outcome->served(start, end) : serving{{}, start, end};
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
  out += R"({"id":"batch_req_)"sv;
  out += id_of(finished);
  out += R"(","custom_id":)"sv;
  append_json_wtf8(out, finished.custom_id);
  out += ",\"response\":"sv;
  if (finished.outcome) {
    append_response(out, finished.outcome->http_status, finished.outcome->request_id,
                    finished.outcome->body);
    out += ",\"error\":null"sv;
  } else {
    append_failure(out, finished.outcome.error());
  }

  append_number(out, R"(,"sluice":{"line":)", finished.line);
  append_number(out, R"(,"attempts":)", finished.attempts);
  if (!bad) {
    const reply* whole = finished.outcome ? &*finished.outcome : nullptr;
    if (!finished.relay.empty()) {
      out += ",\"relay\":"sv;
      append_json_quoted(out, finished.relay);
    }
    out += ",\"model\":"sv;
    append_json_quoted(out, finished.model);
    const bool streamed = whole != nullptr ? whole->streamed : finished.streamed;
    out +=
        streamed ? ",\"streamed\":true,\"started_at\":"sv : ",\"streamed\":false,\"started_at\":"sv;
    append_fixed(out, finished.started_at, 3);
    out += ",\"latency_ms\":"sv;
    append_fixed(out, finished.latency_ms, 1);
    out += ",\"ttft_ms\":"sv;
    if (finished.ttft_ms) {
      append_fixed(out, *finished.ttft_ms, 1);
    } else {
      out += "null"sv;
    }
    out += ",\"usage\":"sv;
    const std::optional<token_usage> usage = whole == nullptr ? std::nullopt
                                             : whole->usage   ? whole->usage
                                                              : whole->estimated_usage;
    append_usage(out, usage);
    out += ",\"usage_source\":\""sv;
    out += to_string(whole == nullptr ? usage_source::none : source_of(*whole));
    out += "\",\"cost_usd\":"sv;
    const std::optional<usd> whole_cost_of_line = whole_cost(whole != nullptr, cost, rejected);
    append_string_or_null(out, whole_cost_of_line ? whole_cost_of_line->to_string() : "");
    if (whole != nullptr && !rejected.empty()) {
      out += ",\"reply_cost_usd\":"sv;
      append_string_or_null(out, cost ? cost->to_string() : "");
    }
    append_rejected_list(out, rejected);
    if (uses_cache(usage)) {
      out += ",\"cache_saved_usd\":"sv;
      append_string_or_null(out, cache_saved ? cache_saved->to_string() : std::string{});
    }
    if (whole != nullptr && whole->reported_cost) {
      out += ",\"reported_cost_usd\":\""sv;
      out += whole->reported_cost->to_string();
      out += '"';
    }
    if (kept != usd{}) {
      out += ",\"kept_usd\":\""sv;
      out += kept.to_string();
      out += '"';
    }
    if (whole != nullptr) {
      append_service(out, whole->service_tier.value_or(""), whole->speed, whole->inference_geo);
    } else {
      append_service(out, {}, {}, {});
    }
    out += ",\"digest\":\""sv;
    out += finished.digest;
    out += '"';
  }
  if (!finished.outcome)
    out += finished.retryable ? ",\"retryable\":true"sv : ",\"retryable\":false"sv;
  if (simulated) out += ",\"simulated\":true"sv;
  out += "}}\n"sv;
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
  out += R"({"id":"batch_req_)"sv;
  out += hex_digits(hash_of(equal.custom_id + equal.digest));
  out += R"(","custom_id":)"sv;
  append_json_wtf8(out, equal.custom_id);
  out += ",\"response\":"sv;
  out += value_or_null("response");
  out += ",\"error\":"sv;
  out += value_or_null("error");
  append_number(out, R"(,"sluice":{"line":)", equal.line);
  append_number(out, R"(,"attempts":)", attempts);
  out += ",\"model\":"sv;
  append_json_quoted(out, equal.model);
  out += ",\"copied_from\":"sv;
  append_json_wtf8(out, stored.copied_from.empty() ? stored.custom_id : stored.copied_from);
  out += R"(,"usage":null,"usage_source":"none","cost_usd":)"sv;
  const std::optional<usd> paid = whole_cost(true, usd{}, rejected);
  append_string_or_null(out, paid ? paid->to_string() : "");
  if (!rejected.empty()) out += R"(,"reply_cost_usd":"0")"sv;
  append_rejected_list(out, rejected);
  if (kept != usd{}) {
    out += ",\"kept_usd\":\""sv;
    out += kept.to_string();
    out += '"';
  }
  out += ",\"digest\":\""sv;
  out += equal.digest;
  out += '"';
  if (!stored.facts.succeeded) {
    out += stored.facts.retryable ? ",\"retryable\":true" : ",\"retryable\":false";
  }
  if (simulated) out += ",\"simulated\":true"sv;
  out += "}}\n"sv;
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

}  // namespace sluice
