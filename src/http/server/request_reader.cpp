#include "http/server/request_reader.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <utility>

namespace sluice::http_server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

std::string_view as_view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Nothing: an escape is broken, or it stands for a NUL.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = static_cast<unsigned char>(text[i]);
    if (text[i] == '%') {
      const char* const digits = text.data() + i + 1;
      if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) {
        return std::nullopt;
      }
      i += 2;
    }
    if (byte == 0) return std::nullopt;
    decoded += static_cast<char>(byte);
  }
  return decoded;
}

// A request line may hold a whole URL, as for a proxy: only its path and query count.
std::string_view without_origin(std::string_view target) {
  constexpr std::string_view scheme_end = "://";
  const std::size_t scheme = target.find(scheme_end);
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const std::size_t path = target.find('/', scheme + scheme_end.size());
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

// A field that goes on in the next line: obsolete, and read in different ways.
bool has_folded_field(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos ||
         head.find("\r\n\t") != std::string_view::npos;
}

constexpr std::string_view crlf = "\r\n";
constexpr std::string_view end_of_head = "\r\n\r\n";
// Of a line between chunks, and of all fields behind them.
constexpr std::size_t longest_chunk_line = std::size_t{16} * 1024;

// Control characters, also a line end that lacks its CR or its LF. The last byte may be a CR whose
// LF has not arrived.
bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= ' ' || byte == '\t') continue;
    if (byte != '\r') return true;
    if (i + 1 < text.size() && text[++i] != '\n') return true;
  }
  return false;
}

request_reader::refusal refusal_of(const error_code& error) {
  if (error == http::error::bad_version) {
    return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  }
  return {400, "this is not an HTTP request: " + error.message()};
}

request_reader::refusal control_refusal() {
  return {400, "the head of the request has a control character"};
}

// Why a head is refused, even before its end has arrived. The first fault counts, so that it does
// not matter in which pieces the head arrives.
std::optional<request_reader::refusal> check_begin(std::string_view begin) {
  const std::size_t line = begin.find(crlf);
  if (line == std::string_view::npos) {
    return has_control(begin) ? std::optional(control_refusal()) : std::nullopt;
  }
  if (has_control(begin.substr(0, line + crlf.size()))) return control_refusal();
  http::request_parser<http::buffer_body> parser;
  // Beast looks at a version only if 8 more bytes are there.
  const std::string alone = std::string(begin.substr(0, line)) + "\r\n\r\n\r\n\r\n";
  error_code error;
  parser.put(boost::asio::buffer(alone.data(), alone.size()), error);
  if (error && error != http::error::need_more && error != http::error::need_buffer) {
    return refusal_of(error);
  }
  if (has_control(begin.substr(line))) return control_refusal();
  return std::nullopt;
}

// The last chunk, but not the end behind it. Beast 1.81 must not see it twice (its assertion
// fails).
bool is_incomplete_end(std::string_view bytes) {
  constexpr std::string_view shortest = "0\r\n\r\n";
  return bytes.size() < shortest.size() && bytes.starts_with('0') &&
         bytes.find(crlf) == bytes.find_first_not_of('0');
}

}  // namespace

struct request_reader::parts {
  std::size_t max_head_bytes = 0;
  http::request_parser<http::buffer_body> parser;
  request_head head;
  bool stuck = false;  // the body goes on when more bytes are there

  std::optional<refusal> check(std::string_view text);
};

request_reader::request_reader(std::size_t max_head_bytes) : parts_(std::make_unique<parts>()) {
  parts_->max_head_bytes = max_head_bytes;
  parts_->parser.header_limit(static_cast<std::uint32_t>(max_head_bytes));
  parts_->parser.body_limit(boost::none);  // the handler bounds what it takes
}

request_reader::~request_reader() = default;

std::optional<request_reader::refusal> request_reader::parts::check(std::string_view text) {
  const auto& message = parser.get();
  if (has_folded_field(text)) return refusal{400, "a header field goes on in the next line"};
  if (message.version() != 10 && message.version() != 11) {
    return refusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  }
  if (message.count(http::field::host) > 1 ||
      (message.version() == 11 && message.count(http::field::host) == 0)) {
    return refusal{400, "a request needs exactly one Host"};
  }
  const auto length = as_view(message[http::field::content_length]);
  if (length.find_first_not_of("0123456789") != std::string_view::npos) {
    return refusal{400, "the length of the body is not a number"};
  }
  const bool has_coding = message.count(http::field::transfer_encoding) > 0;
  if (message.count(http::field::content_length) > 1 ||
      (has_coding && message.count(http::field::content_length) > 0)) {
    return refusal{400, "the length of the body is given twice"};
  }
  if (has_coding && (!parser.chunked() || message.version() == 10 ||
                     !boost::beast::iequals(message[http::field::transfer_encoding], "chunked"))) {
    return refusal{400, "the only Transfer-Encoding that is understood is chunked"};
  }
  return std::nullopt;
}

std::optional<std::variant<std::size_t, request_reader::refusal>> request_reader::read_head(
    std::string_view bytes) {
  using outcome = std::variant<std::size_t, refusal>;
  auto& parser = parts_->parser;
  const std::string_view allowed = bytes.substr(0, parts_->max_head_bytes);
  const std::size_t end = allowed.find(end_of_head);
  const bool complete = end != std::string_view::npos;
  const std::string_view text = complete ? allowed.substr(0, end + end_of_head.size()) : allowed;
  if (auto why = check_begin(text)) return outcome(*std::move(why));
  // Beast takes the request line as soon as it is complete; here, a head is taken as a whole.
  if (!complete) {
    if (allowed.size() < parts_->max_head_bytes) return std::nullopt;
    return outcome(refusal{431, "the head of the request is too long"});
  }
  error_code error;
  const std::size_t taken = parser.put(boost::asio::buffer(text.data(), text.size()), error);
  if (error && error != http::error::need_buffer) return outcome(refusal_of(error));
  if (!parser.is_header_done() || taken != text.size()) {
    return outcome(refusal{400, "this is not an HTTP request"});
  }
  if (auto why = parts_->check(text)) return outcome(*std::move(why));

  const auto& message = parser.get();
  const std::string_view target = without_origin(as_view(message.target()));
  const std::size_t mark = std::min(target.find('?'), target.size());
  auto path = percent_decoded(target.substr(0, mark));
  if (!path || !path->starts_with('/')) {
    return outcome(refusal{400, "the path of the request is not valid"});
  }
  parts_->head.method = as_view(message.method_string());
  parts_->head.path = *std::move(path);
  parts_->head.query = target.substr(std::min(mark + 1, target.size()));
  for (const auto& field : message) {
    parts_->head.fields.add(as_view(field.name_string()), as_view(field.value()));
  }
  if (const auto length = parser.content_length()) parts_->head.content_length = *length;
  return outcome(taken);
}

request_head& request_reader::head() noexcept {
  return parts_->head;
}

bool request_reader::keep_alive() const noexcept {
  return parts_->parser.get().keep_alive();
}

bool request_reader::takes_chunks() const noexcept {
  return parts_->parser.get().version() >= 11;
}

bool request_reader::expects_continue() const noexcept {
  return takes_chunks() &&
         boost::beast::iequals(parts_->parser.get()[http::field::expect], "100-continue");
}

request_reader::body_step request_reader::read_body(std::string_view bytes, char* into,
                                                    std::size_t size) {
  auto& parser = parts_->parser;
  if (parser.chunked() && std::exchange(parts_->stuck, false) && is_incomplete_end(bytes)) {
    parts_->stuck = true;
    return {};
  }
  auto& body = parser.get().body();
  body.data = into;
  body.size = size;
  body.more = true;
  error_code error;
  body_step step;
  step.taken = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  step.produced = size - body.size;
  step.failed = error && error != http::error::need_more && error != http::error::need_buffer;
  // A line that never ends must not fill the memory.
  parts_->stuck = step.taken == 0 && step.produced == 0 && !parser.is_done();
  if (parts_->stuck && bytes.size() > longest_chunk_line) step.failed = true;
  return step;
}

bool request_reader::body_is_done() const noexcept {
  return parts_->parser.is_done();
}

}  // namespace sluice::http_server
