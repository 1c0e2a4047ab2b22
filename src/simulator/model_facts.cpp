#include "simulator/model_facts.hpp"

#include <algorithm>
#include <array>

namespace sluice::simulator {
namespace {

using std::string_view_literals::operator""sv;

template <std::size_t Count>
bool begins_with_one_of(std::string_view model, const std::array<std::string_view, Count>& names) {
  return std::any_of(names.begin(), names.end(),
                     [model](std::string_view name) { return model.starts_with(name); });
}

}  // namespace

std::optional<vocabulary> vocabulary_of(std::string_view model) {
  static constexpr std::array o200k{"gpt-4o"sv, "gpt-4.1"sv, "gpt-4.5"sv, "gpt-5"sv,
                                    "o1"sv,     "o3"sv,      "o4"sv,      "chatgpt-4o"sv};
  static constexpr std::array cl100k{"gpt-3.5"sv, "gpt-4"sv, "text-embedding-"sv};
  if (begins_with_one_of(model, o200k)) return vocabulary::o200k_base;
  if (begins_with_one_of(model, cl100k)) return vocabulary::cl100k_base;
  return std::nullopt;
}

const tokenizer* tokenizer_of(std::string_view model) {
  const auto known = vocabulary_of(model);
  return known ? tokenizer::of(*known) : nullptr;
}

thinking thinking_of(std::string_view model) {
  if (begins_with_one_of(model, std::array{"deepseek-reasoner"sv, "qwq"sv})) return thinking::shown;
  if (begins_with_one_of(model, std::array{"o1"sv, "o3"sv, "o4"sv})) return thinking::hidden;
  if (model.starts_with("gpt-5") && model.find("chat") == std::string_view::npos)
    return thinking::hidden;
  return thinking::none;
}

bool is_easily_fooled(std::string_view model) {
  return model.starts_with("gpt-3.5");
}

}  // namespace sluice::simulator
