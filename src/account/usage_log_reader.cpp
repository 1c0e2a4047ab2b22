#include "account/usage_log_reader.hpp"

#include "account/answer_object.hpp"

namespace sluice::account {
namespace {

constexpr std::int64_t consumption = 2;  // of top-ups, management, errors and refunds

// new-api puts what it knows more of a call into a string of JSON.
std::optional<std::string> admitted_model(const answer_object& row) {
  const auto more = row.text("other").value_or(std::string());
  const auto other = answer_object::parse(more);
  if (!other || other->flag("is_model_mapped") == false) return std::nullopt;
  const auto served = other->text("upstream_model_name");
  return served && !served->empty() ? served : std::nullopt;
}

// Milliseconds in one-api, whole seconds in new-api.
std::optional<double> duration_of(const answer_object& row) {
  if (const auto milliseconds = row.integer("elapsed_time")) {
    return static_cast<double>(*milliseconds) / 1000;
  }
  const auto seconds = row.integer("use_time");
  if (!seconds) return std::nullopt;
  return static_cast<double>(*seconds);
}

usage_log_row read_row(const answer_object& row, const site_units& units) {
  usage_log_row read;
  read.time = row.integer("created_at");
  read.model = row.text("model_name").value_or(std::string());
  read.prompt_tokens = row.integer("prompt_tokens");
  read.completion_tokens = row.integer("completion_tokens");
  if (const auto quota = row.amount("quota")) read.cost = units.rounded(units.from_quota(*quota));
  read.seconds = duration_of(row);
  read.streamed = row.flag("is_stream");
  read.served_model = admitted_model(row);
  return read;
}

}  // namespace

std::optional<std::vector<usage_log_row>> read_usage_log(std::string_view body,
                                                         const site_units& units) {
  const auto answer = answer_object::parse(body);
  if (!answer || is_refusal(*answer)) return std::nullopt;
  auto rows = answer->list("data");
  if (const auto page = answer->object("data")) rows = page->list("items");
  // A key that was never used: Go writes a list that was not begun as null.
  if (!rows && !answer->value("data") && answer->flag("success") == true) rows.emplace();
  if (!rows) return std::nullopt;
  std::vector<usage_log_row> log;
  for (const auto text : *rows) {
    const auto row = answer_object::of_value(text);
    if (row && row->integer("type") == consumption) log.push_back(read_row(*row, units));
  }
  return log;
}

}  // namespace sluice::account
