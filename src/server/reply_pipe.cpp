#include "server/reply_pipe.hpp"

#include <algorithm>

namespace sluice::server {
namespace {

constexpr std::string_view end_mark = "[DONE]";

}  // namespace

void reply_pipe::on_head(const response_head& head) {
  head_ = head;
  stream_ =
      head.fields.last("Content-Type").value_or("").find("event-stream") != std::string_view::npos;
  news_.wake_all();
  if (!is_error() && begin_) std::exchange(begin_, nullptr)();
}

void reply_pipe::on_body(std::string_view bytes) {
  if (is_error()) {
    bytes_.append(bytes.substr(0, longest_error - std::min(longest_error, bytes_.size())));
    return;
  }
  bytes_.append(bytes);
  if (stream_) {
    constexpr std::size_t enough = 32;  // for the end mark and its line end
    tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), enough)));
    if (tail_.size() > enough) tail_.erase(0, tail_.size() - enough);
    done_ = tail_.find(end_mark) != std::string::npos;
  }
  news_.wake_all();
}

}  // namespace sluice::server
