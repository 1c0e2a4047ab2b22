#include "result_line.hpp"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <vector>

#include "hash.hpp"
#include "json_members.hpp"
#include "json_text.hpp"
#include "openai/whole_reply.hpp"

namespace sluice {
namespace {

constexpr std::size_t longest_shown_text = 4096;  // of an error body that is not JSON

bool is_bad_line(errc code) {
  return code == errc::invalid_json_line || code == errc::invalid_request_line ||
         code == errc::duplicate_custom_id;
}

void append_usage(std::string& out, const std::optional<token_usage>& usage) {
  if (!usage) {
    out += "null";
    return;
  }
  fmt::format_to(
      std::back_inserter(out),
      FMT_COMPILE(
          R"({{"prompt_tokens":{},"cached_tokens":{},"completion_tokens":{},"reasoning_tokens":{}}})"),
      usage->prompt_tokens, usage->cached_tokens, usage->completion_tokens,
      usage->reasoning_tokens);
}

// Fixed decimals of what is not negative, by whole numbers: printing a double costs several times
// as much, and so does a width that is told at run time.
void append_fixed(std::string& out, double value, int decimals) {
  std::int64_t scale = 1;
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const std::int64_t scaled = std::llround(std::max(value, 0.0) * static_cast<double>(scale));
  const fmt::format_int whole(scaled / scale);
  out.append(whole.data(), whole.size()).push_back('.');
  const fmt::format_int fraction(scaled % scale + scale);  // a one in front keeps the zeros
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
  fmt::format_to(std::back_inserter(out), FMT_COMPILE(R"({{"status_code":{},"request_id":)"),
                 status);
  append_string_or_null(out, request_id);
  out += ",\"body\":";
  out += body_json;
  out += '}';
}

void append_failure(std::string& out, const failure& why) {
  if (why.code == errc::http_error) {
    const std::string body = valid_utf8(why.body);
    const bool is_json = !body.empty() && !json_fault(body);
    append_response(out, why.http_status, why.request_id,
                    is_json ? without_lone_surrogates(json_compact(body))
                            : json_quote(utf8_prefix(body, longest_shown_text)));
    out += ",\"error\":null";
  } else {
    fmt::format_to(std::back_inserter(out), R"(null,"error":{{"code":"{}","message":)",
                   to_string(why.code));
    append_json_quoted(out, why.message);
    out += '}';
  }
}

// Members of stored lines.
using members = std::vector<json_member>;

std::string_view value_of(const members& object, std::string_view key) {
  const json_member* member = find_member(object, key);
  return member != nullptr && member->value != "null" ? member->value : std::string_view{};
}

members object_of(const members& object, std::string_view key) {
  return json_members(value_of(object, key)).value_or(members{});
}

template <typename Number>
Number number_of(const members& object, std::string_view key) {
  const std::string_view text = value_of(object, key);
  Number number{};
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string text_of(const members& object, std::string_view key) {
  return json_string(value_of(object, key)).value_or(std::string{});
}

std::optional<usd> money_of(const members& object, std::string_view key) {
  return usd::parse(text_of(object, key));
}

}  // namespace

std::string error_name(const failure& why) {
  return why.code == errc::http_error ? std::to_string(why.http_status)
                                      : std::string(to_string(why.code));
}

line_facts facts_of(const result& finished, const std::optional<usd>& cost) {
  line_facts facts;
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
  facts.usage = whole.usage;
  facts.cost = cost;
  facts.reported_cost = whole.reported_cost;
  facts.finish_reasons = whole.finish_reasons;
  return facts;
}

std::string result_line(const result& finished, const std::optional<usd>& cost, bool simulated) {
  const bool bad = !finished.outcome && is_bad_line(finished.outcome.error().code);
  std::string out;
  out.reserve(finished.outcome ? finished.outcome->body.size() + 768 : 1024);
  const auto append = std::back_inserter(out);

  std::string identity = finished.custom_id + finished.digest;
  append_fixed(identity, finished.started_at, 3);
  fmt::format_to(append, FMT_COMPILE(R"({{"id":"batch_req_{}","custom_id":)"),
                 to_hex(hash_of(identity)));
  append_json_quoted(out, finished.custom_id);
  out += ",\"response\":";
  if (finished.outcome) {
    append_response(out, finished.outcome->http_status, finished.outcome->request_id,
                    finished.outcome->body);
    out += ",\"error\":null";
  } else {
    append_failure(out, finished.outcome.error());
  }

  fmt::format_to(append, FMT_COMPILE(R"(,"sluice":{{"line":{},"attempts":{})"), finished.line,
                 finished.attempts);
  if (!bad) {
    const reply* whole = finished.outcome ? &*finished.outcome : nullptr;
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
    append_usage(out, whole != nullptr ? whole->usage : std::nullopt);
    const auto source =
        whole != nullptr && whole->usage ? usage_source::reported : usage_source::none;
    out += ",\"usage_source\":\"";
    out += to_string(source);
    out += "\",\"cost_usd\":";
    append_string_or_null(out, cost ? cost->to_string() : std::string{});
    if (whole != nullptr && whole->reported_cost) {
      out += ",\"reported_cost_usd\":\"" + whole->reported_cost->to_string() + '"';
    }
    out += ",\"digest\":\"" + finished.digest + '"';
  }
  if (!finished.outcome) fmt::format_to(append, R"(,"retryable":{})", finished.retryable);
  if (simulated) out += ",\"simulated\":true";
  out += "}}\n";
  return out;
}

std::optional<stored_line> parse_stored_line(std::string_view text) {
  if (json_fault(text)) return std::nullopt;
  const auto outer = json_members(text);
  if (!outer) return std::nullopt;
  const auto id = json_string(value_of(*outer, "custom_id"));
  const auto extra = json_members(value_of(*outer, "sluice"));
  if (!id || !extra) return std::nullopt;

  stored_line line;
  line.custom_id = *id;
  line.line = number_of<std::uint64_t>(*extra, "line");
  line.attempts = number_of<std::uint32_t>(*extra, "attempts");
  line.digest = text_of(*extra, "digest");
  line.facts.retryable = value_of(*extra, "retryable") == "true";
  line.simulated = value_of(*extra, "simulated") == "true";
  line.facts.model = text_of(*extra, "model");
  line.facts.latency_ms = number_of<double>(*extra, "latency_ms");
  if (!value_of(*extra, "ttft_ms").empty())
    line.facts.ttft_ms = number_of<double>(*extra, "ttft_ms");

  const auto response = object_of(*outer, "response");
  const auto error = object_of(*outer, "error");
  line.facts.succeeded = find_member(*extra, "retryable") == nullptr;
  if (!line.facts.succeeded) {
    line.facts.error =
        error.empty() ? std::string(value_of(response, "status_code")) : text_of(error, "code");
    line.of_bad_line = line.digest.empty();
    if (line.of_bad_line) line.message = text_of(error, "message");
    return line;
  }
  if (const auto usage = json_members(value_of(*extra, "usage"))) {
    line.facts.usage = {number_of<std::int64_t>(*usage, "prompt_tokens"),
                        number_of<std::int64_t>(*usage, "cached_tokens"),
                        number_of<std::int64_t>(*usage, "completion_tokens"),
                        number_of<std::int64_t>(*usage, "reasoning_tokens")};
  }
  line.facts.cost = money_of(*extra, "cost_usd");
  line.facts.reported_cost = money_of(*extra, "reported_cost_usd");
  line.facts.finish_reasons = openai::finish_reasons(value_of(response, "body"));
  return line;
}

}  // namespace sluice
