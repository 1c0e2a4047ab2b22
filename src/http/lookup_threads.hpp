#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace sluice {

/// A few threads for name lookups, shared by all relays that are given the same object; started
/// when they are first needed. Thread safe.
///
/// The system's resolver cannot be interrupted and may take many seconds. So neither the object's
/// end nor the program's waits for a lookup that runs: its thread is left to itself, and what has
/// not begun is dropped. What is run must not rely on anything that may be gone by then.
class lookup_threads {
 public:
  /// More lookups at once wait their turn. As many as libuv has for the same work.
  static constexpr std::size_t most = 4;

  lookup_threads();
  lookup_threads(const lookup_threads&) = delete;
  lookup_threads& operator=(const lookup_threads&) = delete;
  ~lookup_threads();

  /// Runs it on one of the threads, in the order of asking. False: there is none and none can be
  /// started. It must not throw.
  bool run(std::function<void()> lookup);

 private:
  struct shared;  // with the threads, which may outlive the object

  std::shared_ptr<shared> shared_;
};

}  // namespace sluice
