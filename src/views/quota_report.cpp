#include "views/quota_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/printable.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

template <typename Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

std::string moment(std::int64_t unix_seconds) {
  // Later dates are shown as plain numbers.
  constexpr std::int64_t last = 253'402'300'799;
  if (unix_seconds < 0 || unix_seconds > last) return std::to_string(unix_seconds);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::time_t{unix_seconds}));
}

std::string balance_text(const std::optional<usd>& amount) {
  return amount ? amount->to_string() + " USD" : "not shown";
}

template <typename Number>
std::string number_text(const std::optional<Number>& value) {
  return value ? fmt::format("{}", *value) : "-";
}

std::string_view route_of(account::quota_source source) {
  switch (source) {
    case account::quota_source::billing:
      return "/dashboard/billing/subscription";
    case account::quota_source::token_usage:
      return "/api/usage/token/";
    case account::quota_source::credit_grants:
      return "/dashboard/billing/credit_grants";
  }
  return "";
}

}  // namespace

ordered_json quota_document(const account::quota& told) {
  return {{"source", to_string(told.source)},   {"granted_usd", amount_json(told.granted)},
          {"used_usd", amount_json(told.used)}, {"remaining_usd", amount_json(told.remaining)},
          {"unlimited", told.unlimited},        {"expires_at", or_null(told.expires_at)},
          {"status", to_string(told.status)}};
}

ordered_json log_document(const std::vector<account::usage_log_row>& log) {
  auto rows = ordered_json::array();
  for (const auto& row : log) {
    rows.push_back({{"time", or_null(row.time)},
                    {"model", row.model},
                    {"prompt_tokens", or_null(row.prompt_tokens)},
                    {"completion_tokens", or_null(row.completion_tokens)},
                    {"cost_usd", amount_json(row.cost)},
                    {"seconds", or_null(row.seconds)},
                    {"streamed", or_null(row.streamed)},
                    {"served_model", or_null(row.served_model)}});
  }
  return rows;
}

std::string quota_lines(const account::quota& told, const std::string& relay) {
  const std::string no_limit = "no limit";
  return fmt::format(
      "relay      {}\n"
      "granted    {}\n"
      "used       {}\n"
      "remaining  {}\n"
      "expires    {}\n"
      "status     {}\n"
      "source     {} ({})\n",
      printable_text(relay), told.unlimited ? no_limit : balance_text(told.granted),
      balance_text(told.used), told.unlimited ? no_limit : balance_text(told.remaining),
      told.expires_at ? moment(*told.expires_at) : "never", to_string(told.status),
      to_string(told.source), route_of(told.source));
}

std::string log_lines(const std::vector<account::usage_log_row>& log) {
  if (log.empty()) return "The relay's log has no call in it.\n";
  std::size_t model = 5;
  for (const auto& row : log) model = std::max(model, printable_text(row.model).size());
  std::string lines =
      fmt::format("{:<23}  {:<{}}  {:>9}  {:>10}  {:>12}  {:>8}  {:<6}  {}\n", "time", "model",
                  model, "prompt", "completion", "USD", "seconds", "stream", "served by");
  for (const auto& row : log) {
    lines += fmt::format("{:<23}  {:<{}}  {:>9}  {:>10}  {:>12}  {:>8}  {:<6}  {}\n",
                         row.time ? moment(*row.time) : "-", printable_text(row.model), model,
                         number_text(row.prompt_tokens), number_text(row.completion_tokens),
                         row.cost ? row.cost->to_string() : "-", number_text(row.seconds),
                         row.streamed ? (*row.streamed ? "yes" : "no") : "-",
                         printable_text(row.served_model.value_or("-")));
  }
  return lines;
}

}  // namespace sluice::cli
