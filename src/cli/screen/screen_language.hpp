#pragma once

#include "base/language.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {

/// The language that LC_ALL, LC_MESSAGES or LANG selects.
language language_of_environment();
/// The language for the error that ends a command with these settings: --lang, otherwise the config
/// file, otherwise the environment. It works even if the error is about one of these settings.
/// English if the log is JSON.
language language_of_error(const settings& flags);

}  // namespace sluice::cli
