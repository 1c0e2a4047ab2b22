#include "account/model_list.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::account {
namespace {

/// The models as text: "id(owner) id", or "none".
std::string in_short(const std::optional<std::vector<offered_model>>& models) {
  if (!models) return "none";
  std::string all;
  for (const auto& model : *models) {
    all += (all.empty() ? "" : " ") + model.id;
    if (model.owned_by) all += "(" + *model.owned_by + ")";
  }
  return all;
}

TEST(model_list, every_shape) {
  const struct {
    const char* sentence;
    const char* body;
    const char* told;
  } rows[] = {
      {"As OpenAI has it.",
       R"({"object":"list","data":[{"id":"b","object":"model","created":1,"owned_by":"openai"},)"
       R"({"id":"a","object":"model"}]})",
       "b(openai) a"},
      {"Older relays of the new-api kind leave `object` out.",
       R"({"success":true,"data":[{"id":"a","owned_by":"x","permission":[],"root":"a"}]})", "a(x)"},
      {"Newer ones have both.",
       R"({"success":true,"object":"list","data":[{"id":"a","supported_endpoint_types":["openai"]}]})",
       "a"},
      {"A bare array of objects.", R"([{"id":"a"},{"id":"b"}])", "a b"},
      {"A bare array of names.", R"(["a","b"])", "a b"},
      {"By another name.", R"({"models":[{"id":"a"}]})", "a"},
      {"The same one twice, through two channels.", R"([{"id":"a"},{"id":"b"},{"id":"a"}])", "a b"},
      {"A null owner is none.", R"({"data":[{"id":"a","owned_by":null}]})", "a"},
      {"What is no model is passed over.", R"({"data":[{"id":"a"},null,{"name":"b"},{"id":""}]})",
       "a"},
      {"Escapes in a name.", R"({"data":[{"id":"\u8baf\u98de"}]})", "讯飞"},
      {"None at all is a list, too.", R"({"object":"list","data":[]})", ""},
      {"An error in a success.", R"({"error":{"message":"no","code":"model_not_found"}})", "none"},
      {"A refusal of the dashboard.", R"({"success":false,"message":"no","data":[{"id":"a"}]})",
       "none"},
      {"A list of something else.", R"({"object":"list","data":[{"name":"a"}]})", "none"},
      {"No list.", R"({"data":{"id":"a"}})", "none"},
      {"A page.", "<html>", "none"},
      {"Nothing.", "", "none"},
      {"Cut.", R"({"data":[{"id":"a"})", "none"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(in_short(read_model_list(row.body)), row.told) << row.sentence;
  }
}

}  // namespace
}  // namespace sluice::account
