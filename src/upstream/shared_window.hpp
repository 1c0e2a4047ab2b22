#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "sluice/config.hpp"
#include "sluice/observer.hpp"
#include "upstream/limit_store.hpp"

namespace sluice {

/// The name of the window that attempts at the relay count in: the same for all that are billed to
/// one key at one origin. Tells neither.
std::string window_name(const relay_options& relay);

/// What a person is told of the process that holds a window's lock.
std::string told_of(const std::optional<lock_holder>& who);

/// The windows of one process, where other processes find them too: files of their names in
/// `pace.limit_folder`; null where that is empty. One that cannot be shared is this process's
/// alone; of the first the observer, where there is one, hears why.
class window_opener {
 public:
  window_opener(const pace_options& pace, observer* seen_by) : pace_(pace), observer_(seen_by) {}
  std::unique_ptr<limit_store> open(const std::string& name);

 private:
  const pace_options& pace_;
  observer* observer_;
  std::shared_ptr<bool> warned_ = std::make_shared<bool>(false);
  std::shared_ptr<bool> told_other_machine_ = std::make_shared<bool>(false);
};

}  // namespace sluice
