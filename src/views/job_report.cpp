#include "views/job_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/printable.hpp"
#include "base/wording.hpp"
#include "json/text.hpp"
#include "openai/error_body.hpp"
#include "views/cache_text.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t shown_failures = 10;
constexpr std::size_t shown_reason = 120;

const ordered_json& member(const ordered_json& object, const char* name) {
  static const ordered_json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(name);
  return found == object.end() ? nothing : *found;
}

std::uint64_t unsigned_member(const ordered_json& object, const char* name) {
  const ordered_json& found = member(object, name);
  return found.is_number_unsigned() ? found.get<std::uint64_t>() : 0;
}

std::string grouped_member(const ordered_json& object, const char* name) {
  return grouped(unsigned_member(object, name));
}

bool is_above_zero(const ordered_json& object, const char* name) {
  return unsigned_member(object, name) > 0;
}

std::string text_member(const ordered_json& object, const char* name) {
  const ordered_json& found = member(object, name);
  return found.is_string() ? printable_text(found.get_ref<const std::string&>()) : std::string();
}

std::string cost(const ordered_json& object, language spoken) {
  const std::string amount = text_member(object, "cost_usd");
  return amount.empty() ? say(spoken, "cost unknown") : fmt::format("${}", amount);
}

// "stop 5, length 1": the most frequent first.
std::vector<std::pair<std::string, std::uint64_t>> by_frequency(const ordered_json& counts) {
  std::vector<std::pair<std::string, std::uint64_t>> sorted;
  if (!counts.is_object()) return sorted;
  for (const auto& [name, number] : counts.items()) {
    if (number.is_number_unsigned()) sorted.emplace_back(name, number.get<std::uint64_t>());
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

class report {
 public:
  report(const ordered_json& totals, const job_life& life, language spoken)
      : totals_(totals), life_(life), spoken_(spoken) {}

  std::string lines(const job_files& files, const std::map<std::string, std::string>& reasons) {
    head(files);
    failures(reasons);
    money();
    shares("models", say(spoken_, "models"));
    shares("relays", say(spoken_, "relays"));
    ends();
    times();
    std::string attempts =
        say(spoken_, "{}, {} of them retries", grouped_member(totals_, "attempts"),
            grouped_member(totals_, "retries"));
    // A run that has just begun has not written this number yet.
    if (is_above_zero(totals_, "max_requests_in_60s")) {
      attempts +=
          say(spoken_, "; {} at most in any 60 s", grouped_member(totals_, "max_requests_in_60s"));
    }
    row(say(spoken_, "attempts"), attempts);
    if (is_above_zero(totals_, "maybe_billed_attempts")) {
      row("", say(spoken_, "{} ended without a result and may have been billed",
                  grouped_member(totals_, "maybe_billed_attempts")));
    }
    row(say(spoken_, "files"), printable_text(files.output));
    row("", printable_text(files.errors));
    row("", printable_text(files.totals));
    return std::move(out_);
  }

 private:
  void row(std::string_view name, const std::string& words) {
    out_ += fmt::format("  {:<9} {}\n", name, words);
  }

  std::string state() const {
    // Only the totals of an incomplete 'sluice collect' name a job in the store.
    if (life_.is == job_life::state::at_rest && !text_member(totals_, "store_job").empty()) {
      return say(spoken_, "collected so far; 'sluice collect' gets more from the store");
    }
    return state_of(life_, text_member(totals_, "status"), spoken_);
  }

  void head(const job_files& files) {
    out_ += say(spoken_, "{}: {}: {} of {} succeeded, {} failed, {} pending\n",
                printable_text(files.job), state(), grouped_member(totals_, "succeeded"),
                grouped_member(totals_, "requests"), grouped_member(totals_, "failed"),
                grouped_member(totals_, "pending"));
  }

  void failures(const std::map<std::string, std::string>& reasons) {
    auto errors = by_frequency(member(totals_, "errors"));
    const std::size_t all = errors.size();
    errors.resize(std::min(all, shown_failures));
    for (const auto& [name, times] : errors) {
      const auto reason = reasons.find(name);
      const bool told = reason != reasons.end() && !reason->second.empty();
      row(say(spoken_, "failed"),
          fmt::format(
              "{} x {}{}", grouped(times), printable_text(name),
              told ? fmt::format(": {}", openai::one_line(reason->second, shown_reason)) : ""));
    }
    if (all > errors.size()) row("", say(spoken_, "and {} more kinds", all - errors.size()));
  }

  void money() {
    const ordered_json& tokens = member(totals_, "tokens");
    row(say(spoken_, "tokens"),
        say(spoken_, "{} prompt ({} cached) + {} completion ({} reasoning)",
            grouped_member(tokens, "prompt"), grouped_member(tokens, "cached"),
            grouped_member(tokens, "completion"), grouped_member(tokens, "reasoning")));
    const ordered_json& cache = member(totals_, "cache");
    const ordered_json& share = member(cache, "read_share");
    // Totals of an earlier version have only the tokens.
    const std::string words = cache_text(
        {.read = unsigned_member(tokens, "cached"),
         .written = unsigned_member(tokens, "cache_write"),
         .read_share = share.is_number() ? std::optional(share.get<double>()) : std::nullopt,
         .saved = text_member(cache, "saved_usd")},
        spoken_);
    if (!words.empty()) row(say(spoken_, "cache"), words);
    std::string amount = cost(totals_, spoken_);
    if (is_above_zero(totals_, "unpriced_requests")) {
      amount += say(spoken_, ", and {} without a price or usage",
                    grouped_member(totals_, "unpriced_requests"));
    }
    row(say(spoken_, "cost"), amount);
    if (const auto told = text_member(totals_, "reported_cost_usd"); !told.empty()) {
      row("", say(spoken_, "${} by the relay's own word", told));
    }
    if (const ordered_json& rejected = member(totals_, "rejected"); rejected.is_object()) {
      row("", say(spoken_, "{} of it for {} replies that were rejected (--expect)",
                  cost(rejected, spoken_), grouped_member(rejected, "replies")));
    }
    if (const auto kept = text_member(totals_, "kept_usd"); !kept.empty()) {
      row("", say(spoken_,
                  "${} kept of the budget for attempts of unknown outcome and for replaced results",
                  kept));
    }
  }

  // The part of each model, or each relay of a pool.
  void shares(const char* name, std::string title) {
    const ordered_json& all = member(totals_, name);
    if (!all.is_object()) return;
    for (const auto& [who, share] : all.items()) {
      const ordered_json& tokens = member(share, "tokens");
      row(title, say(spoken_, "{}: {} succeeded, {} + {} tokens, {}", printable_text(who),
                     grouped_member(share, "requests"), grouped_member(tokens, "prompt"),
                     grouped_member(tokens, "completion"), cost(share, spoken_)));
      title.clear();
    }
  }

  void ends() {
    std::string list;
    for (const auto& [reason, times] : by_frequency(member(totals_, "finish_reasons"))) {
      list +=
          fmt::format("{}{} {}", list.empty() ? "" : ", ", printable_text(reason), grouped(times));
    }
    if (!list.empty()) row(say(spoken_, "ends"), list);
  }

  void times() {
    quantiles(say(spoken_, "latency"), "latency_ms");
    quantiles(say(spoken_, "ttft"), "ttft_ms");
    const ordered_json& wall = member(totals_, "wall_s");
    if (wall.is_number()) row(say(spoken_, "time"), short_time(wall.get<double>(), spoken_));
  }

  void quantiles(std::string_view title, const char* name) {
    std::string list;
    for (const char* share : {"p50", "p90", "p99"}) {
      const ordered_json& value = member(member(totals_, name), share);
      if (!value.is_number()) return;
      list += fmt::format("{}{} {:.0f}", list.empty() ? "" : ", ", share, value.get<double>());
    }
    row(title, list + " ms");
  }

  const ordered_json& totals_;
  const job_life& life_;
  const language spoken_;
  std::string out_;
};

}  // namespace

std::string job_report_lines(const job_files& files, const ordered_json& totals,
                             const std::map<std::string, std::string>& reasons,
                             const job_life& life, language spoken) {
  return report(totals, life, spoken).lines(files, reasons);
}

std::string state_of(const job_life& life, const std::string& status, language spoken) {
  switch (life.is) {
    case job_life::state::running: {
      if (life.process <= 0) return say(spoken, "running");
      if (!life.since) return say(spoken, "running (process {})", life.process);
      const auto since = fmt::localtime(static_cast<std::time_t>(*life.since));
      return say(spoken, "running (process {}, since {})", life.process,
                 fmt::format("{:%F %T}", since));
    }
    case job_life::state::killed:
      return say(spoken, "killed {} ago; run the same command to go on",
                 short_time(life.quiet_s, spoken));
    case job_life::state::unknown:
      return say(spoken, "running, as of {} ago", short_time(life.quiet_s, spoken));
    case job_life::state::at_rest:
      break;
  }
  if (status == to_string(job_status::completed)) return say(spoken, "completed");
  if (status == to_string(job_status::stopped)) return say(spoken, "stopped");
  if (status == to_string(job_status::interrupted)) return say(spoken, "interrupted");
  return status;
}

}  // namespace sluice::cli
