#include "openai/response_stream.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

bool ends_stream(std::string_view type) {
  return type == "response.completed" || type == "response.incomplete" ||
         type == "response.cancelled";
}

}  // namespace

chunk_meaning response_stream::add(std::string_view type, ondemand::object event) {
  bool refused = false;
  bool has_delta = false;
  std::string_view response;
  for (ondemand::field field : event) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "type" && is_string(value)) {
      type = inside_quotes(raw_json(value));
    } else if (key == "response") {
      response = raw_json(value);
    } else if (key == "error") {
      refused = is_truthy(raw_json(value));
    } else if (key == "success") {
      refused = refused || raw_json(value) == "false";
    } else if (key == "delta") {
      has_delta = is_string(value) && is_truthy(raw_json(value));
    }
  }
  if (refused || type == "error" || type == "response.failed") return chunk_meaning::error;
  if (type.ends_with(".delta")) content_began_ = content_began_ || has_delta;
  if (!ends_stream(type)) {
    return type.empty() ? chunk_meaning::stray : chunk_meaning::progress;
  }
  if (!response.starts_with('{')) return chunk_meaning::error;
  body_ = response;
  return chunk_meaning::last;
}

}  // namespace sluice::openai
