#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sluice/reply_check.hpp"

namespace sluice::answers {

/// Every choice of a reply must be one JSON value.
std::shared_ptr<const reply_check> expect_json();
/// Every choice must be JSON that fits the schema in this text. Throws std::invalid_argument if the
/// schema cannot be used; its text says why in a few words.
std::shared_ptr<const reply_check> expect_schema(std::string_view schema);
/// Every choice must be JSON that fits the schema of its own request: `response_format` of a chat
/// request, `text.format` of a responses request.
std::shared_ptr<const reply_check> expect_own_schema();
/// The pattern, in RE2's syntax, must match somewhere in every choice. Throws
/// std::invalid_argument.
std::shared_ptr<const reply_check> expect_match(const std::string& pattern);

}  // namespace sluice::answers
