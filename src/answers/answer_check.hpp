#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sluice/reply_check.hpp"

namespace sluice::answers {

/// Every choice of a reply must be one JSON value.
std::shared_ptr<const reply_check> expect_json();
/// Every choice must be JSON that fits the schema in this text. Throws std::invalid_argument whose
/// text says in a few words why the schema cannot be used.
std::shared_ptr<const reply_check> expect_schema(std::string_view schema);
/// Every choice must be JSON that fits the schema of its own request: `response_format` of a chat,
/// `text.format` of a response.
std::shared_ptr<const reply_check> expect_own_schema();
/// The pattern must match somewhere in every choice. RE2's syntax. Throws std::invalid_argument.
std::shared_ptr<const reply_check> expect_match(const std::string& pattern);

}  // namespace sluice::answers
