#include "views/run_summary.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>

#include "base/printable.hpp"
#include "json/text.hpp"
#include "views/cache_text.hpp"
#include "views/progress.hpp"
#include "views/shown_amount.hpp"

namespace sluice::cli {
namespace {

constexpr std::size_t summary_failures = 3;
constexpr std::size_t longest_reason = 120;

std::string shortened(const std::string& reason) {
  const std::string_view shown = utf8_prefix(reason, longest_reason);
  return printable_text(std::string(shown) + (shown.size() < reason.size() ? "…" : ""));
}

std::vector<std::pair<std::string, std::uint64_t>> by_frequency(
    const std::map<std::string, std::uint64_t>& errors) {
  std::vector<std::pair<std::string, std::uint64_t>> failures(errors.begin(), errors.end());
  std::stable_sort(failures.begin(), failures.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return failures;
}

std::string job_text(const job_set::job_summary& job, const job_totals& totals,
                     const std::map<std::string, std::string>& reasons, language spoken) {
  std::string text =
      say(spoken, "\n{}: {} of {} succeeded, {} failed, {} pending\n", printable_text(job.job),
          grouped(totals.succeeded), grouped(totals.requests), grouped(totals.failed),
          grouped(totals.pending()));
  const auto failures = by_frequency(totals.errors);
  for (std::size_t i = 0; i < std::min(failures.size(), summary_failures); ++i) {
    const auto reason = reasons.find(failures[i].first);
    text += say(spoken, "  failed    {} x {}{}\n", grouped(failures[i].second), failures[i].first,
                reason == reasons.end() ? "" : ": " + shortened(reason->second));
  }
  text += say(spoken, "  tokens    {} prompt ({} cached) + {} completion\n",
              grouped(static_cast<std::uint64_t>(totals.tokens.prompt_tokens)),
              grouped(static_cast<std::uint64_t>(totals.tokens.cached_tokens)),
              grouped(static_cast<std::uint64_t>(totals.tokens.completion_tokens)));
  const token_usage& tokens = totals.tokens;
  const std::string cache =
      cache_text({.read = static_cast<std::uint64_t>(tokens.cached_tokens),
                  .written = static_cast<std::uint64_t>(
                      saturated_sum(tokens.cache_write_tokens, tokens.cache_write_1h_tokens)),
                  .read_share = totals.cache_read_share(),
                  .saved = totals.cache_saved ? totals.cache_saved->to_string() : std::string()},
                 spoken);
  if (!cache.empty()) text += say(spoken, "  cache     {}\n", cache);
  text += say(spoken, "  cost      ${}", totals.cost.to_string());
  if (totals.unpriced_requests > 0) {
    text += say(spoken, ", and {} without a price or usage", grouped(totals.unpriced_requests));
  }
  if (totals.rejected.replies > 0) {
    const std::string cost = totals.rejected.cost.to_string();
    const std::string replies = grouped(totals.rejected.replies);
    text += totals.rejected.replies == 1
                ? say(spoken, ", of it ${} for {} rejected reply", cost, replies)
                : say(spoken, ", of it ${} for {} rejected replies", cost, replies);
  }
  if (totals.kept != usd{}) {
    text +=
        say(spoken,
            ", and ${} kept of the budget for attempts of unknown outcome and for replaced results",
            totals.kept.to_string());
  }
  for (const auto& [name, relay] : totals.relays()) {
    text +=
        say(spoken, "\n  relay     {}: {} replies, {}", name, grouped(relay.requests),
            relay.cost ? fmt::format("${}", relay.cost->to_string()) : say(spoken, "cost unknown"));
  }
  text += say(spoken, "\n  attempts  {}, {} of them retries", grouped(totals.attempts),
              grouped(totals.retries));
  if (totals.maybe_billed_attempts > 0) {
    text += say(spoken, "; {} ended without a result and may have been billed",
                grouped(totals.maybe_billed_attempts));
  }
  text += say(spoken, "\n  files     {}\n            {}\n            {}\n", job.output, job.errors,
              job.totals);
  return text;
}

}  // namespace

namespace {

// " (2 x 400: no such model, 1 x 503)". Only the most frequent failure is shown with its reason.
std::string failures_in_brackets(const std::map<std::string, std::uint64_t>& errors,
                                 const std::map<std::string, std::string>& reasons,
                                 language spoken) {
  std::string text;
  const auto failures = by_frequency(errors);
  for (std::size_t i = 0; i < std::min(failures.size(), summary_failures); ++i) {
    const auto& [code, count] = failures[i];
    text += fmt::format("{}{} x {}", text.empty() ? "" : say(spoken, ", "), grouped(count), code);
    const auto reason = reasons.find(code);
    if (i == 0 && reason != reasons.end()) text += ": " + shortened(reason->second);
  }
  return text.empty() ? text : say(spoken, " ({})", text);
}

}  // namespace

std::string one_line_summary(const job_set& jobs, const wording& sentence, language spoken) {
  const auto summaries = jobs.summaries();
  job_totals all;
  std::map<std::string, std::string> reasons;
  std::string errors_file;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const job_totals totals = jobs.totals(i);
    all.requests += totals.requests;
    all.succeeded += totals.succeeded;
    all.failed += totals.failed;
    all.cost += totals.cost;
    all.unpriced_requests += totals.unpriced_requests;
    for (const auto& [code, count] : totals.errors) all.errors[code] += count;
    reasons.merge(jobs.failure_reasons(i));
    if (errors_file.empty() && totals.failed > 0) errors_file = summaries[i].errors;
  }
  const std::string name =
      jobs.size() == 1 ? summaries[0].job : say(spoken, "{} jobs", jobs.size());
  std::string text = say(spoken, "{}{}: {} of {} succeeded, {} failed{}, {} pending; cost ${}{}",
                         sentence.empty() ? std::string() : say(spoken, "{}; ", sentence),
                         printable_text(name), grouped(all.succeeded), grouped(all.requests),
                         grouped(all.failed), failures_in_brackets(all.errors, reasons, spoken),
                         grouped(all.pending()), all.cost.to_string(),
                         all.unpriced_requests == 0 ? std::string()
                                                    : say(spoken, " and {} without a price",
                                                          grouped(all.unpriced_requests)));
  if (sentence.empty() && !errors_file.empty()) {
    text += say(spoken, "; see {}", printable_text(errors_file));
  }
  return text;
}

wording stop_sentence(const run_outcome& outcome,
                      const std::optional<job_set::budget_shortage>& shortage) {
  switch (outcome.reason) {
    case stop_reason::none:
      return {};
    case stop_reason::interrupted:
      return worded("interrupted; what was in flight has ended");
    case stop_reason::key_ended:
      return worded(
          "stopped: the relay refuses the key ({}); check that the key belongs to this relay and "
          "is still valid ('sluice quota' tells), and run again to go on",
          outcome.message);
    case stop_reason::quota_spent:
      return worded(
          "stopped: the key's quota is used up ({}); add to it ('sluice quota' shows what is "
          "left), "
          "and run again to go on",
          outcome.message);
    case stop_reason::blocked:
      return worded(
          "stopped: a gateway in front of the relay blocks this computer ({}); ask the relay which "
          "addresses it accepts, or use another network or a proxy, and run again to go on",
          outcome.message);
    case stop_reason::wrong_address:
      return worded(
          "stopped: the address is wrong ({}); --base-url should look like "
          "https://relay.example/v1, or be the whole address of the endpoint with a # behind it",
          outcome.message);
    case stop_reason::bad_certificate:
      return worded(
          "stopped: {}; check the host in --base-url and the clock of this computer, or name the "
          "authority in "
          "SSL_CERT_FILE",
          outcome.message);
    case stop_reason::bad_proxy:
      return worded(
          "stopped: {}; give user and password as in http://user:password@proxy.example:3128",
          outcome.message);
    case stop_reason::budget_spent:
      if (!shortage) {
        return worded(
            "stopped: the budget is used up ({}); raise --budget and run again to "
            "go on",
            outcome.message);
      }
      return worded(
          "stopped: the budget is used up: the next request may cost up to {}, and {} is left; "
          "raise --budget{}, and run again to go on",
          shown_amount(shortage->most), shown_amount(shortage->left),
          shortage->reply_limit > 0
              ? worded(", or limit its reply in the job to max_tokens {} or less",
                       shortage->reply_limit)
              : wording());
    case stop_reason::relay_down:
      return worded(
          "stopped: no success for as long as --give-up-after allows ({}); run again to go on",
          outcome.message);
    case stop_reason::unreachable:
      return worded(
          "stopped: no connection for as long as --give-up-after allows ({}); check --base-url, "
          "set "
          "HTTPS_PROXY if this network needs a proxy, and run again to go on",
          outcome.message);
    case stop_reason::refused_alike:
      return worded(
          "stopped: {}; nothing was written for them: check --model ('sluice models' lists what "
          "the "
          "relay has), the job and --base-url, or send the rest all the same with --keep-going",
          outcome.message);
    case stop_reason::model_out:
      return worded(
          "stopped: a model had no upstream for as long as --give-up-after allows ({}); its "
          "requests stay pending, run again to go on",
          outcome.message);
    case stop_reason::come_back_later:
      if (!outcome.again_at) {
        return worded(
            "stopped: the relay asks for a wait of more than a day ({}); ask its operator, or "
            "run again to try",
            outcome.message);
      }
      return worded(
          "stopped: the relay asks for a longer wait than --max-wait ({}); run again at {}",
          outcome.message,
          fmt::format("{:%F %T}", fmt::localtime(static_cast<std::time_t>(
                                      std::ceil(outcome.again_at.value_or(0))))));
  }
  return {};
}

wording with_given_up(wording sentence, const run_outcome& outcome) {
  switch (outcome.gave_up) {
    case stop_reason::refused_alike:
      return worded(
          "{}; besides, {}; nothing was written for them: check --model, the job and --base-url",
          sentence, outcome.gave_up_message);
    case stop_reason::model_out:
      return worded(
          "{}; besides, a model had no upstream for as long as --give-up-after allows ({})",
          sentence, outcome.gave_up_message);
    default:
      return sentence;
  }
}

namespace {

// A budget that is likely enough for the rest of the jobs: it assumes the mean cost of finished
// requests, plus the highest cost of one more request. In whole cents.
usd likely_budget(const job_set& jobs, const job_set::budget_shortage& shortage) {
  usd spent;
  std::uint64_t done = 0;
  std::uint64_t pending = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const job_totals totals = jobs.totals(i);
    spent += totals.cost + totals.kept;
    done += totals.succeeded + totals.failed;
    pending += totals.pending();
  }
  const usd::units each =
      done > 0 ? spent.count() / static_cast<usd::units>(done) + 1 : shortage.most.count();
  const usd::units all =
      spent.count() + each * static_cast<usd::units>(pending) + shortage.most.count();
  const usd::units cent = usd::parse("0.01")->count();
  return usd::from_units((all + cent - 1) / cent * cent);
}

std::string time_text(double seconds, language spoken) {
  constexpr double short_run_s = 10;
  return seconds < short_run_s ? say(spoken, "{:.2f} s", seconds) : short_time(seconds, spoken);
}

}  // namespace

std::string run_summary(const job_set& jobs, double seconds, language spoken) {
  std::string text;
  const auto summaries = jobs.summaries();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    text += job_text(summaries[i], jobs.totals(i), jobs.failure_reasons(i), spoken);
  }
  return text + say(spoken, "time      {}", time_text(seconds, spoken));
}

std::string next_command(const job_set& jobs, const run_outcome& outcome,
                         const shown_command& command, bool shows_results, language spoken) {
  std::uint64_t pending = 0;
  std::uint64_t retryable = 0;
  std::uint64_t permanent = 0;
  std::set<std::string> missing;
  const auto summaries = jobs.summaries();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const job_totals totals = jobs.totals(i);
    missing.merge(jobs.missing_models(i));
    pending += totals.pending();
    retryable += totals.retryable_failures;
    permanent += totals.failed - totals.retryable_failures - summaries[i].bad_lines;
  }
  const auto bad = std::find_if(summaries.begin(), summaries.end(),
                                [](const auto& job) { return job.bad_lines > 0; });
  const auto shortage = jobs.shortage();
  std::string next;
  if (outcome.reason == stop_reason::budget_spent && shortage) {
    next = again(command, fmt::format(" --budget {}", likely_budget(jobs, *shortage).to_string()),
                 spoken);
  } else if (outcome.reason == stop_reason::refused_alike ||
             outcome.gave_up == stop_reason::refused_alike) {
    next = say(spoken, "correct --model or the job, then {}", again(command, {}, spoken));
  } else if (pending + retryable > 0) {
    next = again(command, {}, spoken);
  } else if (!missing.empty()) {
    next = say(
        spoken,
        "'sluice models' lists what the relay has, and {} is not there; name another in the job, "
        "then {}",
        printable_text(*missing.begin()), again(command, {}, spoken));
  } else if (permanent > 0) {
    next = again(command, " --retry-failed", spoken);
  } else if (bad != summaries.end()) {
    next = say(spoken, "correct the lines that {} names, then {}", bad->errors,
               again(command, {}, spoken));
  } else if (outcome.reason == stop_reason::none && shows_results) {
    next = fmt::format("jq -r '.response.body | .choices[0].message.content? // .' {}",
                       quoted(summaries[0].output));
  }
  return next.empty() ? next : say(spoken, "next      {}", next);
}

}  // namespace sluice::cli
