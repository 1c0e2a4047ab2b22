#include "openai/chunk.hpp"

#include <bit>
#include <cstring>

#include "json_text.hpp"

namespace sluice::openai {

namespace ondemand = simdjson::ondemand;

ondemand::object chunk_reader::object(std::string_view text) {
  load(text);
  auto document = parser_.iterate(padded_.data(), text.size(), padded_.size());
  if (document.error() == simdjson::UTF8_ERROR) {
    const std::string repaired = valid_utf8(std::string(text));
    load(repaired);
    document = parser_.iterate(padded_.data(), repaired.size(), padded_.size());
  }
  document_ = std::move(document).value();
  return document_.get_object();
}

void chunk_reader::expect_end() {
  if (document_.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    throw simdjson::simdjson_error(simdjson::TAPE_ERROR);
  }
}

/// Sizes grow by doubling: the chunks of a stream are each a little longer than the one before.
void chunk_reader::load(std::string_view text) {
  const std::size_t needed = text.size() + simdjson::SIMDJSON_PADDING;
  if (padded_.size() < needed) {
    padded_.resize(std::bit_ceil(needed));
    if (const auto error = parser_.allocate(padded_.size())) throw simdjson::simdjson_error(error);
  }
  std::memcpy(padded_.data(), text.data(), text.size());
}

std::string_view raw_json(ondemand::value& value) {
  return simdjson::to_json_string(value).value();
}

std::string_view inside_quotes(std::string_view raw) {
  if (raw.size() < 2 || raw.front() != '"' || raw.back() != '"') {
    throw simdjson::simdjson_error(simdjson::STRING_ERROR);
  }
  return raw.substr(1, raw.size() - 2);
}

bool is_truthy(std::string_view raw) {
  if (raw.starts_with('{') || raw.starts_with('[')) {
    return raw.find_first_not_of(" \t\r\n", 1) != raw.size() - 1;
  }
  return raw != "null" && raw != "false" && raw != "\"\"" && raw != "0";
}

bool is_string(ondemand::value& value) {
  return value.type() == ondemand::json_type::string;
}
bool is_null(ondemand::value& value) {
  return value.type() == ondemand::json_type::null;
}

}  // namespace sluice::openai
