#pragma once

#include <array>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cctype>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "decompressor.hpp"
#include "http_client.hpp"
#include "openai/retry_hint.hpp"

namespace sluice {

/// Beast's own state machine for HTTP/1.1, told to keep nothing: pieces go straight to the handler.
class response_parser final : public boost::beast::http::basic_parser<false> {
 public:
  explicit response_parser(response_handler& handler) : handler_(handler) {
    eager(true);
    header_limit(longest_header);
    body_limit(boost::none);  // the reply reader keeps its own
  }

  bool interim() const noexcept { return head_.status >= 100 && head_.status < 200; }
  bool head_arrived() const noexcept { return head_arrived_; }
  openai::reply_reader::need wanted() const noexcept { return wanted_; }
  /// The head has come, and what follows cannot be decompressed; bad_encoding() says why.
  bool undecodable() const noexcept { return head_arrived_ && !bad_encoding_.empty(); }
  const std::string& bad_encoding() const noexcept { return bad_encoding_; }

 private:
  static std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
  }

  using need = openai::reply_reader::need;
  static constexpr std::uint32_t longest_header = 256 * 1024;
  using view = boost::beast::string_view;
  using error_code = boost::system::error_code;

  void on_request_impl(boost::beast::http::verb, view, view, int, error_code&) override {}
  void on_response_impl(int status, view, int, error_code&) override { head_.status = status; }
  void on_field_impl(boost::beast::http::field id, view name, view value, error_code&) override {
    const std::string_view text{value.data(), value.size()};
    if (head_arrived_) return;  // a trailer says nothing that is needed
    if (id == boost::beast::http::field::content_type) {
      head_.content_type = text;
    } else if (id == boost::beast::http::field::content_encoding) {
      set_encoding(text);
    } else if (id == boost::beast::http::field::location) {
      head_.location = text;
    } else if (id == boost::beast::http::field::retry_after) {
      head_.hints["retry-after"] = text;
    } else if (id == boost::beast::http::field::unknown) {
      on_unknown_field({name.data(), name.size()}, text);
    }
  }
  void on_unknown_field(std::string_view name, std::string_view value) {
    using boost::beast::iequals;
    if (iequals(name, "x-request-id") ||
        (head_.request_id.empty() && iequals(name, "x-oneapi-request-id"))) {
      head_.request_id = value;
    } else if (openai::is_retry_hint(name)) {
      head_.hints[lower(name)] = value;
    }
  }
  void on_header_impl(error_code&) override {
    if (interim()) return;
    head_arrived_ = true;
    handler_.on_head(std::move(head_));
  }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(view body, error_code&) override { return take(body); }
  void on_chunk_header_impl(std::uint64_t, view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view body, error_code&) override {
    return take(body);
  }
  void on_finish_impl(error_code&) override {}

  // Some relays compress what was not asked for.
  void set_encoding(std::string_view name) {
    using boost::beast::iequals;
    const view encoding(name.data(), name.size());
    if (iequals(encoding, "gzip") || iequals(encoding, "x-gzip") || iequals(encoding, "deflate")) {
      decoder_ = make_gzip_decompressor();
    } else if (iequals(encoding, "zstd")) {
      decoder_ = make_zstd_decompressor();
    } else if (!encoding.empty() && !iequals(encoding, "identity")) {
      bad_encoding_ =
          "the reply is compressed in a way that was not asked for: " + std::string(name);
    }
  }

  std::size_t take(view body) {
    const std::string_view bytes{body.data(), body.size()};
    if (decoder_ != nullptr) {
      decode(bytes);
    } else if (bad_encoding_.empty() && wanted_ != need::nothing) {
      wanted_ = handler_.on_body(bytes);
    }
    return body.size();
  }

  // In small pieces, and no further than is wanted: a few bytes may hold gigabytes.
  void decode(std::string_view bytes) {
    std::array<char, std::size_t{16} * 1024> piece;
    try {
      while (wanted_ != need::nothing && bad_encoding_.empty()) {
        const std::size_t n = decoder_->step(bytes, piece.data(), piece.size());
        if (n == 0) return;
        wanted_ = handler_.on_body({piece.data(), n});
      }
    } catch (const bad_compression& fault) {
      bad_encoding_ = std::string("the compressed reply ") + fault.what();
    }
  }

  response_handler& handler_;
  openai::response_head head_;
  bool head_arrived_ = false;
  std::unique_ptr<decompressor> decoder_;
  std::string bad_encoding_;
  need wanted_ = need::more;
};

}  // namespace sluice
