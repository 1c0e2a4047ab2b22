#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Server-sent events from bytes cut anywhere: WHATWG HTML §9.2.6, less `id` and `retry`, which a
/// one-shot reply has no use for. Lines end with LF, CRLF or CR and with nothing else; several
/// `data` lines join with LF; comments and events without data are passed over.
///
/// A line that begins with `{` or `<` is no line of a stream: some relays write their errors, or a
/// page, into one without saying `data`. It is handed on with all that was fed behind it, and ends
/// the parsing; what comes later is for the caller to read.
///
/// Pure; not thread safe. Memory: one event. An event that lies whole in the bytes of one feed() is
/// handed on without a copy.
class sse_parser {
 public:
  struct event {
    std::string_view type;  ///< the `event` field; empty: none given
    std::string_view data;  ///< valid until the next call
    bool raw = false;       ///< no event: what the relay wrote in place of one, up to here
  };

  /// Takes in bytes; `sink(event)` is called for every event they complete and returns false to
  /// stop there (the rest of the bytes is dropped). False: the sink stopped, or what came is raw.
  template <typename Sink>
  bool feed(std::string_view bytes, Sink&& sink) {
    if (bytes.empty()) return true;
    line_cutter lines(after_line_feed(after_byte_order_mark(bytes)));
    bool first = true;
    for (;;) {
      const bool at_line_start = !first || carried_.empty();
      if (at_line_start && begins_raw_text(lines.rest())) return hand_on(lines.rest(), sink);
      const auto line = lines.next();
      if (!line) break;
      if (!take_line(first ? whole_line(*line) : *line, sink)) return false;
      first = false;
    }
    after_cr_ = lines.ended_with_cr();
    keep(lines.rest(), first);
    return true;
  }

  /// The bytes have ended: an event that only lacks its blank line is given out.
  template <typename Sink>
  bool finish(Sink&& sink) {
    if (!carried_.empty() && !take_line(carried_, sink)) return false;
    return take_line({}, sink);
  }

  /// Bytes that are kept of what is not whole.
  std::size_t held() const noexcept { return carried_.size() + joined_.size(); }

 private:
  /// Cuts lines off the front of a text, looking at each byte once for each kind of line end.
  class line_cutter {
   public:
    explicit line_cutter(std::string_view text)
        : text_(text), lf_(text.find('\n')), cr_(text.find('\r')) {}

    /// The next line without its end; nothing when the rest has no line end.
    std::optional<std::string_view> next() {
      const std::size_t end = std::min(lf_, cr_);
      if (end == std::string_view::npos) return std::nullopt;
      const std::string_view line = text_.substr(begin_, end - begin_);
      begin_ = end + 1;
      if (end == cr_) {
        ended_with_cr_ = begin_ == text_.size();
        if (lf_ == begin_) ++begin_;
        cr_ = text_.find('\r', begin_);
      }
      if (lf_ < begin_) lf_ = text_.find('\n', begin_);
      return line;
    }
    std::string_view rest() const { return text_.substr(begin_); }
    /// The last line ended with a CR that was the last byte: an LF may follow and belongs to it.
    bool ended_with_cr() const { return ended_with_cr_; }

   private:
    std::string_view text_;
    std::size_t begin_ = 0;
    std::size_t lf_;
    std::size_t cr_;
    bool ended_with_cr_ = false;
  };

  template <typename Sink>
  bool take_line(std::string_view line, Sink& sink) {
    if (!line.empty()) {
      take_field(line);
      return true;
    }
    const bool go_on =
        !has_data_ || sink(event{type_, joined_in_use_ ? std::string_view(joined_) : data_});
    forget_event();
    if (!go_on) carried_.clear();
    return go_on;
  }

  /// Hands on raw text, and before it an event that only lacks its blank line.
  template <typename Sink>
  bool hand_on(std::string_view text, Sink& sink) {
    if (take_line({}, sink)) {
      carried_.clear();
      sink(event{{}, text, true});
    }
    return false;
  }

  static bool begins_raw_text(std::string_view line) {
    return line.starts_with('{') || line.starts_with('<');
  }
  std::string_view after_byte_order_mark(std::string_view bytes);
  std::string_view after_line_feed(std::string_view bytes) const;
  /// The first line of a read, with what earlier reads had of it.
  std::string_view whole_line(std::string_view line);
  void take_field(std::string_view line);
  void take_data(std::string_view value);
  /// Copies what must outlive the bytes of this read.
  void keep(std::string_view rest, bool first_line_is_open);
  void forget_event();

  std::size_t mark_bytes_ = 0;  ///< of a byte order mark, seen so far
  bool at_start_ = true;
  bool after_cr_ = false;
  std::string carried_;  ///< the start of a line that is not whole yet
  std::string type_;
  std::string_view data_;  ///< the only data line so far, where it was read
  std::string joined_;     ///< the data lines, once a copy is needed
  bool joined_in_use_ = false;
  bool has_data_ = false;
};

}  // namespace sluice
