#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// Server-sent events from bytes cut anywhere: WHATWG HTML §9.2.6, less `id` and `retry`, which a
/// one-shot reply has no use for. Lines end with LF, CRLF or CR and with nothing else; several `data`
/// lines join with LF; comments and events without data are passed over.
///
/// Pure; not thread safe. Memory: one event.
class sse_parser {
 public:
  struct event {
    std::string_view type;  ///< the `event` field; empty: none given
    std::string_view data;  ///< valid until the next call
  };

  /// Takes in bytes; `sink(event)` is called for every event they complete and returns false to stop
  /// there (the rest of the bytes is dropped).
  template <typename Sink>
  bool feed(std::string_view bytes, Sink&& sink);

  /// The bytes have ended: an event that only lacks its blank line is given out.
  template <typename Sink>
  bool finish(Sink&& sink);
};

}  // namespace sluice
