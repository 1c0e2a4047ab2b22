#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/support.hpp"
#include "http/response_parser.hpp"
#include "json/members.hpp"
#include "json/walk.hpp"
#include "openai/finish_reason.hpp"
#include "openai/reply_reader.hpp"
#include "openai/whole_reply.hpp"

namespace sluice::fuzz {
namespace {

using openai::reply_reader;
using need = reply_reader::need;
using outcome = boost::system::result<reply, failure>;

/// Passes the parser's output on to a reader, as a worker does.
class reading final : public response_handler {
 public:
  explicit reading(const reply_reader::expectation& expected) : reader(expected) {}
  void on_sent() override {}
  void on_head(response_head head) override {
    reader.head(openai::read_head(head.status, head.fields), 1'700'000'000);
  }
  need on_body(std::string_view bytes) override {
    const need further = reader.body(std::string(bytes));  // freed after the call
    require(!content_began || reader.content_began(), "content does not stop having begun");
    content_began = reader.content_began();
    return further;
  }

  reply_reader reader;
  bool content_began = false;
};

/// The outcome if the bytes arrive in these pieces and the connection then ends with `last`, as in
/// the exchange of the HTTP client.
outcome read(std::string_view bytes, std::vector<std::size_t> cuts,
             const reply_reader::expectation& expected, reply_reader::ending last) {
  using ending = reply_reader::ending;
  reading follower(expected);
  auto parser = std::make_unique<response_parser>(follower);
  const auto broken = [&](ending how) {
    if (!parser->head_arrived()) return reply_reader(expected).finish(ending::cut);
    return follower.reader.finish(parser->need() != need::more ? ending::complete : how);
  };
  std::string arrived;
  boost::system::error_code fault;
  cuts.push_back(bytes.size());
  std::size_t begin = 0;
  for (const std::size_t end : cuts) {
    arrived += bytes.substr(begin, end - begin);
    begin = end;
    for (bool moves = true; moves && !arrived.empty() && !parser->finished() && !fault;) {
      const std::size_t taken = put(parser, boost::asio::buffer(arrived), follower, fault);
      arrived.erase(0, taken);
      moves = taken > 0;
    }
    if (parser->undecodable()) {
      return follower.reader.finish(ending::undecodable, parser->bad_encoding());
    }
    if (fault) return broken(ending::cut);
    if (parser->finished() || parser->need() == need::nothing) return broken(ending::complete);
  }
  if (last != ending::complete) return broken(last);
  if (parser->got_some()) parser->put_eof(fault);
  if (parser->undecodable()) {
    return follower.reader.finish(ending::undecodable, parser->bad_encoding());
  }
  return broken(!fault && parser->is_done() ? ending::complete : ending::cut);
}

/// Counts the finish reasons of a body as a later run does, which reads the output file.
class reason_walk : public json_walk<reason_walk> {
 public:
  explicit reason_walk(std::string_view text) : json_walk(text), text_(text) {}
  void on_open(char bracket) {
    counter.on_open(depth(), bracket);
    begins_.resize(depth() + 1);
  }
  void on_key(std::string_view quoted, bool /*escaped*/) {
    counter.on_key(depth(), json_string(quoted).value_or(std::string()));
    begins_[depth() - 1] = place();
  }
  void on_end() {
    if (depth() == 0 || !in_object()) return;
    const std::size_t begin = begins_[depth() - 1];
    counter.on_value(depth(), text_.substr(begin, place() - begin));
  }
  openai::finish_reason_counter counter;

 private:
  const std::string_view text_;
  std::vector<std::size_t> begins_;  // of the values, by depth
};

void check(const reply& whole, endpoint target) {
  const std::string& body = whole.body;
  require(body.starts_with('{'), "a reply is an object", body);
  require(body.find_first_of("\r\n") == std::string::npos, "a reply is one line", body);
  require(is_utf8(body), "a reply is UTF-8", body);
  require(peer_verdict(body) != verdict::invalid, "a reply is JSON", body);
  if (whole.usage) {
    const token_usage& usage = *whole.usage;
    require(usage.cached_tokens >= 0 && usage.cached_tokens <= usage.prompt_tokens,
            "cached tokens are part of the prompt", body);
    require(usage.reasoning_tokens >= 0 && usage.reasoning_tokens <= usage.completion_tokens,
            "reasoning is part of the completion", body);
  }
  require(!whole.reported_cost || *whole.reported_cost >= usd(), "a cost is not negative", body);
  for (const auto& [reason, count] : whole.finish_reasons) {
    require(!reason.empty() && count > 0, "a finish reason has a name", body);
  }
  reason_walk walk(body);
  require(walk.run() && walk.counter.take() == whole.finish_reasons,
          "the body has the same finish reasons", body);
  const auto again = openai::read_whole_reply(body, target, 0);
  require(again.has_value(), "the body can be read again", body);
  require(again->body == body && again->usage == whole.usage &&
              again->reported_cost == whole.reported_cost &&
              again->finish_reasons == whole.finish_reasons,
          "read again it is the same reply", body + '\n' + again->body);
}

void check(const failure& failed) {
  require(!failed.message.empty() && is_one_line(failed.message), "the message is one line",
          failed.message);
  require(failed.http_status == 0 || failed.code != errc::connection_failed,
          "a head that arrived came over a connection");
  require(failed.http_status < 200 || failed.http_status > 299 || failed.code != errc::http_error,
          "a success status is not an HTTP error");
}

std::string describe(const outcome& result) {
  if (!result) {
    const failure& failed = result.error();
    return std::to_string(failed.http_status) + ' ' + std::string(to_string(failed.code)) + ' ' +
           std::to_string(static_cast<int>(failed.kind)) + ' ' + failed.request_id + '\n' +
           failed.message + '\n' + failed.body;
  }
  std::string text = std::to_string(result->http_status) + (result->streamed ? " streamed " : " ") +
                     result->request_id + '\n' + result->body;
  if (result->usage) {
    text += "\nusage " + std::to_string(result->usage->prompt_tokens) + ' ' +
            std::to_string(result->usage->cached_tokens) + ' ' +
            std::to_string(result->usage->completion_tokens) + ' ' +
            std::to_string(result->usage->reasoning_tokens);
  }
  if (result->reported_cost) text += "\ncost " + result->reported_cost->to_string();
  for (const auto& [reason, count] : result->finish_reasons) {
    text += '\n' + reason + ' ' + std::to_string(count);
  }
  return text;
}

}  // namespace
}  // namespace sluice::fuzz

/// The text is an HTTP response with head and body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  reply_reader::expectation expected;
  expected.target = static_cast<endpoint>(in.pick(4));
  const auto last = static_cast<reply_reader::ending>(in.pick(3));
  expected.choices = 1 + in.pick(3);
  if (in.pick(4) == 1) expected.max_body_bytes = 64;

  const outcome whole = read(in.text(), {}, expected, last);
  if (whole) {
    check(*whole, expected.target);
  } else {
    check(whole.error());
  }
  const auto agrees = [&](const std::vector<std::size_t>& cuts, std::string_view how) {
    const auto actual = describe(read(in.text(), cuts, expected, last));
    require(actual == describe(whole), how, describe(whole) + "\nactual\n" + actual);
  };
  agrees(every_byte(in.text()), "byte by byte, the outcome is the same");
  agrees(in.cuts(in.text()), "in pieces, the outcome is the same");
  return 0;
}
