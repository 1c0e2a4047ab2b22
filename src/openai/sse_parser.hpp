#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Parses server-sent events from bytes that may be cut at any position: WHATWG HTML §9.2.6,
/// without `id` and `retry`, which only matter for reconnecting. Lines end only with LF, CRLF or
/// CR; several `data` lines are joined with LF; comments and events without data are skipped.
///
/// A line that begins with `{` or `<` does not belong to an event stream. Some relays write an
/// error or a web page into a stream without `data:`. The line and all bytes after it in that
/// feed() are passed on as raw text, and the parsing ends; the caller reads later bytes itself.
///
/// Pure; not thread safe. Memory: one event. An event that is complete within the bytes of one
/// feed() is passed on without a copy.
class sse_parser {
 public:
  struct event {
    std::string_view type;  ///< the `event` field; empty: it has none
    std::string_view data;  ///< valid until the next call
    bool raw = false;       ///< not an event, but what the relay wrote instead of one, so far
  };

  /// Parses bytes. `sink(event)` is called for every completed event; if it returns false, the rest
  /// of the bytes is dropped. Returns false if the sink stopped or raw text came.
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

  /// The input has ended: passes on the last event even if its blank line is missing.
  template <typename Sink>
  bool finish(Sink&& sink) {
    if (!carried_.empty() && !take_line(carried_, sink)) return false;
    return take_line({}, sink);
  }

  /// Bytes in memory that belong to incomplete lines and events.
  std::size_t held() const noexcept { return carried_.size() + joined_.size(); }

 private:
  /// Splits lines from the beginning of a text. Looks at each byte once for each kind of line end.
  class line_cutter {
   public:
    explicit line_cutter(std::string_view text)
        : text_(text), lf_(text.find('\n')), cr_(text.find('\r')) {}

    /// The next line without its line end; nullopt if the rest contains no line end.
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
    /// The last line ended with a CR that was the last byte. If an LF follows, it belongs to this
    /// line end.
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

  /// Passes on raw text. If an event before it lacks only its blank line, passes on that event
  /// first.
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
  /// The first line of a read, together with its beginning from earlier reads.
  std::string_view whole_line(std::string_view line);
  void take_field(std::string_view line);
  void take_data(std::string_view value);
  /// Copies everything that is still needed after this read.
  void keep(std::string_view rest, bool first_line_is_open);
  void forget_event();

  std::size_t mark_bytes_ = 0;  ///< bytes of a byte order mark seen so far
  bool at_start_ = true;
  bool after_cr_ = false;
  std::string carried_;  ///< the beginning of a line that is not complete yet
  std::string type_;
  std::string_view data_;  ///< the only data line so far, not copied
  std::string joined_;     ///< the data lines, if a copy was needed
  bool joined_in_use_ = false;
  bool has_data_ = false;
};

}  // namespace sluice
