#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "money/budget.hpp"
#include "sluice/prices.hpp"
#include "sluice/request_source.hpp"
#include "sluice/result_sink.hpp"

namespace sluice::cli {

/// A run of one request, whose text is shown as it arrives. For one run. The functions of
/// request_source may be called from another thread, all others from the event loop's thread.
class single_question final : public request_source, public result_sink {
 public:
  /// Callbacks that show the text.
  struct view {
    std::function<void(std::string_view more)> text;
    /// The attempt that showed text has failed, and the next one starts from the beginning.
    std::function<void()> starts_again;
  };

  /// `identity`: see request_source. `limit`: the budget; if it is set, the request's highest cost
  /// must be set too. `prices` must outlive it.
  single_question(request asked, std::string identity, const relay_prices& prices,
                  std::optional<usd> limit, view shown);

  std::optional<request> next() override;
  void cancel() override {}
  std::string_view identity(std::size_t) const override { return identity_; }

  funds reserve(const request& next) override;
  void unreserve(const request& next) override;
  void attempt_started(const attempt_record& attempt) override;
  void attempt_ended(const attempt_record& attempt, attempt_end how) override;
  bool wants_text() const override { return true; }
  void text(const attempt_record& attempt, std::string_view more) override;
  void put(result&& finished) override;
  void flush() override {}

  /// nullopt: it has not ended.
  const std::optional<result>& answer() const noexcept { return answer_; }
  /// nullopt: unknown.
  const std::optional<usd>& cost() const noexcept { return cost_; }
  /// Number of attempts that the relay may have billed without a result.
  unsigned maybe_billed() const noexcept { return maybe_billed_; }

 private:
  std::optional<request> asked_;
  const std::string identity_;
  const relay_prices& prices_;
  std::optional<budget> money_;
  view shown_;
  std::uint32_t shown_attempt_ = 0;  ///< 0: no text was shown
  unsigned maybe_billed_ = 0;
  std::optional<result> answer_;
  std::optional<usd> cost_;
};

}  // namespace sluice::cli
