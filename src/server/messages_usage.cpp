#include "server/messages_usage.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "json/object.hpp"

namespace sluice::server {
namespace {

// Reads one count of the usage; nothing if it is missing or not a number of tokens.
std::optional<std::int64_t> count(const json_object& usage, std::string_view name) {
  const std::string_view text = usage.value(name);
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (text.empty() || read.ec != std::errc{} || read.ptr != end) return std::nullopt;
  return value >= 0 && value <= most_tokens_of_a_reply ? std::optional(value) : std::nullopt;
}

}  // namespace

// Takes the counts. A stream reports the input at its beginning and the output at its end. A later
// count replaces an earlier one.
void messages_usage::take(std::string_view usage) {
  const json_object object(usage);
  if (const auto input = count(object, "input_tokens")) input_ = *input;
  if (const auto read = count(object, "cache_read_input_tokens")) found_.cached_tokens = *read;
  const json_object parts = object.object("cache_creation");
  const auto one_hour = count(parts, "ephemeral_1h_input_tokens");
  const auto five_minutes = count(parts, "ephemeral_5m_input_tokens");
  const auto sum = count(object, "cache_creation_input_tokens");
  if (sum || one_hour || five_minutes) {
    // The end of a stream repeats the sum, but not its parts. Some relays report only the parts.
    found_.cache_write_1h_tokens = one_hour.value_or(
        sum ? std::min(*sum, found_.cache_write_1h_tokens) : found_.cache_write_1h_tokens);
    const std::int64_t rest =
        std::max<std::int64_t>(sum.value_or(0) - found_.cache_write_1h_tokens, 0);
    found_.cache_write_tokens = std::max(rest, five_minutes.value_or(0));
  }
  for (const auto& [name, fact] :
       {std::pair{"service_tier", &how_.tier}, std::pair{"speed", &how_.speed},
        std::pair{"inference_geo", &how_.geo}}) {
    if (auto text = object.text(name); text && !text->empty()) *fact = *std::move(text);
  }
  if (const auto output = count(object, "output_tokens")) output_ = *output;
}

void messages_usage::on_event(std::string_view data) {
  if (data.find("\"usage\"") == std::string_view::npos &&
      data.find("\"message_stop\"") == std::string_view::npos) {
    return;
  }
  const json_object event = json_object::parse(data);
  if (event.text("type") == "message_stop") complete_ = true;
  take(event.object("message").value("usage"));
  // The beginning of a message reports one token of output, whatever the length of the reply.
  if (event.has_value("message")) output_.reset();
  take(event.value("usage"));
}

void messages_usage::body(std::string_view bytes) {
  if (!begun_) {
    // Relays name a wrong Content-Type, so the first byte decides.
    const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return;
    begun_ = true;
    stream_ = bytes[begin] != '{';
  }
  if (!stream_) {
    body_.append(bytes.substr(0, longest_body - std::min(longest_body, body_.size())));
    return;
  }
  parser_.feed(bytes, [this](const sse_parser::event& event) {
    on_event(event.data);
    return !event.raw;
  });
}

std::optional<token_usage> messages_usage::finish() {
  if (stream_) {
    parser_.finish([this](const sse_parser::event& event) {
      on_event(event.data);
      return !event.raw;
    });
  } else {
    const json_object whole = json_object::parse(body_);
    complete_ = body_.size() == longest_body || whole.text("type") == "message";
    take(whole.value("usage"));
  }
  if (!complete_ || !input_ || !output_) return std::nullopt;
  token_usage all = found_;
  all.prompt_tokens =
      *input_ + all.cached_tokens + all.cache_write_tokens + all.cache_write_1h_tokens;
  all.completion_tokens = *output_;
  return all;
}

}  // namespace sluice::server
