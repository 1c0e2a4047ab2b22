#include "server/metrics.hpp"

#include <fmt/format.h>

#include <cmath>

namespace sluice::server {
namespace {

std::string_view name_of(metrics_text::kind what) {
  switch (what) {
    case metrics_text::kind::counter:
      return "counter";
    case metrics_text::kind::gauge:
      return "gauge";
    case metrics_text::kind::histogram:
      break;
  }
  return "histogram";
}

// A quote is escaped only in the value of a label.
void append_escaped(std::string& to, std::string_view text, bool in_quotes) {
  for (const char c : text) {
    if (c == '\n') {
      to += "\\n";
    } else if (c == '\\' || (in_quotes && c == '"')) {
      to += '\\';
      to += c;
    } else {
      to += c;
    }
  }
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

void metrics_text::family(kind what, std::string_view name, std::string_view help) {
  name_ = name;
  head_ = fmt::format("# HELP {} ", name);
  append_escaped(head_, help, false);
  head_ += fmt::format("\n# TYPE {} {}\n", name, name_of(what));
}

void metrics_text::write(std::string_view suffix, labels of, std::string_view bound,
                         std::string_view value) {
  text_ += std::exchange(head_, {});
  text_.append(name_).append(suffix);
  char before = '{';
  const auto add = [&](std::string_view name, std::string_view text) {
    text_ += std::exchange(before, ',');
    text_.append(name).append("=\"");
    append_escaped(text_, text, true);
    text_ += '"';
  };
  for (const auto& [name, text] : of) add(name, text);
  if (!bound.empty()) add("le", bound);
  if (before == ',') text_ += '}';
  text_.append(" ").append(value).append("\n");
}

void metrics_text::sample(labels of, std::uint64_t value) {
  write({}, of, {}, std::to_string(value));
}

void metrics_text::sample(labels of, double value) {
  write({}, of, {}, number(value));
}

void metrics_text::sample_text(labels of, std::string_view value) {
  write({}, of, {}, value);
}

void metrics_text::histogram(labels of, std::span<const double> bounds,
                             std::span<const std::uint64_t> counts, double sum) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    write("_bucket", of, number(bounds[i]), std::to_string(counts[i]));
  }
  const std::string all = std::to_string(counts[bounds.size()]);
  write("_bucket", of, "+Inf", all);
  write("_sum", of, {}, number(sum));
  write("_count", of, {}, all);
}

}  // namespace sluice::server
