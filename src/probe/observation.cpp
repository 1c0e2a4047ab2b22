#include "probe/observation.hpp"

#include <nlohmann/json.hpp>

namespace sluice::probe {
namespace {

using nlohmann::json;

// The member; nullptr if it is missing or null, since relays do both.
const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const json& object, const char* name) {
  const json* found = member(object, name);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::vector<std::string>> tokens_of(const json& choice) {
  const json* logprobs = member(choice, "logprobs");
  const json* entries = logprobs == nullptr ? nullptr : member(*logprobs, "content");
  if (entries == nullptr || !entries->is_array()) return std::nullopt;
  std::vector<std::string> tokens;
  for (const json& entry : *entries) {
    std::string bytes;
    if (const json* numbers = member(entry, "bytes"); numbers != nullptr && numbers->is_array()) {
      for (const json& number : *numbers) {
        if (!number.is_number_unsigned() || number > 255) return std::nullopt;
        bytes.push_back(static_cast<char>(number.get<unsigned>()));
      }
    } else {
      bytes = text_of(entry, "token");
    }
    tokens.push_back(std::move(bytes));
  }
  return tokens;
}

observed_choice read_choice(const json& choice) {
  observed_choice observed;
  observed.finish_reason = text_of(choice, "finish_reason");
  observed.tokens = tokens_of(choice);
  const json* message = member(choice, "message");
  if (message == nullptr) return observed;
  observed.content = text_of(*message, "content");
  const json* calls = member(*message, "tool_calls");
  if (calls != nullptr && calls->is_array() && !calls->empty()) {
    if (const json* function = member(calls->front(), "function")) {
      observed.tool = text_of(*function, "name");
      observed.tool_arguments = text_of(*function, "arguments");
    }
  }
  return observed;
}

}  // namespace

observation observe(const sample& request, const result& finished) {
  observation observed;
  observed.request = &request;
  observed.latency_ms = finished.latency_ms;
  observed.ttft_ms = finished.ttft_ms;
  if (!finished.outcome) {
    const failure& why = finished.outcome.error();
    observed.status = why.http_status;
    observed.refusal = described(why, {});
    return observed;
  }
  observed.answered = true;
  observed.status = finished.outcome->http_status;
  observed.usage = finished.outcome->usage;
  const json body = json::parse(finished.outcome->body, nullptr, false);
  observed.model = text_of(body, "model");
  observed.id = text_of(body, "id");
  const json* choices = member(body, "choices");
  if (choices == nullptr || !choices->is_array()) return observed;
  for (const json& choice : *choices) observed.choices.push_back(read_choice(choice));
  return observed;
}

}  // namespace sluice::probe
