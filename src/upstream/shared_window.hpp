#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "sluice/config.hpp"
#include "sluice/observer.hpp"
#include "upstream/limit_store.hpp"

namespace sluice {

/// The name of the relay's window. All relays with the same origin and key have the same name. It
/// reveals neither of them.
std::string window_name(const relay_options& relay);

/// The warning that another process has the lock of a window.
std::string lock_warning(const std::optional<lock_holder>& who);

/// Opens the windows of this process as files in `pace.limit_folder`, so that other processes find
/// them. Not thread safe. open() returns null if the folder is empty. A window that cannot be
/// shared is private; the observer, if there is one, gets one warning about the first of them.
class window_opener {
 public:
  window_opener(const pace_options& pace, observer* listener) : pace_(pace), observer_(listener) {}
  std::unique_ptr<limit_store> open(const std::string& name);

 private:
  const pace_options& pace_;
  observer* observer_;
  std::shared_ptr<bool> warned_ = std::make_shared<bool>(false);
  std::shared_ptr<bool> warned_other_machine_ = std::make_shared<bool>(false);
};

}  // namespace sluice
