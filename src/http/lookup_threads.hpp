#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace sluice {

/// A few threads for name lookups. Thread safe. All relays that get the same object share them;
/// they start when they are first needed.
///
/// The system's resolver cannot be interrupted and may take many seconds. So neither the destructor
/// nor the end of the program waits for a running lookup: its thread is detached. Lookups that have
/// not begun are dropped. A lookup must not use objects that may be destroyed before it ends.
class lookup_threads {
 public:
  /// Maximum number of threads; libuv uses the same. Further lookups wait in a queue.
  static constexpr std::size_t most = 4;

  lookup_threads();
  lookup_threads(const lookup_threads&) = delete;
  lookup_threads& operator=(const lookup_threads&) = delete;
  ~lookup_threads();

  /// Runs `lookup`, which must not throw, on one of the threads. Lookups run in the order of the
  /// calls. Returns false if no thread can be started.
  bool run(std::function<void()> lookup);

 private:
  struct shared;  // shared with the threads, which may outlive this object

  std::shared_ptr<shared> shared_;
};

}  // namespace sluice
