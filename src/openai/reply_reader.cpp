#include "openai/reply_reader.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/ascii.hpp"
#include "openai/chunk.hpp"
#include "openai/error_body.hpp"
#include "openai/http_failure.hpp"
#include "openai/response_stream.hpp"
#include "openai/sse_parser.hpp"
#include "openai/stream_assembler.hpp"
#include "openai/whole_reply.hpp"

namespace sluice::openai {
namespace {

using result = boost::system::result<reply, failure>;

/// The format of a body.
enum class form : std::uint8_t {
  undecided,
  json,
  events,
  events_then_raw,  ///< JSON or a web page came instead of an event
  text,
};

/// The maximum size of an error's body. A longer body is not an error of this API; the rest is
/// ignored.
constexpr std::size_t longest_error = std::size_t{1} << 20;

/// Enough to find the message of a web page.
constexpr std::size_t longest_text = std::size_t{16} * 1024;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// Text that relays and proxies send as an event's name or data, to keep a stream alive.
bool is_heartbeat(std::string_view text) {
  constexpr std::array<std::string_view, 16> words{
      "ping", "pong",      "keepalive", "heartbeat", "ok",      "alive",      "noop",    "null",
      "open", "connected", "start",     "started",   "waiting", "processing", "pending", "queued"};
  if (text.empty() || text.size() > 64 || text.starts_with('{')) return false;
  std::string letters;  // so that it also finds `[PING]`, `keep-alive` and `ping - 2025-01-01`
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (std::isalpha(c) != 0) letters += static_cast<char>(std::tolower(c));
    if (c >= 0x80) return false;
  }
  return letters.empty() ? text.find_first_not_of("[]{}\"'. \t\r\n-:") == std::string_view::npos
                         : std::find(words.begin(), words.end(), letters) != words.end();
}

/// Empty data, or an SSE comment, which some proxies send as data.
bool is_keep_alive(std::string_view data) {
  const std::size_t begin = data.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos || data[begin] == ':';
}

/// Whether an event's name does not belong to this API, in which only the events of responses have
/// names. The event is then ignored, unless it is a piece of the reply or an error.
bool is_foreign(std::string_view name) {
  return !name.empty() && name != "message" && name != "error" && !name.starts_with("response.");
}

/// Whether the name of an event means an error.
bool names_error(std::string_view name) {
  const std::string lower = lower_case(name);
  return lower.find("error") != std::string::npos || lower.find("fail") != std::string::npos;
}

/// Whether an event that is not a JSON object can be ignored, because it is not a damaged piece of
/// the reply either.
bool is_noise(const sse_parser::event& event) {
  if (names_error(event.type)) return false;
  if (is_heartbeat(event.type) || is_heartbeat(event.data)) return true;
  const std::size_t begin = event.data.find_first_not_of(" \t\r\n");
  return is_foreign(event.type) && event.data[begin] != '{';
}

/// Whether an event that is not a piece of a reply reports an error.
bool tells_error(const sse_parser::event& event, const error_body& read) {
  if (is_heartbeat(event.type) || is_heartbeat(read.type)) return false;
  if (read.message.empty()) return false;
  if (!is_foreign(event.type) || names_error(event.type) || names_error(read.type)) return true;
  constexpr std::array<std::string_view, 6> fine{"", "0", "200", "ok", "OK", "success"};
  return std::find(fine.begin(), fine.end(), read.code) == fine.end();
}

bool mentions(std::string_view content_type, std::string_view lower_case) {
  return std::search(content_type.begin(), content_type.end(), lower_case.begin(), lower_case.end(),
                     [](unsigned char a, char b) { return std::tolower(a) == b; }) !=
         content_type.end();
}
bool names_event_stream(std::string_view content_type) {
  return mentions(content_type, "text/event-stream");
}
bool names_json(std::string_view content_type) {
  return mentions(content_type, "json");
}

constexpr std::string_view mark = "\xEF\xBB\xBF";

/// The position of the first non-blank byte; everything before `from` is blank.
std::size_t skip_blanks(std::string_view body, std::size_t from) {
  if (from == 0 && body.starts_with(mark)) from = mark.size();
  return std::min(body.find_first_not_of(" \t\r\n", from), body.size());
}

/// Detects the format from the first bytes; the headers do not matter.
form sniff(std::string_view body) {
  if (body.starts_with(mark)) body.remove_prefix(mark.size());
  if (body.size() < mark.size() && mark.starts_with(body)) return form::undecided;
  const std::size_t begin = body.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return form::undecided;
  const std::string_view start = body.substr(begin);
  if (start.front() == '{' || start.front() == '[') return form::json;
  bool undecided = false;
  for (const std::string_view field : {"data:", "event:", "id:", "retry:", ":"}) {
    if (start.starts_with(field)) return form::events;
    undecided = undecided || field.starts_with(start);
  }
  return undecided ? form::undecided : form::text;
}

/// Whether this is the end of a stream. Relays write [DONE] with more white space, or in lower
/// case.
bool says_done(std::string_view data) {
  constexpr std::string_view words = "[done]";
  data.remove_prefix(std::min(data.find_first_not_of(" \t\r\n"), data.size()));
  return data.size() >= words.size() &&
         std::equal(words.begin(), words.end(), data.begin(),
                    [](char a, unsigned char b) { return a == std::tolower(b); });
}

bool is_page(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && text[begin] == '<';
}

/// Whether the text has bytes that no text has. It is then compressed, but no header says so.
bool is_binary(std::string_view text) {
  return std::any_of(
      text.begin(),
      text.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(text.size(), 512)),
      [](unsigned char c) { return c < 0x20 && std::isspace(c) == 0 && c != 0x1B; });
}

/// The failure of a body that broke off, or that never came.
failure interrupted(reply_reader::ending how, bool began, std::string_view transport) {
  failure failed;
  failed.kind = failure_class::passing;
  if (how == reply_reader::ending::undecodable) {
    failed.code = errc::invalid_response;
    failed.message = "the reply cannot be decoded";
    failed.unreadable = true;
  } else if (how == reply_reader::ending::timeout) {
    failed.code = errc::request_timeout;
    failed.message = "a deadline passed before the reply was whole";
  } else if (!began) {
    failed.code = errc::connection_failed;
    failed.message = "the connection ended before a reply began";
  } else {
    failed.code = errc::stream_interrupted;
    failed.message = how == reply_reader::ending::cut
                         ? "the connection broke before the reply was whole"
                         : "the stream ended before every choice had its finish reason";
  }
  if (!transport.empty()) failed.message = one_line(transport, 1000);
  return failed;
}

}  // namespace

struct reply_reader::state {
  explicit state(const expectation& e) : expected(e), completion(e.target, e.choices) {}

  need take(std::string_view bytes);
  result outcome(ending how, std::string_view transport);

  expectation expected;
  reply_head head;
  double now_unix = 0;
  std::uint64_t received = 0;
  form written_as = form::undecided;
  /// The whole body; for a stream, only the part that may still turn out to be plain text.
  std::string body;

  sse_parser parser;
  chunk_reader chunks;
  stream_assembler completion;
  response_stream response;
  bool had_event = false;
  std::size_t blanks = 0;     ///< at the beginning of the body, while its format is undecided
  bool ending_early = false;  ///< the current event has no blank line at its end
  bool done = false;          ///< the rest of the body does not matter
  std::optional<failure> failed;

  bool complete() const {
    return expected.target == endpoint::responses ? response.complete() : completion.complete();
  }
  /// Complete, and no sign that more content follows.
  bool settled() const {
    return expected.target == endpoint::responses ? response.complete() : completion.settled();
  }

 private:
  need take_within_limit(std::string_view bytes);
  need take_error(std::string_view bytes);
  need take_text(std::string_view bytes);
  need take_events(std::string_view bytes);
  need take_last_words(std::string_view bytes);
  void take_raw(std::string_view text);
  bool on_event(const sse_parser::event& event);
  chunk_meaning read(const sse_parser::event& event);
  void fail(std::string_view event, std::string_view otherwise);

  result http_outcome();
  result stream_outcome(ending how, std::string_view transport);
  result whole_outcome(ending how, std::string_view transport);
};

reply_reader::need reply_reader::state::take(std::string_view bytes) {
  if (done) return need::nothing;
  if (!is_success(head.status)) return take_error(bytes);
  const std::uint64_t room = expected.max_body_bytes - received;
  const bool too_many = bytes.size() > room;
  // The part that fits may be the whole reply, even if the same read contains more.
  if (too_many) bytes = bytes.substr(0, static_cast<std::size_t>(room));
  received += bytes.size();
  const need wanted = take_within_limit(bytes);
  if (!too_many || done) return wanted;
  done = true;
  failed = failure{};
  failed->code = errc::response_too_large;
  failed->kind = failure_class::permanent;
  failed->message = "the reply is longer than the limit for a response";
  return need::nothing;
}

reply_reader::need reply_reader::state::take_within_limit(std::string_view bytes) {
  if (written_as == form::events) {
    if (!body.empty() && body.size() < longest_text) body += bytes;
    return take_events(bytes);
  }
  if (written_as == form::json) {
    body += bytes;
    return need::more;
  }
  if (written_as == form::events_then_raw) return take_last_words(bytes);
  return take_text(bytes);
}

reply_reader::need reply_reader::state::take_error(std::string_view bytes) {
  const std::uint64_t most = std::min<std::uint64_t>(expected.max_body_bytes, longest_error);
  const std::uint64_t room = most - body.size();
  done = bytes.size() >= room;
  body += bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(room, bytes.size())));
  return done ? need::nothing : need::more;
}

/// Adds bytes while the format of the body is undecided, or is plain text.
reply_reader::need reply_reader::state::take_text(std::string_view bytes) {
  const bool begins = written_as == form::undecided && body.empty();
  if (begins && sniff(bytes.substr(skip_blanks(bytes, 0))) == form::events) {
    written_as = form::events;
    return take_events(bytes);  // without a copy
  }
  body += bytes;
  if (written_as == form::undecided) {
    // `blanks` is remembered, so that each blank is read only once.
    blanks = skip_blanks(body, blanks);
    written_as = sniff(std::string_view(body).substr(blanks));
  }
  if (written_as == form::events) {
    blanks = 0;  // raw text, if it follows, starts its own count
    return take_events(std::exchange(body, {}));
  }
  if (written_as == form::text && names_event_stream(head.content_type) && !is_page(body)) {
    written_as = form::events;  // the first line may be an unknown field of the stream
    return take_events(std::string(body));
  }
  done = written_as == form::text && body.size() >= longest_text;
  return done ? need::nothing : need::more;
}

/// Adds bytes that the relay sends instead of the rest of its stream.
reply_reader::need reply_reader::state::take_last_words(std::string_view bytes) {
  body += bytes.substr(0, longest_text - body.size());
  done = body.size() == longest_text;
  return done ? need::nothing : need::more;
}

reply_reader::need reply_reader::state::take_events(std::string_view bytes) {
  parser.feed(bytes, [this](const sse_parser::event& event) { return on_event(event); });
  if (done) return need::nothing;
  return written_as == form::events && settled() ? need::trailer : need::more;
}

/// The parser found JSON or a web page instead of an event. If no event came before it, it is the
/// whole body. After events, it says why the relay broke off the stream.
void reply_reader::state::take_raw(std::string_view text) {
  if (settled()) {
    done = true;
  } else if (had_event) {
    written_as = form::events_then_raw;
    body.clear();
    take_last_words(text);
  } else if (body.empty()) {
    written_as = form::undecided;
    take_text(text);
  } else {
    written_as = form::text;  // the text continues, and all of it is kept
  }
}

/// False: nothing after the event matters.
bool reply_reader::state::on_event(const sse_parser::event& event) {
  if (event.raw) {
    take_raw(event.data);
    return false;
  }
  if (is_keep_alive(event.data)) return true;
  if (!says_done(event.data)) {
    const bool was_settled = settled();
    const chunk_meaning meaning = read(event);
    if (meaning == chunk_meaning::garbage && is_noise(event)) return true;
    if (meaning == chunk_meaning::stray && !tells_error(event, read_error_body(event.data))) {
      return true;
    }
    had_event = true;
    switch (meaning) {
      case chunk_meaning::progress:
        return true;
      case chunk_meaning::last:
        break;
      case chunk_meaning::error:
        fail(event.data, "the relay reported an error");
        break;
      case chunk_meaning::stray:
        fail(event.data, "");
        break;
      case chunk_meaning::garbage:
        // the stream was cut inside this event, so only the end is missing
        if (ending_early) return true;
        fail(event.data, "an event of the stream is not a JSON object");
        // The event came whole and contains no error message, so the reply cannot be read.
        failed->unreadable = read_error_body(event.data).message.empty();
        if (failed->unreadable && response.in_background()) {
          failed = background_failure(response.opened());
        }
        break;
    }
    // A complete reply was paid for, so it is kept, whatever the relay sends after it.
    if (was_settled && settled()) failed.reset();
  }
  had_event = true;
  done = true;
  return false;
}

chunk_meaning reply_reader::state::read(const sse_parser::event& event) {
  if (event.type == "error") return chunk_meaning::error;
  const bool in_choices = expected.target != endpoint::responses;
  if (in_choices && completion.add_repeated(event.data)) return chunk_meaning::progress;
  try {
    const simdjson::ondemand::object object = chunks.object(event.data);
    const chunk_meaning meaning =
        in_choices ? completion.add(object) : response.add(event.type, object);
    chunks.expect_end();
    if (in_choices) completion.remember(chunks.text());
    chunks.let_go();
    return meaning;
  } catch (const simdjson::simdjson_error&) {
    return chunk_meaning::garbage;
  }
}

void reply_reader::state::fail(std::string_view event, std::string_view otherwise) {
  failed = reported_failure(event, otherwise, now_unix);
  const piece_count came =
      expected.target == endpoint::responses ? response.pieces() : completion.pieces();
  // What came was billed, so the next try must count as an attempt.
  if (came.any > 0 && failed->kind == failure_class::throttled) {
    failed->kind = failure_class::passing;
  }
}

result reply_reader::state::outcome(ending how, std::string_view transport) {
  if (head.status == 0) return interrupted(how, false, transport);
  if (!is_success(head.status)) return http_outcome();
  if (failed) return *failed;
  if (written_as == form::events) return stream_outcome(how, transport);
  if (written_as == form::events_then_raw) {
    fail(body, "the stream holds something that is no event");
    return *failed;
  }
  return whole_outcome(how, transport);
}

/// Azure answers 400 with a completion if its filter has ended the choices. That is a reply.
result reply_reader::state::http_outcome() {
  if (head.status == 400 && sniff(body) == form::json) {
    result filtered = read_whole_reply(body, expected.target, now_unix);
    if (filtered && filtered->finish_reasons.contains("content_filter")) return filtered;
  }
  return http_failure(head, std::move(body), now_unix, expected.model);
}

result reply_reader::state::stream_outcome(ending how, std::string_view transport) {
  if (!done) {
    ending_early = true;
    parser.finish([this](const sse_parser::event& event) { return on_event(event); });
    if (failed) return *failed;
  }
  if (!had_event && sniff(body) == form::text) return whole_outcome(how, transport);
  const bool vouched_for = done || how == ending::complete;
  const bool whole_reply = complete() || completion.billed_as_complete();
  if (vouched_for ? !whole_reply : !settled()) {
    if (response.in_background()) return background_failure(response.opened());
    return interrupted(how, true, transport);
  }
  result whole =
      read_whole_reply(expected.target == endpoint::responses ? response.body() : completion.body(),
                       expected.target, now_unix);
  if (whole) whole->streamed = true;
  return whole;
}

result reply_reader::state::whole_outcome(ending how, std::string_view transport) {
  if (how != ending::complete && !done) return interrupted(how, true, transport);
  if (is_blank(body)) return invalid_response("the body of the reply is empty");
  if (written_as == form::json) return read_whole_reply(std::move(body), expected.target, now_unix);
  std::string words = read_error_body(body).message;
  if (is_binary(body)) words = "the reply is neither JSON nor text";
  failure page = invalid_response(words.empty() ? "the reply is not JSON" : std::move(words));
  page.foreign = is_page(body);
  // Plain text is the message of a proxy, unless its content type is JSON.
  page.unreadable = is_binary(body) || (!page.foreign && names_json(head.content_type));
  return page;
}

reply_reader::reply_reader(const expectation& expected)
    : state_(std::make_unique<state>(expected)) {}
reply_reader::~reply_reader() = default;
reply_reader::reply_reader(reply_reader&&) noexcept = default;
reply_reader& reply_reader::operator=(reply_reader&&) noexcept = default;

void reply_reader::head(reply_head head, double now_unix) {
  state_->head = std::move(head);
  state_->now_unix = now_unix;
}

reply_reader::need reply_reader::body(std::string_view bytes) {
  return state_->take(bytes);
}

std::size_t reply_reader::held() const noexcept {
  return state_->body.size() + state_->parser.held() + state_->chunks.held() +
         state_->completion.held() + state_->response.held();
}

piece_count reply_reader::pieces() const noexcept {
  return state_->expected.target == endpoint::responses ? state_->response.pieces()
                                                        : state_->completion.pieces();
}

std::string_view reply_reader::text() const {
  return state_->completion.text();
}

result reply_reader::finish(ending how, std::string_view transport) {
  result outcome = state_->outcome(how, transport);
  reply_head& head = state_->head;
  if (outcome) {
    outcome->http_status = head.status;
    outcome->request_id = std::move(head.request_id);
  } else {
    failure failed = std::move(outcome).error();
    failed.http_status = head.status;
    failed.request_id = std::move(head.request_id);
    return failed;
  }
  return outcome;
}

}  // namespace sluice::openai
