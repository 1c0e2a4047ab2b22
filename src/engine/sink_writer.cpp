#include "engine/sink_writer.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

namespace sluice {
namespace {

// Results must be on disk at most one second after they are finished.
constexpr std::chrono::seconds longest_unsynced{1};

}  // namespace

sink_writer::sink_writer(boost::asio::any_io_executor loop, clock& time, result_sink& sink,
                         std::function<void(std::exception_ptr)> failed)
    : loop_(std::move(loop)), time_(time), sink_(sink), failed_(std::move(failed)) {}

sink_writer::~sink_writer() {
  if (sync_timer_ != 0) time_.cancel(sync_timer_);
}

void sink_writer::put(result&& finished) {
  try {
    sink_.put(std::move(finished));
  } catch (...) {
    failed_(std::current_exception());
  }
  if (next_flush_) return;
  next_flush_ = std::make_shared<batch>();
  boost::asio::post(loop_, [this] { flush(); });
}

void sink_writer::flush() {
  const auto flushed = std::exchange(next_flush_, nullptr);
  try {
    sink_.flush();
  } catch (...) {
    failed_(std::current_exception());
    flushed->done = true;
    return flushed->waiting.wake_all();
  }
  if (sink_.must_be_durable()) {
    last_durable_ = flushed;
    const auto done = end_of(flushed);
    try {
      sink_.make_durable(done);
    } catch (...) {
      done(std::current_exception());
    }
    return;
  }
  sync_soon();
  flushed->done = true;
  flushed->waiting.wake_all();
}

boost::asio::awaitable<void> sink_writer::durable() {
  if (!sink_.must_be_durable()) co_return;
  const auto mine = next_flush_ ? next_flush_ : last_durable_;
  if (mine && !mine->done) co_await mine->waiting.wait();
}

boost::asio::awaitable<void> sink_writer::idle() {
  while (batches_ > 0) co_await idle_.wait();
}

void sink_writer::sync_soon() {
  if (sync_timer_ != 0) return;
  sync_timer_ = time_.call_at(time_.now() + longest_unsynced, [this] {
    sync_timer_ = 0;
    try {
      sink_.sync();
    } catch (...) {
      failed_(std::current_exception());
    }
  });
}

boost::asio::awaitable<bool> sink_writer::recorded() {
  if (!next_record_) {
    next_record_ = std::make_shared<batch>();
    boost::asio::post(loop_, [this] { begin_record(); });
  }
  const auto mine = next_record_;
  co_await mine->waiting.wait();
  co_return !mine->failed;
}

void sink_writer::begin_record() {
  const auto done = end_of(std::exchange(next_record_, nullptr));
  try {
    sink_.record(done);
  } catch (...) {
    done(std::current_exception());
  }
}

// The callback of a batch; the sink may call it from any thread.
std::function<void(std::exception_ptr)> sink_writer::end_of(std::shared_ptr<batch> written) {
  ++batches_;
  return [this, written = std::move(written)](std::exception_ptr why) {
    // It runs at once if the sink called back on this thread; then the records are written.
    boost::asio::dispatch(loop_, [this, written, why = std::move(why)] {
      if (std::exchange(written->done, true)) return;  // the sink called back and also threw
      written->failed = why != nullptr;
      if (--batches_ == 0) idle_.wake_all();
      if (why) failed_(why);
      written->waiting.wake_all();
    });
  };
}

}  // namespace sluice
