#pragma once

#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace sluice {

/// How many threads a task of this program should use at most for reading its files. More threads
/// would wait for the one that puts the results together.
inline unsigned reading_threads() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
}

/// Turns inputs into results on several threads, and passes the results on in the order of the
/// inputs. All calls, and all calls of `take`, are on one thread; `work` is called on any thread.
///
/// A single input is worked on by the calling thread. If an exception leaves `work` or `take`, it
/// leaves add() or finish(); the object then takes no more inputs.
template <typename Input, typename Result>
class ordered_tasks {
 public:
  ordered_tasks(unsigned threads, std::function<Result(Input)> work,
                std::function<void(Result)> take)
      : most_threads_(threads), work_(std::move(work)), take_(std::move(take)) {}
  ordered_tasks(const ordered_tasks&) = delete;
  ordered_tasks& operator=(const ordered_tasks&) = delete;
  ~ordered_tasks() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      waiting_.clear();
    }
    changed_.notify_all();
  }

  /// Takes the first result, if many inputs are ahead of it.
  void add(Input next) {
    if (last_) begin(*std::exchange(last_, std::nullopt));
    last_ = std::move(next);
  }

  /// Takes all results that are left.
  void finish() {
    if (!last_) return;
    Result end = work_(*std::exchange(last_, std::nullopt));
    while (!results_.empty()) take_first();
    take_(std::move(end));
    // Each thread has its own memory pool. Without this call, the pools would keep what was freed
    // in them until the process ends.
    if (!threads_.empty()) ::malloc_trim(0);
  }

 private:
  using task = std::packaged_task<Result()>;

  void begin(Input next) {
    task fresh([this, input = std::move(next)]() mutable { return work_(std::move(input)); });
    results_.push_back(fresh.get_future());
    if (threads_.size() < most_threads_) start_thread();
    if (threads_.empty()) {
      fresh();
    } else {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(fresh));
    }
    changed_.notify_one();
    // Each thread has one more task waiting, so that it need not wait for this thread.
    if (results_.size() > 2 * threads_.size()) take_first();
  }

  void take_first() {
    std::future<Result> first = std::move(results_.front());
    results_.pop_front();
    take_(first.get());
  }

  void start_thread() {
    try {
      threads_.emplace_back([this] { run_tasks(); });
    } catch (const std::system_error&) {
      // The system gives no more threads. The tasks wait for those that there are.
    }
  }

  void run_tasks() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !waiting_.empty(); });
      if (ended_) return;
      task next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next();
      lock.lock();
    }
  }

  const std::size_t most_threads_;
  const std::function<Result(Input)> work_;
  const std::function<void(Result)> take_;
  std::optional<Input> last_;                // not begun, because it may be the only one
  std::deque<std::future<Result>> results_;  // of all that were begun and not taken

  std::mutex mutex_;  // for the next two
  std::deque<task> waiting_;
  bool ended_ = false;
  std::condition_variable changed_;
  std::vector<std::jthread> threads_;  // last member: they use the others until they end
};

}  // namespace sluice
