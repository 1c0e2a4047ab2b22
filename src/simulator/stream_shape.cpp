#include "simulator/stream_shape.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "simulator/json_append.hpp"

namespace sluice::simulator {
namespace {

constexpr std::string_view blank_line = "\n\n";

/// The stream with each event replaced by `rewrite(event)`. An event includes its blank line.
template <class Rewrite>
event_stream rewritten(const event_stream& plain, Rewrite rewrite) {
  event_stream made;
  const std::string_view text = plain.text;
  auto step = plain.steps.begin();
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find(blank_line, begin), text.size() - 2) + 2;
    made.text += rewrite(text.substr(begin, end - begin));
    for (begin = end; step != plain.steps.end() && *step <= begin; ++step)
      made.steps.push_back(made.text.size());
  }
  return made;
}

std::string_view noise(random& random) {
  static constexpr std::array<std::string_view, 9> kinds{": PING\n\n",
                                                         ": keepalive\n",
                                                         "data: : keepalive\n\n",
                                                         "id: 7\n\n",
                                                         "retry: 3000\n\n",
                                                         "event: ping\n\n",
                                                         "data:\n\n",
                                                         "\n",
                                                         ""};
  return kinds.at(random.below(kinds.size()));
}

/// Where a stream has its usage, and the event before it, which ends the last choice.
struct usage_place {
  std::string_view usage;
  std::string_view usage_event;
  std::string_view last_choice;
};

usage_place find_usage(std::string_view text) {
  constexpr std::string_view mark = R"("choices":[],"usage":)";
  const auto at = text.find(mark);
  if (at == std::string_view::npos) return {};
  const auto begin = text.rfind(blank_line, at) + blank_line.size();
  const auto end = text.find(blank_line, at);
  const auto before = text.rfind(blank_line, begin - blank_line.size() - 1);
  const auto last = before == std::string_view::npos ? 0 : before + blank_line.size();
  const auto usage = at + mark.size();
  return {text.substr(usage, end - 1 - usage), text.substr(begin, end + 2 - begin),
          text.substr(last, begin - last)};
}

event_stream with_usage_elsewhere(const event_stream& plain, bool on_every) {
  const auto place = find_usage(plain.text);
  if (place.usage.empty()) return plain;
  constexpr std::string_view none = R"("usage":null})";
  constexpr std::string_view first = R"("usage":{"prompt_tokens":1,"completion_tokens":1}})";
  const auto usage = replaced(none, "null", place.usage);
  return rewritten(plain, [&](std::string_view event) -> std::string {
    if (event.data() == place.usage_event.data()) return {};
    if (event.data() == place.last_choice.data()) return replaced(event, none, usage);
    return on_every ? replaced(event, none, first) : std::string(event);
  });
}

/// The event with its finish reason, if any, replaced by `reason` (JSON).
std::string with_finish(std::string_view event, std::string_view reason) {
  constexpr std::string_view mark = R"("finish_reason":")";
  const auto at = event.find(mark);
  if (at == std::string_view::npos) return std::string(event);
  const auto begin = at + mark.size() - 1;
  const auto end = event.find('"', begin + 1) + 1;
  return std::string(event.substr(0, begin)).append(reason).append(event.substr(end));
}

/// Whether the event ends a response.
bool ends_response(std::string_view event) {
  return event.starts_with("event: response.completed\n") ||
         event.starts_with("event: response.incomplete\n");
}

/// The event without anything that marks the end of a choice or of the response.
std::string unfinished(std::string_view event) {
  return ends_response(event) ? std::string() : with_finish(event, "null");
}

/// The event with a finish reason that means that the model did not finish. For a response, an
/// error.
std::string broken_off(std::string_view event, random& random) {
  static constexpr std::array<std::string_view, 5> reasons{
      R"("insufficient_system_resource")", R"("network_error")", R"("network-error")", R"("abort")",
      R"("ERROR")"};
  const auto reason = reasons.at(random.below(reasons.size()));
  return ends_response(event) ? stream_error(endpoint::responses, random)
                              : with_finish(event, reason);
}

/// The event with its content as a list of one part.
std::string in_parts(std::string_view event) {
  constexpr std::string_view mark = R"("delta":{"content":")";
  const auto at = event.find(mark);
  if (at == std::string_view::npos) return std::string(event);
  const auto begin = at + mark.size() - 1;
  auto end = begin + 1;
  while (event[end] != '"') end += event[end] == '\\' ? 2 : 1;
  ++end;
  return std::string(event.substr(0, begin))
      .append(R"([{"type":"text","text":)")
      .append(event.substr(begin, end - begin))
      .append("}]")
      .append(event.substr(end));
}

}  // namespace

event_stream reshaped(event_stream plain, fault_kind shape, random& random) {
  switch (shape) {
    case fault_kind::crlf:
    case fault_kind::cr:
      return rewritten(plain, [&](std::string_view event) {
        return replaced(event, "\n", shape == fault_kind::cr ? "\r" : "\r\n");
      });
    case fault_kind::keep_alives:
      return rewritten(
          plain, [&](std::string_view event) { return std::string(noise(random)).append(event); });
    case fault_kind::no_done:
      return rewritten(plain, [](std::string_view event) {
        return event == "data: [DONE]\n\n" ? std::string() : std::string(event);
      });
    case fault_kind::usage_on_last:
    case fault_kind::usage_on_every:
      return with_usage_elsewhere(plain, shape == fault_kind::usage_on_every);
    case fault_kind::no_finish:
      return rewritten(plain, unfinished);
    case fault_kind::broken_off:
      return rewritten(plain, [&](std::string_view event) { return broken_off(event, random); });
    case fault_kind::content_parts:
      return rewritten(plain, [&](std::string_view event) {
        return random.below(2) == 0 ? in_parts(event) : std::string(event);
      });
    case fault_kind::null_finish:
      return rewritten(plain, [](std::string_view event) {
        return replaced(event, R"("finish_reason":null)", R"("finish_reason":"null")");
      });
    default:
      return plain;
  }
}

std::string stream_error(endpoint to, random& random) {
  // "$" is replaced by the message.
  static constexpr std::array<std::string_view, 9> of_completions{
      R"(data: {"error":{"message":"$","type":"upstream_error","param":"","code":"bad_response"}}

data: [DONE]

)",
      R"(data: {"error":"$"}

)",
      R"(event: error
data: {"error":{"message":"$","type":"upstream_error","param":"","code":"bad_response"}}

data: [DONE]

)",
      R"(event: error
data: {"message":"$","type":"server_error","param":null,"code":null}

)",
      R"(data: {"choices":[],"error":{"code":502,"message":"$"}}

data: [DONE]

)",
      R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"message":"$"}}]}

data: [DONE]

)",
      R"(data: {"success":false,"message":"$"}

)",
      R"({"error":{"message":"$","type":"upstream_error","param":"","code":"bad_response"}}
)",
      R"(<html>
<head><title>$</title></head>
</html>
)"};
  static constexpr std::array<std::string_view, 4> of_responses{
      R"(event: response.failed
data: {"type":"response.failed","sequence_number":999,"response":{"object":"response","status":"failed","error":{"code":"server_error","message":"$"},"output":[]}}

)",
      R"(event: error
data: {"type":"error","code":"server_error","message":"$","param":null,"sequence_number":999}

)",
      R"(event: error
data: {"error":{"message":"$","type":"upstream_error","param":"","code":"bad_response"}}

)",
      R"({"error":{"message":"$","type":"upstream_error","param":"","code":"bad_response"}}
)"};
  const auto form = to == endpoint::responses
                        ? of_responses.at(random.below(of_responses.size()))
                        : of_completions.at(random.below(of_completions.size()));
  return replaced(form, "$", upstream_down);
}

}  // namespace sluice::simulator
