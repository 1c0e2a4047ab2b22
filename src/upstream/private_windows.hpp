#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

/// Windows in a folder of this process alone. When one thread cannot share the file of a window
/// with other processes, all threads of the process move this window here, so that they still keep
/// one limit together. Thread safe.
class private_windows {
 public:
  /// `make_folder` is called at the first move. It returns an empty text if there is no folder.
  explicit private_windows(std::function<std::string()> make_folder)
      : make_folder_(std::move(make_folder)) {}

  /// Whether a thread has moved the window of this name here.
  bool has(std::string_view name) const {
    if (!any_) return false;
    const std::lock_guard lock(mutex_);
    return names_.contains(name);
  }

  struct place {
    std::string folder;  ///< empty: the window cannot be here
    bool first = false;  ///< it is the first window that was moved
  };
  /// Moves the window of this name here.
  place move(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (folder_.empty()) folder_ = make_folder_();
    if (folder_.empty()) return {};
    const bool first = names_.empty();
    names_.insert(name);
    any_ = true;
    return {folder_, first};
  }

 private:
  const std::function<std::string()> make_folder_;
  mutable std::mutex mutex_;
  std::string folder_;
  std::set<std::string, std::less<>> names_;
  std::atomic<bool> any_ = false;  // some window is here
};

}  // namespace sluice
