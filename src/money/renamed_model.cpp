#include "money/renamed_model.hpp"

#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice {

const std::string& model_at(const relay_member& relay, const request& asked) {
  const auto found = relay.models.find(asked.model);
  return found == relay.models.end() ? asked.model : found->second;
}

std::string renamed_body(const relay_member& relay, const request& asked) {
  const auto found = relay.models.find(asked.model);
  if (found == relay.models.end()) return {};
  const std::string& body = asked.body;
  std::string renamed;
  std::size_t copied = 0;
  for (const auto& member : json_object(body)) {
    if (!is_named(member, "model")) continue;
    const std::size_t value = member.end - member.value.size();
    renamed.append(body, copied, value - copied);
    append_json_quoted(renamed, found->second);
    copied = member.end;
  }
  return renamed.append(body, copied);
}

}  // namespace sluice
