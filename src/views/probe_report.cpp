#include "views/probe_report.hpp"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/printable.hpp"
#include "base/wording.hpp"
#include "probe/evaluate.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

std::string_view kind_of(const probe::check& one) {
  return one.kind->counts == probe::weight::advisory ? "advisory" : "objective";
}

std::string_view meaning_of(const probe::report& made) {
  switch (made.told) {
    case probe::verdict::consistent:
      return made.identity == probe::identity_finding::not_testable
                 ? "the bill is right, but no check can tell which model answers"
                 : "nothing that was checked speaks against the relay";
    case probe::verdict::suspicious:
      return "something is wrong that an honest relay might explain";
    case probe::verdict::inconsistent:
      return "the relay does not serve or bill what it sells";
    case probe::verdict::inconclusive:
      return "too little could be checked";
  }
  return "";
}

// The text in lines of at most `width` columns, each with an indent.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (end > width) {
      end = text.rfind(' ', width);
      if (end == std::string_view::npos || end == 0) end = std::min(text.find(' '), text.size());
    }
    out += fmt::format("{:{}}{}\n", "", indent, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

ordered_json probe_document(const probe::report& told, const probe_facts& facts) {
  auto checks = ordered_json::array();
  for (const auto& one : told.checks) {
    checks.push_back({{"name", one.kind->name},
                      {"kind", kind_of(one)},
                      {"result", to_string(one.result)},
                      {"evidence", one.evidence},
                      {"proves", one.kind->proves},
                      {"cannot", one.kind->cannot}});
  }
  return {{"model", facts.model},
          {"verdict", to_string(told.told)},
          {"identity", to_string(told.identity)},
          {"bill", to_string(told.bill)},
          {"limits", told.limits},
          {"checks", std::move(checks)},
          {"requests", facts.requests},
          {"cost_usd", facts.cost.to_string()}};
}

std::string probe_lines(const probe::report& told, const probe_facts& facts) {
  constexpr std::size_t column = 26;
  constexpr std::size_t width = 72;
  std::string lines =
      fmt::format("{} at {}\n\n", printable_text(facts.model), printable_text(facts.relay));
  for (const auto& one : told.checks) {
    std::string evidence = wrapped(printable_text(one.evidence), column, width);
    if (evidence.size() > column) evidence.erase(0, column);
    lines += fmt::format("  {:<4}  {:<18}{}", to_string(one.result), one.kind->name, evidence);
    if (one.result == probe::check_result::fail) {
      lines += wrapped(fmt::format("It shows: {}.", one.kind->proves), column, width);
      lines += wrapped(fmt::format("Its limits: {}.", one.kind->cannot), column, width);
    }
  }
  lines += fmt::format("\n{}: {}\nidentity: {}; bill: {}\nWhat this does not show:\n",
                       to_string(told.told), meaning_of(told), to_string(told.identity),
                       to_string(told.bill));
  for (const auto& limit : told.limits) {
    std::string text = wrapped(printable_text(limit), 4, 92);
    text.at(2) = '-';
    lines += text;
  }
  lines += fmt::format("{} requests, {} USD\n", facts.requests, facts.cost.to_string());
  return lines;
}

std::string probe_progress(const probe_status& now, const line_form& form) {
  fitted_line line;
  line.add({.text = say(form.spoken, "{} of {} requests answered", now.ended, now.all),
            .brief = fmt::format("{}/{}", now.ended, now.all),
            .weight = 90});
  line.add({.text = say(form.spoken, "{} in flight", now.in_flight),
            .weight = 20,
            .before = say(form.spoken, ", ")});
  line.add({.text = fmt::format("${}", now.cost.to_string()),
            .weight = 30,
            .before = say(form.spoken, ", ")});
  if (!now.doing.empty()) {
    line.add({.text = std::string(now.doing), .weight = 100, .before = "; "});
  } else if (now.wait) {
    const wait_text wait = text_of(*now.wait, form.spoken);
    line.add({.text = wait.sentence,
              .brief = wait.brief,
              .weight = 100,
              .meaning = tone::waiting,
              .before = "; "});
  }
  return line.in(form);
}

std::string probe_checks_help() {
  constexpr std::size_t width = 76;
  std::string help;
  for (const auto& one : probe::evaluate({}).checks) {
    help += fmt::format("  {} ({})\n", one.kind->name, kind_of(one));
    help += wrapped(fmt::format("A failure shows: {}.", one.kind->proves), 4, width);
    help += wrapped(fmt::format("Its limits: {}.", one.kind->cannot), 4, width);
  }
  return help;
}

}  // namespace sluice::cli
