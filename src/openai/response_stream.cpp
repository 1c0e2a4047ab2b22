#include "openai/response_stream.hpp"

#include <charconv>
#include <iterator>

#include "json_text.hpp"
#include "openai/piecewise_object.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

bool ends_stream(std::string_view type) {
  return type == "response.completed" || type == "response.incomplete" ||
         type == "response.cancelled";
}

std::size_t place_of(std::string_view index, std::size_t otherwise) {
  std::size_t place = otherwise;
  std::from_chars(index.data(), index.data() + index.size(), place);
  return place;
}

}  // namespace

chunk_meaning response_stream::add(std::string_view type, ondemand::object event) {
  bool refused = false;
  bool has_delta = false;
  std::string_view response;
  std::string_view item;
  std::string_view index;
  for (ondemand::field field : event) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "type" && is_string(value)) {
      type = inside_quotes(raw_json(value));
    } else if (key == "response") {
      response = raw_json(value);
    } else if (key == "item") {
      item = raw_json(value);
    } else if (key == "output_index") {
      index = raw_json(value);
    } else if (key == "error") {
      refused = is_truthy(raw_json(value));
    } else if (key == "success") {
      refused = refused || raw_json(value) == "false";
    } else if (key == "delta") {
      has_delta = is_string(value) && is_truthy(raw_json(value));
    }
  }
  if (refused || type == "error" || type == "response.failed") return chunk_meaning::error;
  if (has_delta && type.ends_with(".delta")) {
    ++pieces_.any;
    if (type == "response.output_text.delta") ++pieces_.content;
    if (type.starts_with("response.reasoning")) ++pieces_.reasoning;
  }
  if (type == "response.output_item.done" && item.starts_with('{')) {
    const std::size_t next = items_.empty() ? 0 : std::prev(items_.end())->first + 1;
    items_.insert_or_assign(place_of(index, next), item);
  }
  if (!ends_stream(type)) {
    return type.empty() ? chunk_meaning::stray : chunk_meaning::progress;
  }
  if (!response.starts_with('{')) return chunk_meaning::error;
  body_ = items_.empty() ? std::string(response) : with_output(response);
  return chunk_meaning::last;
}

/// The response with the items as its output, where it has none of its own.
std::string response_stream::with_output(std::string_view response) {
  std::string items = "[";
  for (const auto& [place, item] : items_) items.append(item).append(1, ',');
  close_with(items, ']');

  std::string whole = "{";
  bool missing = true;
  const auto add = [&whole](std::string_view key, std::string_view raw) {
    append_json_quoted(whole, key);
    whole.append(1, ':').append(raw).append(1, ',');
  };
  for (ondemand::field field : inner_.object(response)) {
    const std::string_view key = field.unescaped_key();
    const std::string_view raw = raw_json(field.value());
    if (key == "output") missing = false;
    if (key == "output" && is_truthy(raw)) return std::string(response);
    add(key, key == "output" ? std::string_view(items) : raw);
  }
  if (missing) add("output", items);
  close_with(whole, '}');
  return whole;
}

}  // namespace sluice::openai
