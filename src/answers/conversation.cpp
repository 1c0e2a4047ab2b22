#include "answers/conversation.hpp"

#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

void append_message(std::string& out, std::string_view role, std::string_view text) {
  out += R"({"role":")";
  out += role;
  out += R"(","content":)";
  append_json_quoted(out, text);
  out += '}';
}

std::string turn_of(std::string_view said, std::string_view answer) {
  std::string turn;
  if (!said.empty()) {
    append_message(turn, "assistant", said);
    turn += ',';
  }
  append_message(turn, "user", answer);
  return turn;
}

}  // namespace

std::optional<std::string> with_turn(endpoint target, std::string_view body, std::string_view said,
                                     std::string_view answer) {
  const bool is_chat = target == endpoint::chat_completions;
  if (!is_chat && target != endpoint::responses) return std::nullopt;
  const json_object fields(body);
  const json_member* const place = fields.find(is_chat ? "messages" : "input");
  if (place == nullptr) return std::nullopt;
  const auto list = json_elements(place->value);
  std::string messages = "[";
  if (list && !list->empty()) {
    messages = place->value.substr(0, place->value.size() - 1);
    messages += ',';
  } else if (!is_chat && place->value.starts_with('"')) {
    messages += R"({"role":"user","content":)";
    messages += place->value;
    messages += "},";
  } else {
    return std::nullopt;
  }
  messages += turn_of(said, answer);
  messages += ']';
  const auto begin = static_cast<std::size_t>(place->value.data() - body.data());
  return std::string(body).replace(begin, place->value.size(), messages);
}

}  // namespace sluice::answers
