#include "account/model_list.hpp"

#include <set>
#include <utility>

#include "account/answer_object.hpp"
#include "json/json_members.hpp"
#include "json/json_text.hpp"

namespace sluice::account {
namespace {

std::optional<std::vector<std::string_view>> elements_of(std::string_view body) {
  if (json_fault(body)) return std::nullopt;
  if (auto bare = json_elements(body)) return bare;
  const auto answer = answer_object::of_value(body);
  if (!answer || is_refusal(*answer)) return std::nullopt;
  auto listed = answer->list("data");
  return listed ? listed : answer->list("models");
}

std::optional<offered_model> read_model(std::string_view element) {
  if (auto name = json_string(element)) return offered_model{std::move(*name), {}};
  const auto model = answer_object::of_value(element);
  auto id = model ? model->text("id") : std::nullopt;
  if (!id) return std::nullopt;
  return offered_model{std::move(*id), model->text("owned_by")};
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
  // A list of something else.
  if (models.empty() && !elements->empty()) return std::nullopt;
  return models;
}

}  // namespace sluice::account
