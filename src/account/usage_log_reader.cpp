#include "account/usage_log_reader.hpp"

#include "account/lenient_values.hpp"

namespace sluice::account {
namespace {

constexpr std::int64_t consumption = 2;  // other kinds are top-ups, management, errors and refunds

// new-api puts more details of a call into a string that contains JSON.
std::optional<std::string> admitted_model(const json_object& row) {
  const auto more = row.text("other").value_or(std::string());
  const json_object other = json_object::parse(more);
  if (flag_of(other, "is_model_mapped") == false) return std::nullopt;
  const auto served = other.text("upstream_model_name");
  return served && !served->empty() ? served : std::nullopt;
}

// one-api counts in milliseconds, new-api in whole seconds.
std::optional<double> duration_of(const json_object& row) {
  if (const auto milliseconds = integer_of(row, "elapsed_time")) {
    return static_cast<double>(*milliseconds) / 1000;
  }
  const auto seconds = integer_of(row, "use_time");
  if (!seconds) return std::nullopt;
  return static_cast<double>(*seconds);
}

usage_log_row read_row(const json_object& row, const site_units& units) {
  usage_log_row read;
  read.time = integer_of(row, "created_at");
  read.model = row.text("model_name").value_or(std::string());
  read.prompt_tokens = integer_of(row, "prompt_tokens");
  read.completion_tokens = integer_of(row, "completion_tokens");
  if (const auto quota = amount_of(row, "quota"))
    read.cost = units.rounded(units.from_quota(*quota));
  read.seconds = duration_of(row);
  read.streamed = flag_of(row, "is_stream");
  read.served_model = admitted_model(row);
  return read;
}

}  // namespace

std::optional<std::vector<usage_log_row>> read_usage_log(std::string_view body,
                                                         const site_units& units) {
  const json_object answer = json_object::parse(body);
  if (!answer.is_object() || is_refusal(answer)) return std::nullopt;
  auto rows = json_elements(answer.value("data"));
  if (const json_object page = answer.object("data"); page.is_object()) {
    rows = json_elements(page.value("items"));
  }
  // A key that was never used has null in place of the list, because Go writes an empty slice as
  // null.
  if (!rows && !answer.has_value("data") && flag_of(answer, "success") == true) rows.emplace();
  if (!rows) return std::nullopt;
  std::vector<usage_log_row> log;
  for (const auto text : *rows) {
    const json_object row(text);
    if (integer_of(row, "type") == consumption) log.push_back(read_row(row, units));
  }
  return log;
}

}  // namespace sluice::account
