#pragma once

#include "base/language.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {

/// The language that LC_ALL, LC_MESSAGES or LANG asks for.
language language_of_environment();
/// The language for the error that ends a command with these settings, whether they were applied
/// or the error is about one of them: --lang, else the config file, else the environment. English
/// where the log is JSON.
language language_of_error(const settings& flags);

}  // namespace sluice::cli
