#include "views/audit_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "base/printable.hpp"
#include "json/text.hpp"
#include "views/progress.hpp"

namespace sluice::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t longest_id = 40;

ordered_json count_json(const audited_count& count) {
  return {{"reported", count.reported}, {"counted", count.counted}};
}

ordered_json count_json(const std::optional<audited_count>& count) {
  return count ? count_json(*count) : ordered_json();
}

ordered_json money_json(const std::optional<usd>& amount) {
  return amount ? ordered_json(amount->to_string()) : ordered_json();
}

std::string money_text(const std::optional<usd>& amount) {
  return amount ? fmt::format("${}", amount->to_string()) : "at an unknown price";
}

audited_count both_sides(const audit_finding& found) {
  audited_count sum;
  if (found.prompt) sum += *found.prompt;
  if (found.completion) sum += *found.completion;
  return sum;
}

ordered_json finding_json(const audit_finding& found) {
  const audited_count sum = both_sides(found);
  return {{"custom_id", found.custom_id},
          {"line", found.line},
          {"model", found.model},
          {"prompt", count_json(found.prompt)},
          {"completion", count_json(found.completion)},
          {"reported", sum.reported},
          {"counted", sum.counted},
          {"excess_tokens", found.excess_tokens},
          {"excess_usd", money_json(found.excess)}};
}

ordered_json cache_json(const model_audit& model) {
  return {{"repeated", model.repeated},
          {"unread", model.unread},
          {"unread_tokens", model.unread_tokens},
          {"unread_usd", money_json(model.unread_cost)}};
}

ordered_json opening_json(const unread_opening& found) {
  return {{"custom_id", found.custom_id},  {"line", found.line},
          {"model", found.model},          {"requests", found.requests},
          {"unread_tokens", found.tokens}, {"unread_usd", money_json(found.cost)}};
}

std::string tokens(std::int64_t number) {
  return number < 0 ? fmt::format("-{}", grouped(static_cast<std::uint64_t>(-number)))
                    : grouped(static_cast<std::uint64_t>(number));
}

// "1,234 reported, 1,200 counted (+2.8 %)"
std::string side_text(std::string_view name, const audited_count& count) {
  if (count.reported == 0 && count.counted == 0) return {};
  std::string share;
  if (count.counted > 0) {
    const double part = static_cast<double>(count.reported - count.counted) /
                        static_cast<double>(count.counted) * 100;
    share = fmt::format(" ({:+.1f} %)", part);
  }
  return fmt::format("    {:<11} {} reported, {} counted{}\n", name, tokens(count.reported),
                     tokens(count.counted), share);
}

std::string cache_sentence(const model_audit& model) {
  if (model.repeated == 0) return {};
  std::string words = fmt::format(
      "    {:<11} {} prompts repeat a long opening; {} report nothing read from a cache", "cache",
      grouped(model.repeated), grouped(model.unread));
  if (model.unread > 0) {
    words += fmt::format(": at least {} tokens, {}", tokens(model.unread_tokens),
                         money_text(model.unread_cost));
  }
  return words + "\n";
}

std::string openings_text(const std::vector<unread_opening>& openings) {
  if (openings.empty()) return {};
  std::string lines =
      "  prompts with the same opening of 1,024 tokens or more, and nothing read from a cache:\n";
  for (const auto& one : openings) {
    const std::string others =
        one.requests > 1 ? fmt::format(" and {} more", grouped(one.requests - 1)) : std::string();
    lines += fmt::format("    {} (line {}){}: at least {} tokens, {}{}\n",
                         printable_text(utf8_prefix(one.custom_id, longest_id)), one.line, others,
                         tokens(one.tokens), money_text(one.cost),
                         one.cost ? " more than from a cache" : "");
  }
  return lines +
         "    This proves nothing by itself. It may mean that the relay keeps the discount, or "
         "that\n"
         "    it sends requests to several accounts, each with its own cache. It may also mean "
         "that\n"
         "    the relay does not report what was read, that the model caches only what a request\n"
         "    marks, or that the provider had dropped it. Compare the bill with the cost.\n";
}

// A reason in words.
std::string_view meaning_of(std::string_view reason) {
  constexpr std::pair<std::string_view, std::string_view> meanings[] = {
      {"no_reported_usage", "replies whose usage the relay did not report"},
      {"request_changed_or_gone", "replies whose request is not in the job as it was sent"},
      {"rejected_reply", "replies that were rejected (--expect), whose text is not kept"},
      {"unreadable_line", "output lines that are damaged, or being written"},
      {"unknown_vocabulary", "replies of models whose tokenizer is not known"},
      {"prompt_not_text", "prompts with images, audio or files"},
      {"prompt_estimated", "prompts with functions, formats or an overhead that is not documented"},
      {"prompt_extended", "prompts that rejected replies may have made longer (--tell-why)"},
      {"completion_not_text", "replies with calls of functions, audio or half a character"},
      {"completion_not_shown", "replies that do not show all that was written (stop, best_of)"},
      {"reasoning_not_told", "replies with reasoning that the usage does not count apart"}};
  const auto* const found = std::find_if(std::begin(meanings), std::end(meanings),
                                         [&](const auto& one) { return one.first == reason; });
  return found == std::end(meanings) ? reason : found->second;
}

}  // namespace

ordered_json audit_document(const std::string& job, const job_audit& found) {
  auto models = ordered_json::object();
  for (const auto& [name, model] : found.models) {
    models[name] = {{"requests", model.requests},
                    {"audited", model.audited},
                    {"prompt", count_json(model.prompt)},
                    {"completion", count_json(model.completion)},
                    {"excess_tokens", model.excess_tokens},
                    {"excess_usd", money_json(model.excess)},
                    {"cache", cache_json(model)}};
  }
  auto worst = ordered_json::array();
  for (const auto& one : found.worst) worst.push_back(finding_json(one));
  auto openings = ordered_json::array();
  for (const auto& one : found.openings) openings.push_back(opening_json(one));
  auto skipped = ordered_json::object();
  for (const auto& [reason, count] : found.skipped) skipped[reason] = count;
  return {{"job", job},
          {"models", std::move(models)},
          {"worst", std::move(worst)},
          {"openings", std::move(openings)},
          {"skipped", std::move(skipped)}};
}

std::string audit_lines(const std::string& job, const job_audit& found) {
  std::string lines =
      fmt::format("{}: reported usage against the model's own tokenizer\n", printable_text(job));
  if (found.models.empty()) lines += "  there are no replies yet\n";
  for (const auto& [name, model] : found.models) {
    lines += fmt::format("  {}: {} of {} replies counted\n", printable_text(name),
                         grouped(model.audited), grouped(model.requests));
    if (model.audited > 0) {
      lines += side_text("prompt", model.prompt);
      lines += side_text("completion", model.completion);
      lines += fmt::format("    {:<11} {}\n", "too much",
                           model.excess_tokens == 0
                               ? std::string("nothing")
                               : fmt::format("{} tokens, {}", tokens(model.excess_tokens),
                                             money_text(model.excess)));
    }
    lines += cache_sentence(model);
  }
  if (!found.worst.empty()) lines += "  the worst requests:\n";
  for (const auto& one : found.worst) {
    const audited_count sum = both_sides(one);
    lines += fmt::format("    {} (line {}): {} reported, {} counted, {} too many, {}\n",
                         printable_text(utf8_prefix(one.custom_id, longest_id)), one.line,
                         tokens(sum.reported), tokens(sum.counted), tokens(one.excess_tokens),
                         money_text(one.excess));
  }
  lines += openings_text(found.openings);
  if (!found.skipped.empty()) lines += "  not counted:\n";
  for (const auto& [reason, count] : found.skipped) {
    lines += fmt::format("    {} {}\n", grouped(count), printable_text(meaning_of(reason)));
  }
  return lines;
}

}  // namespace sluice::cli
