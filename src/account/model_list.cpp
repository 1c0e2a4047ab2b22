#include "account/model_list.hpp"

#include <set>
#include <utility>

#include "account/lenient_values.hpp"
#include "json/text.hpp"

namespace sluice::account {
namespace {

std::optional<std::vector<std::string_view>> elements_of(std::string_view body) {
  if (json_fault(body)) return std::nullopt;
  if (auto bare = json_elements(body)) return bare;
  const json_object answer(body);
  if (is_refusal(answer)) return std::nullopt;
  auto listed = json_elements(answer.value("data"));
  return listed ? listed : json_elements(answer.value("models"));
}

std::optional<offered_model> read_model(std::string_view element) {
  if (auto name = json_string(element)) return offered_model{std::move(*name), {}};
  const json_object model(element);
  auto id = model.text("id");
  if (!id) return std::nullopt;
  return offered_model{std::move(*id), model.text("owned_by")};
}

}  // namespace

std::optional<std::vector<offered_model>> read_model_list(std::string_view body) {
  const auto elements = elements_of(body);
  if (!elements) return std::nullopt;
  std::vector<offered_model> models;
  std::set<std::string> seen;
  for (const auto element : *elements) {
    auto model = read_model(element);
    if (model && !model->id.empty() && seen.insert(model->id).second) {
      models.push_back(std::move(*model));
    }
  }
  // It is a list of something else.
  if (models.empty() && !elements->empty()) return std::nullopt;
  return models;
}

}  // namespace sluice::account
