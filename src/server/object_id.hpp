#pragma once

#include <string>
#include <string_view>

namespace sluice::server {

/// Returns a new id: the prefix ("file-", "batch_") and 24 random letters and digits from the
/// system's random generator. Thread safe. Throws std::system_error if the generator fails.
std::string new_object_id(std::string_view prefix);
/// Returns whether a client's text can be an id with this prefix. Such a text is safe as a file
/// name.
bool is_object_id(std::string_view text, std::string_view prefix) noexcept;

}  // namespace sluice::server
