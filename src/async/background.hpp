#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice {

/// Threads for work that blocks: disk, database, long calculations. A coroutine of the event loop
/// waits for the end of its work; meanwhile the loop continues. Not thread safe: use it on the
/// event loop's thread; only the work itself runs elsewhere. Work begins in the order of the calls.
class background {
 public:
  /// `threads`: number of threads. 0: work runs at once on the caller's thread, so that tests in
  /// virtual time are repeatable.
  background(boost::asio::io_context& loop, std::size_t threads);
  /// Waits for work that has begun. Work that has not begun is dropped, and its coroutine never
  /// resumes.
  ~background();
  background(const background&) = delete;
  background& operator=(const background&) = delete;

  /// Runs `work` and returns what it returns, or throws what it throws. Asio's cancellation has no
  /// effect.
  template <typename Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> run(Work work) {
    using result = std::invoke_result_t<Work&>;
    if constexpr (std::is_void_v<result>) {
      co_await run_erased([&work] { work(); });
    } else {
      std::optional<result> value;
      co_await run_erased([&] { value.emplace(work()); });
      co_return *std::move(value);
    }
  }

 private:
  boost::asio::awaitable<void> run_erased(std::function<void()> work);

  struct parts;
  std::shared_ptr<parts> parts_;
};

}  // namespace sluice
