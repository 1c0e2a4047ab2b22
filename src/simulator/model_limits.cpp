#include "simulator/model_limits.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace sluice::simulator {
namespace {

/// Models with at most this context length limit only the sum of prompt and completion.
constexpr std::uint64_t largest_shared = 8192;

api_error too_long(std::uint64_t context, const std::string& reason) {
  return {
      400,
      fmt::format("This model's maximum context length is {} tokens. However, {}", context, reason),
      "context_length_exceeded", "invalid_request_error"};
}

}  // namespace

model_limits::model_limits(std::string_view json) {
  const auto table = nlohmann::json::parse(json, nullptr, false);
  if (!table.is_object() || !table.contains("models"))
    throw std::runtime_error("the price list is no JSON object of format 2");
  for (const auto& [model, row] : table.at("models").items()) {
    const auto limit = [&row = row](const char* name) -> std::uint64_t {
      const auto value = row.find(name);
      return value != row.end() && value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
    };
    const auto context = limit("max_input") > 0 ? limit("max_input") : limit("context");
    const window known{context, limit("max_output")};
    if (known.context == 0 || known.completion == 0) continue;
    windows_.emplace(model, known);
    for (const auto& alias : row.value("aliases", nlohmann::json::array())) {
      windows_.emplace(alias.get<std::string>(), known);
    }
  }
}

std::optional<api_error> model_limits::refusal_of(const inference_request& request) const {
  const auto found = windows_.find(request.serving_model);
  if (found == windows_.end() || request.to == endpoint::embeddings) return std::nullopt;
  const auto [context, completion] = found->second;
  const auto prompt = request.prompt_tokens;
  if (prompt > context)
    return too_long(context, fmt::format("your messages resulted in {} tokens. Please reduce the "
                                         "length of the messages.",
                                         prompt));
  if (request.limit_name.empty()) return std::nullopt;

  const auto requested = *request.max_tokens;
  if (context <= largest_shared) {
    if (requested <= context - prompt) return std::nullopt;
    return too_long(context, fmt::format("you requested {} tokens ({} in the messages, {} in the "
                                         "completion). Please reduce the length of the messages or "
                                         "completion.",
                                         prompt + requested, prompt, requested));
  }
  if (requested <= completion) return std::nullopt;
  return api_error{400,
                   fmt::format("{0} is too large: {1}. This model supports at most {2} completion "
                               "tokens, whereas you provided {1}.",
                               request.limit_name, requested, completion),
                   "invalid_value", "invalid_request_error"};
}

}  // namespace sluice::simulator
