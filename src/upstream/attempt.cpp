#include "upstream/attempt.hpp"

#include <cstdint>
#include <utility>

#include "openai/reply_head.hpp"

namespace sluice {
namespace {

openai::reply_reader::expectation bounded(openai::reply_reader::expectation expected,
                                          const relay_options& relay) {
  expected.max_body_bytes = relay.max_response_bytes;
  return expected;
}

}  // namespace

attempt::attempt(clock& time, const way& to, start_gate::permit turn,
                 openai::reply_reader::expectation expected, attempt_observer* observer)
    : time_(time),
      to_(to),
      turn_(turn),
      target_(expected.target),
      reader_(bounded(std::move(expected), to.relay)),
      observer_(observer) {
  seen_.started = time_.now();
}

boost::asio::awaitable<attempt_outcome> attempt::send(http_client::outgoing request) {
  try {
    end_ = co_await to_.client.exchange(request, *this);
  } catch (...) {
    end_.sent_any = true;  // unknown, so assume it
    leave();
    throw;
  }
  seen_.ended = end_.end == exchange_end::how::complete ? came() : time_.now();
  co_return outcome_of(end_, reader_);
}

void attempt::redact(attempt_outcome& outcome) const {
  name_address(outcome, to_.relay, target_);
  sluice::redact(outcome, to_.hidden);
}

void attempt::on_sending(bool connected_anew) {
  seen_.sending = time_.now();
  seen_.connected_anew = connected_anew;
  if (observer_ != nullptr) observer_->on_sending(*seen_.sending);
}

void attempt::on_head(response_head head) {
  seen_.head = came();
  to_.gate.answered(turn_);
  if (observer_ != nullptr) observer_->on_head(head);
  reader_.head(openai::read_head(head.status, head.fields), time_.unix_now());
}

body_need attempt::on_body(std::string_view bytes) {
  if (observer_ != nullptr) observer_->on_body(bytes);
  const std::uint64_t before = pieces().any;
  body_need need = reader_.body(bytes);
  if (need == body_need::nothing && observer_ != nullptr && observer_->wants_rest()) {
    need = body_need::more;
  }
  if (pieces().any == before) return need;
  if (!seen_.first_piece) seen_.first_piece = came();
  if (observer_ != nullptr) observer_->on_pieces(*this);
  return need;
}

std::size_t attempt::held() const {
  return reader_.held() + (observer_ != nullptr ? observer_->held() : 0);
}

}  // namespace sluice
