#include "http/lookup_threads.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace sluice {

struct lookup_threads::shared {
  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      wake.wait(lock, [&] { return ended || !waiting.empty(); });
      --idle;
      if (ended) return;
      const auto lookup = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      lookup();
      lock.lock();
    }
  }

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> waiting;
  std::size_t threads = 0;
  std::size_t idle = 0;
  bool ended = false;
};

lookup_threads::lookup_threads() : shared_(std::make_shared<shared>()) {}

lookup_threads::~lookup_threads() {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->ended = true;
    dropped.swap(shared_->waiting);
  }
  shared_->wake.notify_all();
}

bool lookup_threads::run(std::function<void()> lookup) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->idle <= shared_->waiting.size() && shared_->threads < most) {
    try {
      std::thread([state = shared_] { state->work(); }).detach();
      ++shared_->threads;
    } catch (const std::system_error&) {  // no thread can be started
      if (shared_->threads == 0) return false;
    }
  }
  shared_->waiting.push_back(std::move(lookup));
  shared_->wake.notify_one();
  return true;
}

}  // namespace sluice
