#include "simulator/model_facts.hpp"

#include <algorithm>
#include <array>

namespace sluice::simulator {
namespace {

template <std::size_t Count>
bool begins_with_one_of(std::string_view model, const std::array<std::string_view, Count>& names) {
  return std::any_of(names.begin(), names.end(),
                     [model](std::string_view name) { return model.starts_with(name); });
}

}  // namespace

std::optional<vocabulary> vocabulary_of(std::string_view model) {
  static constexpr std::array<std::string_view, 8> o200k{
      "gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "o1", "o3", "o4", "chatgpt-4o"};
  static constexpr std::array<std::string_view, 3> cl100k{"gpt-3.5", "gpt-4", "text-embedding-"};
  if (begins_with_one_of(model, o200k)) return vocabulary::o200k_base;
  if (begins_with_one_of(model, cl100k)) return vocabulary::cl100k_base;
  return std::nullopt;
}

const tokenizer* tokenizer_of(std::string_view model) {
  const auto vocabulary = vocabulary_of(model);
  return vocabulary ? tokenizer::of(*vocabulary) : nullptr;
}

thinking thinking_of(std::string_view model) {
  static constexpr std::array<std::string_view, 2> shown{"deepseek-reasoner", "qwq"};
  static constexpr std::array<std::string_view, 3> hidden{"o1", "o3", "o4"};
  if (begins_with_one_of(model, shown)) return thinking::shown;
  if (begins_with_one_of(model, hidden)) return thinking::hidden;
  if (model.starts_with("gpt-5") && model.find("chat") == std::string_view::npos)
    return thinking::hidden;
  return thinking::none;
}

bool is_easily_fooled(std::string_view model) {
  return model.starts_with("gpt-3.5");
}

}  // namespace sluice::simulator
