#include "probe/observation.hpp"

#include <nlohmann/json.hpp>

namespace sluice::probe {
namespace {

using nlohmann::json;

// Relays leave out members and send null for them.
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
  observed_choice told;
  told.finish_reason = text_of(choice, "finish_reason");
  told.tokens = tokens_of(choice);
  const json* message = member(choice, "message");
  if (message == nullptr) return told;
  told.content = text_of(*message, "content");
  const json* calls = member(*message, "tool_calls");
  if (calls != nullptr && calls->is_array() && !calls->empty()) {
    if (const json* function = member(calls->front(), "function")) {
      told.tool = text_of(*function, "name");
      told.tool_arguments = text_of(*function, "arguments");
    }
  }
  return told;
}

}  // namespace

observation observe(const sample& asked, const result& came) {
  observation told;
  told.asked = &asked;
  told.latency_ms = came.latency_ms;
  told.ttft_ms = came.ttft_ms;
  if (!came.outcome) {
    const failure& why = came.outcome.error();
    told.status = why.http_status;
    told.refusal = why.message;
    return told;
  }
  told.answered = true;
  told.status = came.outcome->http_status;
  told.usage = came.outcome->usage;
  const json body = json::parse(came.outcome->body, nullptr, false);
  told.model = text_of(body, "model");
  told.id = text_of(body, "id");
  const json* choices = member(body, "choices");
  if (choices == nullptr || !choices->is_array()) return told;
  for (const json& choice : *choices) told.choices.push_back(read_choice(choice));
  return told;
}

}  // namespace sluice::probe
