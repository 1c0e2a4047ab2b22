#include "async/background.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice {
namespace asio = boost::asio;

struct background::parts {
  parts(asio::io_context& context, std::size_t threads) : loop(context) {
    if (threads > 0) pool.emplace(threads);
  }
  asio::io_context& loop;
  std::optional<asio::thread_pool> pool;
};

background::background(asio::io_context& loop, std::size_t threads)
    : parts_(std::make_shared<parts>(loop, threads)) {}

background::~background() {
  if (!parts_->pool) return;
  parts_->pool->stop();
  parts_->pool->join();
}

asio::awaitable<void> background::run_erased(std::function<void()> work) {
  if (!parts_->pool) {
    work();
    co_return;
  }
  const auto kept = parts_;
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(
      [&](auto done) {
        asio::post(*kept->pool, [&work, &loop = kept->loop, done = std::move(done),
                                 busy = asio::make_work_guard(kept->loop)]() mutable {
          std::exception_ptr fault;
          try {
            work();
          } catch (...) {
            fault = std::current_exception();
          }
          asio::post(loop, [done = std::move(done), fault]() mutable { std::move(done)(fault); });
        });
      },
      asio::use_awaitable);
}

}  // namespace sluice
