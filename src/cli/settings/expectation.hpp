#pragma once

#include <memory>
#include <string>

#include "sluice/reply_check.hpp"

namespace sluice::cli {

/// Reads the value of --expect: json, schema, schema=FILE or regex=PATTERN. Throws bad_setting.
std::shared_ptr<const reply_check> parse_expectation(const std::string& given);

}  // namespace sluice::cli
