#include "server/api_objects.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

namespace sluice::server {
namespace {

using nlohmann::ordered_json;

template <typename Value>
ordered_json value_or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json errors_of(const store::batch_record& batch) {
  if (batch.errors.empty()) return nullptr;
  ordered_json list = ordered_json::array();
  for (const auto& error : batch.errors) {
    list.push_back({{"code", error.code},
                    {"message", error.message},
                    {"param", value_or_null(error.param)},
                    {"line", value_or_null(error.line)}});
  }
  return {{"object", "list"}, {"data", std::move(list)}};
}

ordered_json usage_of(const store::batch_usage& usage) {
  return {{"input_tokens", usage.input_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.output_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.total_tokens}};
}

ordered_json sluice_part(const store::batch_record& batch, const std::string& waits) {
  ordered_json part = {
      {"cost_usd", batch.progress.cost.to_string()},
      {"unpriced_requests", batch.progress.unpriced},
      {"estimate", batch.estimate.empty() ? ordered_json() : ordered_json::parse(batch.estimate)}};
  if (batch.priority != 0) part["priority"] = batch.priority;
  if (batch.retry_of) part["retry_of"] = *batch.retry_of;
  if (!waits.empty()) part["waits"] = waits;
  return part;
}

}  // namespace

ordered_json file_object(const store::file_record& file) {
  ordered_json object = {{"id", file.id},
                         {"object", "file"},
                         {"bytes", file.bytes},
                         {"created_at", file.created_at},
                         {"filename", file.filename},
                         {"purpose", file.purpose},
                         {"status", "processed"},
                         {"status_details", nullptr}};
  if (file.expires_at) object["expires_at"] = *file.expires_at;
  return object;
}

ordered_json batch_object(const store::batch_record& batch, const std::string& waits) {
  const auto& counts = batch.progress.counts;
  ordered_json metadata;
  if (batch.has_metadata) {
    metadata = ordered_json::object();
    for (const auto& [key, value] : batch.metadata) metadata[key] = value;
  }
  ordered_json object = {
      {"id", batch.id},
      {"object", "batch"},
      {"endpoint", batch.endpoint},
      {"errors", errors_of(batch)},
      {"input_file_id", batch.input_file_id},
      {"completion_window", batch.completion_window},
      {"status", store::name_of(batch.status)},
      {"output_file_id", value_or_null(batch.output_file_id)},
      {"error_file_id", value_or_null(batch.error_file_id)},
      {"created_at", batch.created_at},
      {"in_progress_at", value_or_null(batch.in_progress_at)},
      {"expires_at", batch.expires_at},
      {"finalizing_at", value_or_null(batch.finalizing_at)},
      {"completed_at", value_or_null(batch.completed_at)},
      {"failed_at", value_or_null(batch.failed_at)},
      {"expired_at", value_or_null(batch.expired_at)},
      {"cancelling_at", value_or_null(batch.cancelling_at)},
      {"cancelled_at", value_or_null(batch.cancelled_at)},
      {"request_counts",
       {{"total", counts.total}, {"completed", counts.completed}, {"failed", counts.failed}}},
      {"usage", usage_of(batch.progress.usage)},
      {"metadata", std::move(metadata)}};
  if (batch.model) object["model"] = *batch.model;
  object["sluice"] = sluice_part(batch, waits);
  return object;
}

ordered_json list_object(const std::vector<ordered_json>& data, bool has_more) {
  ordered_json list = {{"object", "list"}, {"data", data}};
  list["first_id"] = data.empty() ? ordered_json() : data.front().at("id");
  list["last_id"] = data.empty() ? ordered_json() : data.back().at("id");
  list["has_more"] = has_more;
  return list;
}

}  // namespace sluice::server
