#pragma once

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "http_client.hpp"

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

 private:
  static std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
  }

  static constexpr std::uint32_t longest_header = 256 * 1024;
  using view = boost::beast::string_view;
  using error_code = boost::system::error_code;

  void on_request_impl(boost::beast::http::verb, view, view, int, error_code&) override {}
  void on_response_impl(int status, view, int, error_code&) override { head_.status = status; }
  void on_field_impl(boost::beast::http::field id, view name, view value, error_code&) override {
    const std::string_view text{value.data(), value.size()};
    if (id == boost::beast::http::field::content_type) {
      head_.content_type = text;
    } else if (id == boost::beast::http::field::location) {
      head_.location = text;
    } else if (id == boost::beast::http::field::retry_after) {
      head_.hints["retry-after"] = text;
    } else if (id == boost::beast::http::field::unknown) {
      const bool telling = (name[0] | 0x20) == 'x' || (name[0] | 0x20) == 'r';
      if (telling) on_unknown_field(name, text);
    }
  }
  void on_unknown_field(view name, std::string_view value) {
    using boost::beast::iequals;
    constexpr view limits = "x-ratelimit-";
    if (iequals(name, "x-request-id") ||
        (head_.request_id.empty() && iequals(name, "x-oneapi-request-id"))) {
      head_.request_id = value;
    } else if (iequals(name.substr(0, limits.size()), limits) || iequals(name, "retry-after-ms") ||
               iequals(name, "x-should-retry")) {
      head_.hints[lower({name.data(), name.size()})] = value;
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

  std::size_t take(view body) {
    if (wanted_ != openai::reply_reader::need::nothing)
      wanted_ = handler_.on_body({body.data(), body.size()});
    return body.size();
  }

  response_handler& handler_;
  openai::response_head head_;
  bool head_arrived_ = false;
  openai::reply_reader::need wanted_ = openai::reply_reader::need::more;
};

}  // namespace sluice
