#include "account/quota_inquiry.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <ctime>
#include <utility>

#include "openai/error_body.hpp"

namespace sluice::account {
namespace {

namespace asio = boost::asio;

// The prefixes of the billing routes: OpenAI's own, and the one that its web page used.
constexpr std::array<std::string_view, 2> billing_prefixes{"/v1", ""};

// OpenAI accepted at most 100 days. Relays ignore the dates and report the usage of the key's whole
// life.
std::string usage_path(std::string_view prefix, double now_unix) {
  constexpr std::time_t day = 24L * 60 * 60;
  constexpr std::time_t days = 99;
  const std::time_t end = static_cast<std::time_t>(now_unix) + day;
  return fmt::format("{}/dashboard/billing/usage?start_date={:%Y-%m-%d}&end_date={:%Y-%m-%d}",
                     prefix, fmt::gmtime(end - days * day), fmt::gmtime(end));
}

// Whether the path has no route of this API, so that another path may work.
bool is_elsewhere(const relay_answer& answer) {
  if (!answer.trouble.empty()) return true;
  return answer.status < 400 || answer.status == 404 || answer.status == 405 ||
         openai::read_error_body(answer.body).page;
}

}  // namespace

asio::awaitable<relay_answer> quota_inquiry::get(std::string path) {
  relay_answer answer = co_await relay_.get(std::move(path));
  if (answer.is_hopeless()) trouble_ = answer.end;
  co_return answer;
}

// Records an answer that does not contain the quota.
void quota_inquiry::note(const relay_answer& answer) {
  answers_.push_back(fmt::format("{}: {}", answer.url, sluice::said(answer)));
  if (!answer.trouble.empty()) return;
  const auto error = openai::read_error_body(answer.body);
  if (!told_status_ && error.structured) told_status_ = told_status(error);
}

asio::awaitable<void> quota_inquiry::learn_units() {
  if (units_ || is_hopeless()) co_return;
  const relay_answer answer = co_await get("/api/status");
  units_ = answer.succeeded() ? site_units::read(answer.body) : site_units();
}

asio::awaitable<bool> quota_inquiry::ask_billing() {
  for (const std::string_view prefix : billing_prefixes) {
    const std::string path = fmt::format("{}/dashboard/billing/subscription", prefix);
    const relay_answer answer = co_await get(path);
    const auto granted = answer.succeeded() ? read_subscription(answer.body) : std::nullopt;
    if (granted) {
      co_await ask_usage(std::string(prefix), *granted);
      co_return told_->remaining || told_->unlimited;
    }
    note(answer);
    key_refused_ = key_refused_ || answer.status == 401;
    if (is_hopeless() || !is_elsewhere(answer)) co_return false;
  }
  co_return false;
}

asio::awaitable<void> quota_inquiry::ask_usage(std::string prefix, subscription granted) {
  const std::string path = usage_path(prefix, time_.unix_now());
  const relay_answer answer = co_await get(path);
  const auto used = answer.succeeded() ? read_total_usage(answer.body) : std::nullopt;
  if (!used) note(answer);
  co_await learn_units();
  told_ = billing_quota(granted, used, units_.value_or(site_units()));
}

asio::awaitable<bool> quota_inquiry::ask_token_usage() {
  const std::string path = "/api/usage/token/";  // without the last slash, the relay redirects
  const relay_answer answer = co_await get(path);
  if (answer.succeeded()) co_await learn_units();
  const auto told = answer.succeeded()
                        ? read_token_usage(answer.body, units_.value_or(site_units()))
                        : std::nullopt;
  if (!told) {
    note(answer);
    co_return false;
  }
  told_ = told;
  co_return true;
}

asio::awaitable<bool> quota_inquiry::ask_credit_grants() {
  for (const std::string_view prefix : billing_prefixes) {
    const std::string path = fmt::format("{}/dashboard/billing/credit_grants", prefix);
    const relay_answer answer = co_await get(path);
    const auto told =
        answer.succeeded() ? read_credit_grants(answer.body, site_units()) : std::nullopt;
    if (told) {
      told_ = told;
      co_return true;
    }
    note(answer);
    if (is_hopeless() || !is_elsewhere(answer)) co_return false;
  }
  co_return false;
}

// Combines the amounts that were read with the refusals.
void quota_inquiry::settle() {
  if (!told_ && (told_status_ == key_status::exhausted || told_status_ == key_status::expired ||
                 told_status_ == key_status::disabled)) {
    told_.emplace();
    if (told_status_ == key_status::exhausted) told_->remaining = usd();
  }
  if (!told_) return;
  told_->status = status_at(*told_, time_.unix_now());
  if (told_status_) {
    told_->status = *told_status_;
  } else if (key_refused_ && told_->source == quota_source::token_usage &&
             told_->status == key_status::active) {
    told_->status = key_status::disabled;  // refused, although it has money and time left
  }
}

asio::awaitable<std::optional<quota>> quota_inquiry::ask() {
  bool done = co_await ask_billing();
  // A limit of 100,000,000 may be quota units, which are 200 USD, or may mean that there is no
  // limit.
  const bool doubtful = done && told_->unlimited && units_ && units_->shows_quota();
  if (doubtful) done = false;
  if (!done && !is_hopeless()) done = co_await ask_token_usage();
  const bool known = told_ && (told_->remaining || told_->unlimited);
  if (!known && !is_hopeless()) co_await ask_credit_grants();
  settle();
  co_return told_;
}

asio::awaitable<std::optional<quota>> quota_inquiry::ask_thriftily() {
  co_await ask_billing();
  settle();
  co_return told_;
}

asio::awaitable<std::optional<std::vector<usage_log_row>>> quota_inquiry::ask_log() {
  const std::string path = "/api/log/token";
  const relay_answer answer = co_await get(path);
  if (answer.succeeded()) co_await learn_units();
  auto log = answer.succeeded() ? read_usage_log(answer.body, units_.value_or(site_units()))
                                : std::nullopt;
  if (!log) note(answer);
  co_return log;
}

}  // namespace sluice::account
