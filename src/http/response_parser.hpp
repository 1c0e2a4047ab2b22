#pragma once

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/content_decoder.hpp"
#include "http/exchange.hpp"
#include "http/lenient_framing.hpp"

namespace sluice {

/// Beast's HTTP/1.1 parser, without storage: body pieces go directly to the handler. Not thread
/// safe; one object for each response. Beast refuses ambiguous framing; mended_head() and
/// lenient_chunks read it as curl does.
class response_parser final : public boost::beast::http::basic_parser<false> {
 public:
  using error_code = boost::system::error_code;
  static constexpr std::uint32_t longest_header = 256 * 1024;

  /// `mended`: the head was repaired by mended_head().
  explicit response_parser(response_handler& handler, bool mended = false)
      : handler_(handler), mended_(mended) {
    eager(true);
    header_limit(longest_header);
    body_limit(boost::none);  // the reply reader has its own limit
  }

  /// Parses a complete head.
  void put_head(boost::asio::const_buffer head, error_code& error) {
    head_.fields.reserve(head.size());
    put(head, error);
  }

  /// Parses bytes of the body; returns the number of bytes consumed. need_more is not an error
  /// here.
  std::size_t put_body(boost::asio::const_buffer bytes, error_code& error) {
    std::size_t consumed = 0;
    if (!chunks_) {
      consumed = put(bytes, error);
      const std::string_view rest(static_cast<const char*>(bytes.data()) + consumed,
                                  bytes.size() - consumed);
      if (error == boost::beast::http::error::need_more) error = {};
      // What Beast leaves of a chunked body is an incomplete line, or a line that it refuses.
      if (!chunked() || is_done() || (!error && !has_bare_end(rest))) return consumed;
      chunks_.emplace(behind_chunk_);
    }
    const std::string_view rest(static_cast<const char*>(bytes.data()) + consumed,
                                bytes.size() - consumed);
    consumed += chunks_->put(rest, [this](std::string_view piece) {
      take({piece.data(), piece.size()});
    });
    if (chunks_->done()) end_body();
    if (!chunks_->broken()) {
      error = {};
    } else if (!error) {
      error = boost::beast::http::error::bad_chunk;
    }
    return consumed;
  }

  /// The whole response has arrived, and was passed to the handler.
  bool finished() const { return (chunks_ ? chunks_->done() : is_done()) && !paused(); }
  /// Some input is still compressed, because the handler had no room.
  bool paused() const {
    return content_.may_have_more() && bad_encoding_.empty() && need_ != body_need::nothing;
  }
  /// Decompresses more input, as far as the handler has room.
  void go_on() {
    decode([this] { unpack(); });
  }
  /// Bytes of memory in use.
  std::size_t memory() const noexcept { return content_.memory(); }
  /// The connection may serve another request.
  bool reusable() const { return !mended_ && !chunks_ && keep_alive(); }
  /// Returns whether the response has an explicit "keep-alive". In HTTP/1.1 it is the default, so
  /// most responses omit it.
  bool says_keep_alive() const noexcept { return says_keep_alive_; }

  bool interim() const noexcept { return head_.status >= 100 && head_.status < 200; }
  bool head_arrived() const noexcept { return head_arrived_; }
  body_need need() const noexcept { return need_; }
  /// The head arrived, but the body cannot be decompressed; bad_encoding() says why.
  bool undecodable() const noexcept { return head_arrived_ && !bad_encoding_.empty(); }
  const std::string& bad_encoding() const noexcept { return bad_encoding_; }

 private:
  using view = boost::beast::string_view;

  static bool has_bare_end(std::string_view line) {
    const std::size_t end = line.find('\n');
    return end != std::string_view::npos && (end == 0 || line[end - 1] != '\r');
  }

  void on_request_impl(boost::beast::http::verb, view, view, int, error_code&) override {}
  void on_response_impl(int status, view, int, error_code&) override { head_.status = status; }
  void on_field_impl(boost::beast::http::field id, view name, view value,
                     error_code& error) override {
    const std::string_view text{value.data(), value.size()};
    if (head_arrived_) return;  // trailer fields are not needed
    head_.fields.add({name.data(), name.size()}, text);
    if (id == boost::beast::http::field::connection ||
        id == boost::beast::http::field::proxy_connection) {
      says_keep_alive_ |= boost::beast::http::token_list{value}.exists("keep-alive");
    }
    if (id == boost::beast::http::field::content_encoding) {
      content_.add(text);
    } else if (id == boost::beast::http::field::transfer_encoding) {
      read_transfer_encoding(text, error);
    }
  }
  void read_transfer_encoding(std::string_view text, error_code& error) {
    constexpr std::string_view usual = "chunked";
    if (boost::beast::iequals({text.data(), text.size()}, "chunked")) return;
    // Beast would read "chunked, chunked" as not chunked.
    if (!mended_) error = boost::beast::http::error::bad_transfer_encoding;
    text.remove_suffix(std::min(text.size(), usual.size()));  // a repaired list ends with it
    content_.add(text);
  }
  void on_header_impl(error_code&) override {
    if (interim()) return;
    head_arrived_ = true;
    handler_.on_head(std::move(head_));
  }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(view body, error_code&) override { return take(body); }
  void on_chunk_header_impl(std::uint64_t, view, error_code&) override { behind_chunk_ = true; }
  std::size_t on_chunk_body_impl(std::uint64_t, view body, error_code&) override {
    return take(body);
  }
  void on_finish_impl(error_code&) override { end_body(); }

  std::size_t take(view body) {
    const std::string_view bytes{body.data(), body.size()};
    if (!bad_encoding_.empty() || need_ == body_need::nothing) return body.size();
    decode([&] {
      if (content_.is_plain(bytes)) return hand_on(bytes);
      content_.put(bytes);
      unpack();
    });
    return body.size();
  }
  void end_body() {
    content_.finish();
    go_on();
  }
  void unpack() {
    while (paused() && handler_.has_room()) hand_on(content_.read());
  }
  template <typename Step>
  void decode(Step step) {
    try {
      step();
    } catch (const bad_compression& fault) {
      bad_encoding_ = std::string("the compressed reply ") + fault.what();
    }
  }
  void hand_on(std::string_view bytes) {
    if (!bytes.empty() && need_ != body_need::nothing) need_ = handler_.on_body(bytes);
  }

  response_handler& handler_;
  response_head head_;
  bool head_arrived_ = false;
  const bool mended_;
  bool says_keep_alive_ = false;
  bool behind_chunk_ = false;             ///< a chunk has begun or ended
  std::optional<lenient_chunks> chunks_;  ///< used instead of Beast after Beast refused a chunk
  content_decoder content_;
  std::string bad_encoding_;
  body_need need_ = body_need::more;
};

/// Parses bytes of a response; returns the number of bytes consumed. The head is parsed when it is
/// complete. If it is refused, it is repaired and parsed again by a new parser. After an interim
/// response (100 Continue, 103 Early Hints) a new parser is used too.
inline std::size_t put(std::unique_ptr<response_parser>& parser, boost::asio::const_buffer bytes,
                       response_handler& handler, boost::system::error_code& error) {
  namespace http = boost::beast::http;
  if (parser->head_arrived()) return parser->put_body(bytes, error);
  const std::string_view input(static_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view begin = "HTTP/";
  // Empty lines before a head are skipped, as llhttp does; Beast refuses them, so it is repaired.
  const std::size_t empty_lines = std::min(input.find_first_not_of("\r\n"), input.size());
  const std::string_view head = input.substr(empty_lines);
  std::size_t length = head_length(head);
  if (length == 0) {
    const bool may_come = head.substr(0, begin.size()) == begin.substr(0, head.size());
    if (!may_come) error = http::error::bad_version;
    if (input.size() >= response_parser::longest_header) error = http::error::header_limit;
    return 0;
  }
  length += empty_lines;
  parser->put_head(boost::asio::buffer(input.data(), length), error);
  if (!parser->head_arrived() && !parser->is_done()) {
    auto again = std::make_unique<response_parser>(handler, true);
    boost::system::error_code no_better;
    again->put_head(boost::asio::buffer(mended_head(input.substr(0, length))), no_better);
    if (!again->head_arrived() && !again->is_done()) return 0;
    parser = std::move(again);
  }
  error = {};
  if (parser->is_done() && parser->interim()) parser = std::make_unique<response_parser>(handler);
  return length;
}

}  // namespace sluice
