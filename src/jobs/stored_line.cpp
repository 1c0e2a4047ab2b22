#include "jobs/stored_line.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include "json/object.hpp"
#include "json/same_key.hpp"
#include "json/walk.hpp"
#include "openai/error_body.hpp"
#include "openai/finish_reason.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

/// The members of a line that are read. The members of an object follow it.
enum class field : std::uint8_t {
  custom_id,
  response,
  request_id,
  status_code,
  body,
  error,
  code,
  message,
  own,  // `sluice`
  line,
  attempts,
  relay,
  model,
  copied_from,
  streamed,
  started_at,
  latency_ms,
  ttft_ms,
  usage,
  prompt_tokens,
  cached_tokens,
  cache_write_tokens,
  cache_write_1h_tokens,
  completion_tokens,
  reasoning_tokens,
  audio_prompt_tokens,
  image_prompt_tokens,
  audio_completion_tokens,
  image_completion_tokens,
  usage_source,
  cost_usd,
  reply_cost_usd,
  rejected,
  cache_saved_usd,
  reported_cost_usd,
  kept_usd,
  service_tier,
  speed,
  inference_geo,
  digest,
  retryable,
  simulated,
  unknown,
};

constexpr std::size_t index(field which) {
  return static_cast<std::size_t>(which);
}

struct known_member {
  std::string_view name;
  field which;
  field last;  ///< of the fields inside its value
  constexpr known_member(std::string_view n, field f) : known_member(n, f, f) {}
  constexpr known_member(std::string_view n, field f, field l) : name(n), which(f), last(l) {}
};

// The members of each object, in the order in which they are written.
constexpr std::array<known_member, 4> line_members = {{
    {"custom_id", field::custom_id},
    {"response", field::response, field::body},
    {"error", field::error, field::message},
    {"sluice", field::own, field::simulated},
}};
constexpr std::array<known_member, 3> response_members = {{
    {"status_code", field::status_code},
    {"request_id", field::request_id},
    {"body", field::body},
}};
constexpr std::array<known_member, 2> error_members = {{
    {"code", field::code},
    {"message", field::message},
}};
constexpr std::array<known_member, 23> own_members = {{
    {"line", field::line},
    {"attempts", field::attempts},
    {"relay", field::relay},
    {"model", field::model},
    {"copied_from", field::copied_from},
    {"streamed", field::streamed},
    {"started_at", field::started_at},
    {"latency_ms", field::latency_ms},
    {"ttft_ms", field::ttft_ms},
    {"usage", field::usage, field::image_completion_tokens},
    {"usage_source", field::usage_source},
    {"cost_usd", field::cost_usd},
    {"reply_cost_usd", field::reply_cost_usd},
    {"rejected", field::rejected},
    {"cache_saved_usd", field::cache_saved_usd},
    {"reported_cost_usd", field::reported_cost_usd},
    {"kept_usd", field::kept_usd},
    {"service_tier", field::service_tier},
    {"speed", field::speed},
    {"inference_geo", field::inference_geo},
    {"digest", field::digest},
    {"retryable", field::retryable},
    {"simulated", field::simulated},
}};
constexpr std::array<known_member, 10> usage_members = {{
    {"prompt_tokens", field::prompt_tokens},
    {"cached_tokens", field::cached_tokens},
    {"cache_write_tokens", field::cache_write_tokens},
    {"cache_write_1h_tokens", field::cache_write_1h_tokens},
    {"completion_tokens", field::completion_tokens},
    {"reasoning_tokens", field::reasoning_tokens},
    {"audio_prompt_tokens", field::audio_prompt_tokens},
    {"image_prompt_tokens", field::image_prompt_tokens},
    {"audio_completion_tokens", field::audio_completion_tokens},
    {"image_completion_tokens", field::image_completion_tokens},
}};

/// The members of the object that is the value of a field.
std::span<const known_member> members_of(field of) {
  switch (of) {
    case field::response:
      return response_members;
    case field::error:
      return error_members;
    case field::own:
      return own_members;
    case field::usage:
      return usage_members;
    default:
      return {};
  }
}

template <typename Number>
Number read_number(std::string_view written) {
  Number read{};
  std::from_chars(written.data(), written.data() + written.size(), read);
  return read;
}

std::optional<double> read_decimals(std::string_view written) {
  return written.empty() ? std::nullopt : std::optional(read_number<double>(written));
}

std::string read_text(std::string_view written) {
  return json_string(written).value_or(std::string());
}

std::optional<usd> read_money(std::string_view written) {
  return usd::parse(read_text(written));
}

/// An amount that may be below zero.
std::optional<usd> read_balance(std::string_view written) {
  const std::string text = read_text(written);
  const bool negative = text.starts_with('-');
  const auto amount = usd::parse(std::string_view(text).substr(negative ? 1 : 0));
  return amount && negative ? usd::from_units(-amount->count()) : amount;
}

/// Checks a line, and finds its fields in the same pass.
class line_walk : public json_walk<line_walk> {
 public:
  using json_walk::json_walk;

  /// The value as it is written; empty if it is missing or null.
  std::string_view value(field which) const {
    const std::string_view written = values_[index(which)];
    return written == "null" ? std::string_view() : written;
  }
  /// Whether the member exists, possibly as null.
  bool has(field which) const { return !values_[index(which)].empty(); }
  std::map<std::string, std::uint64_t> take_finish_reasons() { return reasons_.take(); }

  void on_open(char bracket) {
    const std::size_t outside = depth();
    if (in_body_) reasons_.on_open(outside - body_depth, bracket);
    if (outside >= levels_.size()) return;
    levels_[outside] = {};
    if (bracket != '{') return;
    if (outside == 0) {
      levels_[0].members = line_members;
      return;
    }
    const field of = levels_[outside - 1].which;
    levels_[outside].members = members_of(of);
    if (of != field::body) return;
    in_body_ = true;
    reasons_.on_open(0, bracket);
  }

  void on_key(std::string_view quoted, bool escaped) {
    const std::size_t at = depth() - 1;
    if (at >= begins_.size()) return;
    begins_[at] = rest().data();
    std::string_view key = quoted.substr(1, quoted.size() - 2);
    std::string plain;
    if (escaped) {
      plain = json_string(quoted).value_or(std::string());
      key = plain;
    }
    if (in_body_) reasons_.on_key(depth() - body_depth, key);
    if (at < levels_.size()) levels_[at].which = named(levels_[at], key);
  }

  void on_end() {
    if (depth() == 0 || depth() > begins_.size() || !in_object()) return;
    const std::size_t at = depth() - 1;
    const char* const begin = begins_[at];
    const std::string_view value(begin, static_cast<std::size_t>(rest().data() - begin));
    if (depth() == body_depth) in_body_ = false;
    if (in_body_) reasons_.on_value(depth() - body_depth, value);
    if (at < levels_.size() && levels_[at].which != field::unknown) {
      values_[index(levels_[at].which)] = value;
    }
  }

 private:
  /// The object that is open at a depth.
  struct level {
    std::span<const known_member> members = {};
    field which = field::unknown;  ///< of its last key
    std::size_t next = 0;          ///< the search for the next key begins here
  };
  static constexpr std::size_t body_depth = 2;  // the number of brackets around the body

  /// The field with this key. If the key occurs twice, the last value counts, so the fields of an
  /// earlier one are removed.
  field named(level& in, std::string_view key) {
    std::size_t at = in.next;
    for (std::size_t i = 0; i < in.members.size(); ++i, ++at) {
      if (at >= in.members.size()) at = 0;
      const known_member& member = in.members[at];
      if (!same_key(member.name, key)) continue;
      in.next = at + 1;
      std::fill(values_.begin() + index(member.which), values_.begin() + index(member.last) + 1,
                std::string_view());
      if (member.last == field::body) reasons_ = {};
      return member.which;
    }
    return field::unknown;
  }

  std::array<std::string_view, index(field::unknown)> values_;
  std::array<level, 3> levels_;             // the line, an object in it, and one inside that
  std::array<const char*, 5> begins_ = {};  // of the values, as deep as the members of a choice
  bool in_body_ = false;
  openai::finish_reason_counter reasons_;
};

/// The counts of `usage_members`, in the same order.
constexpr std::array<std::int64_t token_usage::*, usage_members.size()> usage_counts = {
    &token_usage::prompt_tokens,           &token_usage::cached_tokens,
    &token_usage::cache_write_tokens,      &token_usage::cache_write_1h_tokens,
    &token_usage::completion_tokens,       &token_usage::reasoning_tokens,
    &token_usage::audio_prompt_tokens,     &token_usage::image_prompt_tokens,
    &token_usage::audio_completion_tokens, &token_usage::image_completion_tokens,
};

/// The `usage` of a line or of a rejected reply. `value_of` gives the value of a member.
template <typename ValueOf>
token_usage read_usage(const ValueOf& value_of) {
  token_usage usage;
  for (std::size_t i = 0; i < usage_members.size(); ++i) {
    usage.*usage_counts[i] = read_number<std::int64_t>(value_of(usage_members[i]));
  }
  return usage;
}

}  // namespace

serving stored_line::served() const {
  const double start = started_at.value_or(0);
  return {service_tier.value_or(""), start, start + latency_ms / 1000, speed, inference_geo};
}

rejected_reply parse_rejected(std::string_view json) {
  const json_object object(json);
  const auto text = [&](std::string_view name) { return read_text(object.value(name)); };
  rejected_reply read;
  read.reason = text("reason");
  read.relay = text("relay");
  if (const json_object usage = object.object("usage"); usage.is_object()) {
    read.usage = read_usage([&](const known_member& member) { return usage.value(member.name); });
  }
  read.estimated = text("usage_source") == to_string(usage_source::estimated);
  read.cost = read_money(object.value("cost_usd"));
  read.reported_cost = read_money(object.value("reported_cost_usd"));
  if (read.usage && read.usage->uses_cache()) {
    read.cache_saved = read_balance(object.value("cache_saved_usd"));
  }
  if (std::string tier = text("service_tier"); !tier.empty()) read.service_tier = std::move(tier);
  read.speed = text("speed");
  read.inference_geo = text("inference_geo");
  read.started_at = read_decimals(object.value("started_at")).value_or(0);
  read.latency_ms = read_decimals(object.value("latency_ms")).value_or(0);
  return read;
}

std::optional<stored_line> parse_stored_line(std::string_view text) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return std::nullopt;
  line_walk walk(text);
  if (!walk.run()) return std::nullopt;
  const auto value = [&](field which) { return walk.value(which); };
  auto id = json_string_wtf8(value(field::custom_id));
  if (!id || !value(field::own).starts_with('{')) return std::nullopt;

  stored_line line;
  line.custom_id = *std::move(id);
  line.line = read_number<std::uint64_t>(value(field::line));
  line.attempts = read_number<std::uint32_t>(value(field::attempts));
  line.digest = read_text(value(field::digest));
  line.simulated = value(field::simulated) == "true";
  line.streamed = value(field::streamed) == "true";
  line.started_at = read_decimals(value(field::started_at));
  line.latency_ms = read_number<double>(value(field::latency_ms));
  line.kept = read_money(value(field::kept_usd)).value_or(usd{});
  line.facts.copied = walk.has(field::copied_from);
  if (line.facts.copied) {
    line.copied_from = json_string_wtf8(value(field::copied_from)).value_or(std::string());
  }
  line.facts.retryable = value(field::retryable) == "true";
  line.facts.relay = read_text(value(field::relay));
  line.facts.model = read_text(value(field::model));
  line.facts.latency_ms = line.latency_ms;
  line.facts.ttft_ms = read_decimals(value(field::ttft_ms));
  if (const std::string_view rejected = value(field::rejected); !rejected.empty()) {
    const auto replies = json_elements(rejected).value_or(std::vector<std::string_view>());
    for (const std::string_view reply : replies) {
      line.facts.rejected.push_back(parse_rejected(reply));
    }
  }
  line.request_id = value(field::request_id);
  line.reply = value(field::body);
  line.facts.succeeded = !walk.has(field::retryable);
  if (!line.facts.succeeded) {
    line.facts.error = walk.has(field::code) ? read_text(value(field::code))
                                             : std::string(value(field::status_code));
    line.message = read_text(value(field::message));
    line.of_bad_line = line.digest.empty();
    return line;
  }
  if (value(field::usage).starts_with('{')) {
    line.facts.usage =
        read_usage([&](const known_member& member) { return walk.value(member.which); });
    line.facts.estimated =
        read_text(value(field::usage_source)) == to_string(usage_source::estimated);
  }
  if (std::string tier = read_text(value(field::service_tier)); !tier.empty()) {
    line.service_tier = std::move(tier);
  }
  line.speed = read_text(value(field::speed));
  line.inference_geo = read_text(value(field::inference_geo));
  line.facts.cost =
      read_money(value(line.facts.rejected.empty() ? field::cost_usd : field::reply_cost_usd));
  line.facts.reported_cost = read_money(value(field::reported_cost_usd));
  if (line.facts.usage && line.facts.usage->uses_cache()) {
    line.facts.cache_saved = read_balance(value(field::cache_saved_usd));
  }
  line.facts.finish_reasons = walk.take_finish_reasons();
  return line;
}

std::uint64_t job_line_of(std::string_view text) {
  const json_object extra = json_object::parse(text).object("sluice");
  const auto line = read_number<std::uint64_t>(extra.value("line"));
  return line == 0 ? std::numeric_limits<std::uint64_t>::max() : line;
}

std::string failure_message(const stored_line& line) {
  if (!line.message.empty()) return line.message;
  return openai::read_error_body(json_string(line.reply).value_or(std::string(line.reply))).message;
}

}  // namespace sluice
