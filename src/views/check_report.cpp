#include "views/check_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "json/text.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t most_shown_faults = 20;  // of different bad lines
constexpr std::size_t most_shown_numbers = 5;  // of lines with the same fault

std::optional<double> minutes_of(const job_check& told, const check_limits& limits) {
  const auto minutes = told.minutes_at(limits.requests_a_minute, limits.tokens_a_minute);
  if (!minutes) return std::nullopt;
  return std::round(*minutes * 1000) / 1000;
}

ordered_json document_of(const named_check& job, const check_limits& limits) {
  const job_check& told = job.told;
  auto bad_lines = ordered_json::array();
  for (const auto& bad : told.bad_lines()) {
    bad_lines.push_back(
        {{"line", bad.line}, {"code", to_string(bad.code)}, {"message", told.message_of(bad)}});
  }
  auto models = ordered_json::object();
  for (const auto& [name, share] : told.models()) {
    models[name] = {{"requests", share.requests}, {"prompt_tokens", share.prompt_tokens}};
  }
  const auto most = told.most_completion_tokens();
  const auto minutes = minutes_of(told, limits);
  return {{"job", job.job},
          {"requests", told.lines()},
          {"bad_lines", std::move(bad_lines)},
          {"prompt_tokens", told.prompt_tokens()},
          {"max_completion_tokens", most ? ordered_json(*most) : ordered_json(nullptr)},
          {"models", std::move(models)},
          {"cost_usd",
           {{"prompt", amount_json(told.prompt_cost())},
            {"likely", amount_json(told.likely_cost())},
            {"at_most", amount_json(told.most_cost())}}},
          {"minutes_at_limit", minutes ? ordered_json(*minutes) : ordered_json(nullptr)}};
}

std::string dollars(const std::optional<usd>& amount) {
  return amount ? shown_amount(*amount) : "unknown";
}

// Explains how the likely cost and the highest cost were computed.
void append_reasons(std::string& out, const named_check& job) {
  const job_check& told = job.told;
  if (told.likely_cost()) {
    fmt::format_to(std::back_inserter(out), "            likely: replies {}\n",
                   job.replies_are_measured
                       ? std::string("as long as those of the earlier run, on average")
                       : fmt::format("of {} tokens, or their limit where that is lower",
                                     likely_replies::usual));
  }
  const auto most = told.most_cost();
  if (!most) return;
  out += "            at most: every reply at its longest, and the dearest rate of each prompt\n";
  const auto at_standard = told.most_cost_at_standard();
  if (at_standard && *at_standard < *most) {
    fmt::format_to(std::back_inserter(out),
                   "            {} at most with --tier-default standard: requests that name no "
                   "service tier may be\n            served at priority prices\n",
                   dollars(at_standard));
  }
}

std::string limits_text(const check_limits& limits) {
  std::string text;
  if (limits.requests_a_minute != 0) text += fmt::format("{} requests", limits.requests_a_minute);
  if (limits.tokens_a_minute != 0)
    text += fmt::format("{}{} tokens", text.empty() ? "" : " and ", limits.tokens_a_minute);
  return text + " a minute";
}

bool all_exact(const job_check& told) {
  return std::all_of(told.models().begin(), told.models().end(),
                     [](const auto& model) { return model.second.exact; });
}

std::string counted(std::uint64_t tokens, bool exact) {
  return fmt::format("{}{}", exact ? "" : "~", tokens);
}

void append_models(std::string& out, const job_check& told) {
  std::size_t width = std::string_view("model").size();
  for (const auto& [name, share] : told.models())
    width = std::max(width, printable_text(name).size());
  const auto row = [&](std::string_view name, std::string_view requests, std::string_view tokens,
                       std::string_view note) {
    fmt::format_to(std::back_inserter(out), "  {:<{}}  {:>10}  {:>15}{}\n", name, width, requests,
                   tokens, note);
  };
  row("model", "requests", "prompt tokens", "");
  for (const auto& [name, share] : told.models()) {
    std::string note;
    if (share.rough) note += "  rough: its vocabulary is not known";
    if (!share.priced) note += fmt::format("{} no price", note.empty() ? " " : ";");
    row(printable_text(name), fmt::format("{}", share.requests),
        counted(share.prompt_tokens, share.exact), note);
  }
}

// Bad lines with the same fault.
struct alike {
  std::string fault;  // code and message
  std::uint64_t count = 0;
  std::vector<std::uint64_t> first;  // line numbers
};

// Groups bad lines with the same fault, in the order of their first lines, up to most_shown_faults
// groups. `others` counts the lines of the other groups.
std::vector<alike> folded(const job_check& told, std::uint64_t& others) {
  std::vector<alike> all;
  std::unordered_map<std::string, std::size_t> places;
  for (const auto& bad : told.bad_lines()) {
    std::string fault =
        fmt::format("{}: {}", to_string(bad.code), printable_text(told.message_of(bad)));
    auto place = places.find(fault);
    if (place == places.end()) {
      if (all.size() == most_shown_faults) {
        ++others;
        continue;
      }
      place = places.emplace(fault, all.size()).first;
      all.push_back({std::move(fault), 0, {}});
    }
    alike& group = all[place->second];
    ++group.count;
    if (group.first.size() < most_shown_numbers) group.first.push_back(bad.line);
  }
  return all;
}

void append_bad_lines(std::string& out, const job_check& told) {
  std::uint64_t others = 0;
  for (const alike& group : folded(told, others)) {
    if (group.count == 1) {
      fmt::format_to(std::back_inserter(out), "  line {}: {}\n", group.first.front(), group.fault);
      continue;
    }
    const std::uint64_t more = group.count - group.first.size();
    fmt::format_to(std::back_inserter(out), "  {} lines ({}{}): {}\n", group.count,
                   fmt::join(group.first, ", "), more > 0 ? ", …" : "", group.fault);
  }
  if (others > 0) {
    fmt::format_to(std::back_inserter(out), "  and {} more bad lines; see them with --json\n",
                   others);
  }
}

void append_job(std::string& out, const named_check& job, const check_limits& limits) {
  const job_check& told = job.told;
  const auto most = told.most_completion_tokens();
  const auto minutes = minutes_of(told, limits);
  fmt::format_to(std::back_inserter(out),
                 "{}\n"
                 "  requests  {} ({} bad)\n"
                 "  prompts   {} tokens\n"
                 "  replies   {}\n"
                 "  cost      {} likely, {} at most ({} for the prompts)\n",
                 printable_text(job.job), told.lines(), told.bad_lines().size(),
                 counted(told.prompt_tokens(), all_exact(told)),
                 most ? fmt::format("{} tokens at most", *most) : "not bounded",
                 dollars(told.likely_cost()), dollars(told.most_cost()),
                 dollars(told.prompt_cost()));
  append_reasons(out, job);
  fmt::format_to(
      std::back_inserter(out), "  time      {}\n",
      minutes ? fmt::format("{:.1f} min at {}", *minutes, limits_text(limits)) : "no limit");
  if (told.unbounded()) {
    fmt::format_to(
        std::back_inserter(out), "  line {}: the request {}; --budget needs a bound: {}\n",
        told.unbounded()->line, printable_text(told.unbounded()->why), told.unbounded()->advice);
  }
  if (!told.models().empty()) append_models(out, told);
  append_bad_lines(out, told);
}

}  // namespace

ordered_json check_document(const std::vector<named_check>& jobs, const check_limits& limits) {
  auto list = ordered_json::array();
  for (const auto& job : jobs) list.push_back(document_of(job, limits));
  return {{"jobs", std::move(list)}};
}

std::string check_lines(const std::vector<named_check>& jobs, const check_limits& limits) {
  std::string out;
  for (const auto& job : jobs) {
    if (!out.empty()) out += '\n';
    append_job(out, job, limits);
  }
  return out;
}

void append_request_line(std::string& out, const checked_request& request) {
  fmt::format_to(std::back_inserter(out), R"({{"line":{},"custom_id":)", request.line);
  append_json_wtf8(out, request.custom_id);
  out += R"(,"model":)";
  append_json_quoted(out, request.model);
  fmt::format_to(std::back_inserter(out), R"(,"prompt_tokens":{},"encoding":)",
                 request.prompt.tokens);
  if (!request.encoding) {
    out += "null}\n";
  } else {
    out +=
        *request.encoding == vocabulary::cl100k_base ? "\"cl100k_base\"}\n" : "\"o200k_base\"}\n";
  }
}

}  // namespace sluice::cli
