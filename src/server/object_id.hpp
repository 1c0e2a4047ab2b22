#pragma once

#include <string>
#include <string_view>

namespace sluice::server {

/// A new id: the prefix ("file-", "batch_") and 24 random letters and digits, from the system's
/// random generator. Thread safe. Throws std::system_error if there is none.
std::string new_object_id(std::string_view prefix);
/// Whether a text of a client can be an id with this prefix. Such an id is safe as a file name.
bool is_object_id(std::string_view text, std::string_view prefix) noexcept;

}  // namespace sluice::server
