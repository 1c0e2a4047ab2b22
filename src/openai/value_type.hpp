#pragma once

#include <simdjson.h>

namespace sluice::openai {

inline bool is_object(simdjson::ondemand::value& value) {
  return value.type() == simdjson::ondemand::json_type::object;
}

inline bool is_array(simdjson::ondemand::value& value) {
  return value.type() == simdjson::ondemand::json_type::array;
}

}  // namespace sluice::openai
