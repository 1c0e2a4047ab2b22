#include "cli/single_question.hpp"

#include <utility>

#include "openai/reply_text.hpp"

namespace sluice::cli {

single_question::single_question(request asked, std::string identity, const relay_prices& prices,
                                 std::optional<usd> limit, view shown)
    : asked_(std::move(asked)),
      identity_(std::move(identity)),
      prices_(prices),
      shown_(std::move(shown)) {
  if (limit) money_.emplace(*limit);
}

std::optional<request> single_question::next() {
  return std::exchange(asked_, std::nullopt);
}

funds single_question::reserve(const request& next) {
  return money_ ? money_->reserve(next.most) : funds::reserved;
}

void single_question::unreserve(const request& next) {
  if (money_) money_->give_back(next.most);
}

void single_question::attempt_started(const attempt_record& attempt) {
  if (shown_attempt_ == 0 || shown_attempt_ == attempt.number) return;
  shown_attempt_ = 0;
  shown_.starts_again();
}

void single_question::attempt_ended(const attempt_record& attempt, attempt_end how) {
  if (how == attempt_end::lost || how == attempt_end::given_up) ++maybe_billed_;
  if (!money_) return;
  if (keeps_reservation(how)) {
    money_->settle(attempt.most, attempt.most);
  } else {
    money_->give_back(attempt.most);
  }
}

void single_question::text(const attempt_record& attempt, std::string_view more) {
  shown_attempt_ = attempt.number;
  shown_.text(more);
}

void single_question::put(result&& finished) {
  answer_ = std::move(finished);
  if (!answer_->outcome) return;
  const reply& whole = *answer_->outcome;
  const auto& usage = whole.usage ? whole.usage : whole.estimated_usage;
  const auto* price = prices_.find(answer_->relay, answer_->model, answer_->target);
  if (usage && price != nullptr) {
    const double ended = answer_->started_at + answer_->latency_ms / 1000;
    cost_ = price->cost(*usage, whole.served(answer_->started_at, ended)).cost;
  }
  if (shown_attempt_ != 0) return;
  for (const auto& piece : openai::reply_texts(whole.body)) {  // it was not streamed
    if (!piece.reasoning) shown_.text(piece.text);
  }
}

}  // namespace sluice::cli
