#pragma once

#include <string>
#include <string_view>

namespace sluice::cli {

/// The API key in a text that a person copied: without spaces around it, without quotes, without
/// `Bearer ` or `Authorization:` before it, and without the `NAME=` of a .env file. The result may
/// still not be a key; config::check_relays() refuses that.
std::string key_in(std::string_view text);

/// The API key in the content of a key file: in its first line, or in a .env file in the first line
/// with the name of a key. Throws bad_setting.
std::string key_in_file(std::string_view content);

}  // namespace sluice::cli
