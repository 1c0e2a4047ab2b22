#include "jobs/likely_replies.hpp"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using nlohmann::json;

std::int64_t count_at(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

}  // namespace

likely_replies likely_replies_of(std::string_view totals_document) {
  likely_replies told;
  const json totals = json::parse(totals_document, nullptr, false);
  if (!totals.is_object() || !totals.contains("models") || !totals["models"].is_object())
    return told;
  if (totals.value("simulated", json(false)) == true) return told;
  for (const auto& [model, share] : totals["models"].items()) {
    if (!share.is_object() || !share.contains("tokens") || !share["tokens"].is_object()) continue;
    const std::int64_t replies = count_at(share, "requests");
    const std::int64_t tokens = count_at(share["tokens"], "completion");
    if (replies > 0 && tokens > 0) told.by_model[model] = (tokens + replies - 1) / replies;
  }
  return told;
}

}  // namespace sluice
