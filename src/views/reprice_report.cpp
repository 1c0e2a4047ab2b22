#include "views/reprice_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/printable.hpp"
#include "json/text.hpp"
#include "views/progress.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t longest_shown_id = 40;

ordered_json costs_json(const repriced_results& costs) {
  return {{"requests", costs.requests},
          {"old_usd", amount_json(costs.old_cost)},
          {"new_usd", amount_json(costs.new_cost)},
          {"difference_usd", amount_json(costs.difference)},
          {"without_old", costs.without_old},
          {"without_new", costs.without_new}};
}

ordered_json job_json(const std::string& job, const job_reprice& found) {
  auto models = ordered_json::object();
  for (const auto& [name, costs] : found.models) models[name] = costs_json(costs);
  auto unpriced = ordered_json::array();
  for (const auto& [why, results] : found.unpriced) {
    auto lines = ordered_json::array();
    for (const auto& one : results.first) {
      lines.push_back({{"line", one.line}, {"custom_id", one.custom_id}});
    }
    unpriced.push_back({{"model", why.first},
                        {"missing", why.second},
                        {"requests", results.requests},
                        {"lines", std::move(lines)}});
  }
  return {{"job", job},
          {"models", std::move(models)},
          {"total", costs_json(found.total)},
          {"unpriced", std::move(unpriced)},
          {"unreadable_lines", found.unreadable_lines}};
}

std::string sum_text(const std::optional<usd>& amount) {
  return amount ? fmt::format("${}", amount->to_string()) : "unknown";
}

std::string difference_text(const std::optional<usd>& amount) {
  if (!amount) return "unknown";
  if (*amount == usd{}) return "none";
  const std::string digits = amount->to_string();
  return digits[0] == '-' ? fmt::format("-${}", digits.substr(1)) : fmt::format("+${}", digits);
}

// The rows of a table. Each column is as wide as its widest cell; numbers are right-aligned.
class table {
 public:
  void add(std::string name, const repriced_results& costs) {
    rows_.push_back({std::move(name), grouped(costs.requests), sum_text(costs.old_cost),
                     sum_text(costs.new_cost), difference_text(costs.difference)});
  }
  std::string text() const {
    std::array<std::size_t, columns> widths{};
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < columns; ++i)
        widths.at(i) = std::max(widths.at(i), row.at(i).size());
    }
    std::string lines;
    for (const auto& row : rows_) {
      lines += fmt::format("  {:<{}}", row[0], widths[0]);
      for (std::size_t i = 1; i < columns; ++i) {
        lines += fmt::format("  {:>{}}", row.at(i), widths.at(i));
      }
      lines += '\n';
    }
    return lines;
  }

 private:
  static constexpr std::size_t columns = 5;
  std::vector<std::array<std::string, columns>> rows_{
      {"model", "requests", "old", "new", "difference"}};
};

std::string missing_text(std::string_view missing) {
  if (missing == "price") return "no price for the model";
  if (missing == "usage") return "no usage";
  return fmt::format("no rate of {}", printable_text(missing));
}

std::string unpriced_text(const std::string& model, const std::string& missing,
                          const unpriced_results& results) {
  std::string names;
  for (const auto& one : results.first) {
    names += fmt::format("{}{} (line {})", names.empty() ? ": " : ", ",
                         printable_text(utf8_prefix(one.custom_id, longest_shown_id)), one.line);
  }
  const std::uint64_t more = results.requests - results.first.size();
  if (more > 0) names += fmt::format("{}{} more", names.empty() ? ": " : ", and ", grouped(more));
  return fmt::format("    {}, {}{}\n", printable_text(model), missing_text(missing), names);
}

std::string notes_text(const job_reprice& found) {
  std::string lines;
  if (found.total.without_old > 0) {
    lines += fmt::format("  left out of the difference: {} results without an old cost\n",
                         grouped(found.total.without_old));
  }
  if (!found.unpriced.empty()) {
    lines += "  left out of the difference, because they cannot be priced now:\n";
  }
  for (const auto& [why, results] : found.unpriced) {
    lines += unpriced_text(why.first, why.second, results);
  }
  if (found.unreadable_lines > 0) {
    lines += fmt::format("  not counted: {} output lines that are damaged, or being written\n",
                         grouped(found.unreadable_lines));
  }
  return lines;
}

repriced_results sum_of(const repriced_jobs& jobs) {
  repriced_results sum;
  for (const auto& [job, found] : jobs) sum += found.total;
  return sum;
}

}  // namespace

ordered_json reprice_document(const repriced_jobs& jobs) {
  auto documents = ordered_json::array();
  for (const auto& [job, found] : jobs) documents.push_back(job_json(job, found));
  return {{"jobs", std::move(documents)}, {"total", costs_json(sum_of(jobs))}};
}

std::string reprice_lines(const repriced_jobs& jobs) {
  std::string lines;
  for (const auto& [job, found] : jobs) {
    lines += fmt::format("{}: the cost of its results when they came, and by these prices\n",
                         printable_text(job));
    table costs;
    for (const auto& [name, model] : found.models) costs.add(printable_text(name), model);
    costs.add("total", found.total);
    lines += costs.text() + notes_text(found) + "\n";
  }
  if (jobs.size() > 1) {
    lines += "all jobs\n";
    table costs;
    costs.add("total", sum_of(jobs));
    lines += costs.text();
  } else if (!lines.empty()) {
    lines.pop_back();
  }
  return lines;
}

}  // namespace sluice::cli
