#include "http/server/request_reader.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <charconv>
#include <utility>

namespace sluice::http_server {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

std::string_view as_view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Returns nothing if an escape is broken or stands for a NUL.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
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

// A request line may contain a whole URL, as requests to a proxy do. Only the path and the query
// are used.
std::string_view without_origin(std::string_view target) {
  constexpr std::string_view scheme_end = "://";
  const std::size_t scheme = target.find(scheme_end);
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const std::size_t path = target.find('/', scheme + scheme_end.size());
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

// Returns whether a field continues on the next line. This syntax is obsolete, and programs read it
// in different ways.
bool has_folded_field(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos ||
         head.find("\r\n\t") != std::string_view::npos;
}

constexpr std::string_view line_end = "\r\n";
constexpr std::string_view end_of_head = "\r\n\r\n";
// Limit for a line between chunks, and for all trailer fields together.
constexpr std::size_t longest_chunk_line = std::size_t{16} * 1024;

// Returns whether the text contains control characters. A CR without LF and an LF without CR count
// too. The last byte may be a CR, because its LF may not have arrived yet.
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

// Beast's HTTP/1.1 parser without its storage: it writes the fields directly into the head, and the
// body into the caller's buffer.
class request_parser final : public http::basic_parser<true> {
 public:
  explicit request_parser(request_head& head) : head_(head) {}

  /// Sets the buffer for the body. Bytes that do not fit are left for the next call of put().
  void give_room(char* into, std::size_t size) {
    into_ = into;
    room_ = size;
  }
  std::size_t room() const noexcept { return room_; }

  int version() const noexcept { return version_; }
  const std::string& target() const noexcept { return target_; }
  /// How often the request has a field, and the first value.
  struct found {
    std::size_t count = 0;
    std::string value;
  };
  const found& host() const noexcept { return host_; }
  const found& length() const noexcept { return length_; }
  const found& coding() const noexcept { return coding_; }
  const found& expectation() const noexcept { return expectation_; }

 private:
  using view = boost::beast::string_view;

  void on_request_impl(http::verb, view method, view target, int version, error_code&) override {
    head_.method = as_view(method);
    target_ = as_view(target);
    version_ = version;
  }
  void on_response_impl(int, view, int, error_code&) override {}
  void on_field_impl(http::field id, view name, view value, error_code&) override {
    if (head_is_read_) return;  // trailer fields are ignored
    head_.fields.add(as_view(name), as_view(value));
    if (id == http::field::host) note(host_, value);
    if (id == http::field::content_length) note(length_, value);
    if (id == http::field::transfer_encoding) note(coding_, value);
    if (id == http::field::expect) note(expectation_, value);
  }
  static void note(found& in, view value) {
    if (++in.count == 1) in.value = as_view(value);
  }
  void on_header_impl(error_code&) override { head_is_read_ = true; }
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(view body, error_code& error) override { return take(body, error); }
  void on_chunk_header_impl(std::uint64_t, view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, view body, error_code& error) override {
    return take(body, error);
  }
  void on_finish_impl(error_code&) override {}

  std::size_t take(view body, error_code& error) {
    const std::size_t size = std::min(body.size(), room_);
    into_ = std::copy_n(body.data(), size, into_);
    room_ -= size;
    if (size < body.size()) error = http::error::need_buffer;
    return size;
  }

  request_head& head_;
  bool head_is_read_ = false;
  int version_ = 0;
  std::string target_;
  found host_;
  found length_;
  found coding_;
  found expectation_;
  char* into_ = nullptr;
  std::size_t room_ = 0;
};

// Returns why the head is refused, even if its end has not arrived yet. It reports the first fault,
// so the answer does not depend on the pieces in which the head arrives.
std::optional<request_reader::refusal> check_begin(std::string_view begin) {
  const std::size_t line = begin.find(line_end);
  if (line == std::string_view::npos) {
    return has_control(begin) ? std::optional(control_refusal()) : std::nullopt;
  }
  if (has_control(begin.substr(0, line + line_end.size()))) return control_refusal();
  request_head unused;
  request_parser alone(unused);
  // Beast checks the version only if at least 8 more bytes follow.
  const std::string padded = std::string(begin.substr(0, line)) + "\r\n\r\n\r\n\r\n";
  error_code error;
  alone.put(boost::asio::buffer(padded.data(), padded.size()), error);
  if (error && error != http::error::need_more) {
    return refusal_of(error);
  }
  if (has_control(begin.substr(line))) return control_refusal();
  return std::nullopt;
}

// Returns whether `bytes` begin with the last chunk but do not yet contain its end. Beast 1.81 must
// not parse such bytes twice, because an assertion fails.
bool is_incomplete_end(std::string_view bytes) {
  constexpr std::string_view shortest = "0\r\n\r\n";
  return bytes.size() < shortest.size() && bytes.starts_with('0') &&
         bytes.find(line_end) == bytes.find_first_not_of('0');
}

}  // namespace

struct request_reader::parts {
  std::size_t max_head_bytes = 0;
  request_head head;
  request_parser parser{head};
  bool stuck = false;  // decoding continues when more bytes have arrived

  std::optional<refusal> check(std::string_view text) const;
};

request_reader::request_reader(std::size_t max_head_bytes) : parts_(std::make_unique<parts>()) {
  parts_->max_head_bytes = max_head_bytes;
  parts_->parser.header_limit(static_cast<std::uint32_t>(max_head_bytes));
  parts_->parser.body_limit(boost::none);  // the handler has its own limit
}

request_reader::~request_reader() = default;

std::optional<request_reader::refusal> request_reader::parts::check(std::string_view text) const {
  if (has_folded_field(text)) return refusal{400, "a header field goes on in the next line"};
  const int version = parser.version();
  if (version != 10 && version != 11) {
    return refusal{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
  }
  if (parser.host().count > 1 || (version == 11 && parser.host().count == 0)) {
    return refusal{400, "a request needs exactly one Host"};
  }
  const auto& length = parser.length();
  if (length.value.find_first_not_of("0123456789") != std::string::npos) {
    return refusal{400, "the length of the body is not a number"};
  }
  const auto& coding = parser.coding();
  if (length.count > 1 || (coding.count > 0 && length.count > 0)) {
    return refusal{400, "the length of the body is given twice"};
  }
  if (coding.count > 0 &&
      (!parser.chunked() || version == 10 || !boost::beast::iequals(coding.value, "chunked"))) {
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
  // Beast parses the request line as soon as it is complete. This reader passes only whole heads to
  // it.
  if (!complete) {
    if (auto why = check_begin(text)) return outcome(*std::move(why));
    if (allowed.size() < parts_->max_head_bytes) return std::nullopt;
    return outcome(refusal{431, "the head of the request is too long"});
  }
  parts_->head.fields.reserve(text.size());
  error_code error;
  const std::size_t taken = parser.put(boost::asio::buffer(text.data(), text.size()), error);
  if (error || has_control(text)) {
    if (auto why = check_begin(text)) return outcome(*std::move(why));
  }
  if (error) return outcome(refusal_of(error));
  if (!parser.is_header_done() || taken != text.size()) {
    return outcome(refusal{400, "this is not an HTTP request"});
  }
  if (auto why = parts_->check(text)) return outcome(*std::move(why));

  const std::string_view target = without_origin(parser.target());
  const std::size_t mark = std::min(target.find('?'), target.size());
  auto path = percent_decoded(target.substr(0, mark));
  if (!path || !path->starts_with('/')) {
    return outcome(refusal{400, "the path of the request is not valid"});
  }
  parts_->head.path = *std::move(path);
  parts_->head.query = target.substr(std::min(mark + 1, target.size()));
  if (const auto length = parser.content_length()) parts_->head.content_length = *length;
  return outcome(taken);
}

request_head& request_reader::head() noexcept {
  return parts_->head;
}

bool request_reader::keep_alive() const noexcept {
  return parts_->parser.keep_alive();
}

bool request_reader::takes_chunks() const noexcept {
  return parts_->parser.version() >= 11;
}

bool request_reader::expects_continue() const noexcept {
  return takes_chunks() &&
         boost::beast::iequals(parts_->parser.expectation().value, "100-continue");
}

request_reader::body_step request_reader::read_body(std::string_view bytes, char* into,
                                                    std::size_t size) {
  auto& parser = parts_->parser;
  if (parser.chunked() && std::exchange(parts_->stuck, false) && is_incomplete_end(bytes)) {
    parts_->stuck = true;
    return {};
  }
  parser.give_room(into, size);
  error_code error;
  body_step step;
  step.taken = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  step.produced = size - parser.room();
  step.failed = error && error != http::error::need_more && error != http::error::need_buffer;
  // A line that never ends must not use up the memory.
  parts_->stuck = step.taken == 0 && step.produced == 0 && !parser.is_done();
  if (parts_->stuck && bytes.size() > longest_chunk_line) step.failed = true;
  return step;
}

bool request_reader::body_is_done() const noexcept {
  return parts_->parser.is_done();
}

}  // namespace sluice::http_server
