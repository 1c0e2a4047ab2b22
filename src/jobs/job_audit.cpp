#include "jobs/job_audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/hash.hpp"
#include "base/id_table.hpp"
#include "files/line_reader.hpp"
#include "jobs/job_reader.hpp"
#include "jobs/shared_openings.hpp"
#include "jobs/stored_line.hpp"

namespace sluice {
namespace {

hash128 key_of(std::string_view custom_id, std::string_view digest) {
  return hash_of(fmt::format("{}\n{}", digest, custom_id));
}

bool costs_more(const unread_opening& a, const unread_opening& b) {
  const auto weight = [](const unread_opening& one) {
    return std::make_tuple(one.cost.value_or(usd{}), one.tokens);
  };
  if (weight(a) != weight(b)) return weight(a) > weight(b);
  return std::tie(a.line, a.custom_id) < std::tie(b.line, b.custom_id);
}

void add_to(std::optional<usd>& sum, const std::optional<usd>& more) {
  if (!more) {
    sum.reset();
  } else if (sum) {
    *sum += *more;
  }
}

bool is_worse(const audit_finding& a, const audit_finding& b) {
  const auto weight = [](const audit_finding& one) {
    return std::make_tuple(one.excess.value_or(usd{}), one.excess_tokens);
  };
  if (weight(a) != weight(b)) return weight(a) > weight(b);
  return std::tie(a.line, a.custom_id) < std::tie(b.line, b.custom_id);
}

class auditor {
 public:
  auditor(const job_options& lines, const relay_prices& prices, std::size_t most_findings)
      : lines_(lines), prices_(prices), most_findings_(most_findings) {}

  void read_job(const std::string& path) {
    job_reader reader(path, lines_);
    while (const auto line = reader.next()) {
      if (!*line) continue;  // a bad line; it is in the errors file
      const auto [prompt, fresh] = prompts_.insert(key_of((*line)->custom_id, (*line)->digest));
      if (!fresh) continue;
      *prompt = audit_prompt(**line);
      prompt->opening = openings_.add(**line);
    }
  }

  void read_output(const std::string& path) {
    line_reader reader(open_bytes(path), longest_result_line);
    line_reader::line line;
    while (reader.next(line)) {
      const auto stored = line.too_long ? std::nullopt : parse_stored_line(line.text);
      if (stored && stored->facts.succeeded) {
        add(*stored);
      } else {
        ++audit_.skipped["unreadable_line"];
      }
    }
  }

  job_audit take() {
    std::sort(audit_.worst.begin(), audit_.worst.end(), is_worse);
    for (auto& [shortest, found] : unread_) audit_.openings.push_back(std::move(found));
    std::sort(audit_.openings.begin(), audit_.openings.end(), costs_more);
    if (audit_.openings.size() > most_findings_) audit_.openings.resize(most_findings_);
    return std::move(audit_);
  }

 private:
  void add(const stored_line& stored) {
    const line_facts& facts = stored.facts;
    if (facts.copied) return;  // nothing was sent for it
    // For rejected replies the line has the usage, but not the text.
    if (!facts.rejected.empty()) audit_.skipped["rejected_reply"] += facts.rejected.size();
    model_audit& model = audit_.models[facts.model];
    ++model.requests;
    if (!facts.usage || facts.estimated) {
      ++audit_.skipped["no_reported_usage"];
      return;
    }
    const audited_prompt* found = prompts_.find(key_of(stored.custom_id, stored.digest));
    if (found == nullptr) {
      ++audit_.skipped["request_changed_or_gone"];
      return;
    }
    audited_prompt prompt = *found;
    // The line does not say whether the run had job_options::tell_why.
    const bool may_be_longer = !facts.rejected.empty() && prompt.target != endpoint::completions;
    if (may_be_longer && prompt.gap == audit_gap::none) prompt.gap = audit_gap::prompt_extended;
    add_opening(stored, prompt, model);
    const audited_request audited = audit_reply(prompt, facts.model, *facts.usage, stored.reply);
    skip(audited);
    if (!audited.prompt && !audited.completion) return;
    ++model.audited;
    if (audited.prompt) model.prompt += *audited.prompt;
    if (audited.completion) model.completion += *audited.completion;
    if (audited.excess_tokens() > 0) add_excess(stored, prompt.target, audited, model);
  }

  void add_opening(const stored_line& line, const audited_prompt& prompt, model_audit& model) {
    const line_facts& facts = line.facts;
    const serving how = line.served();
    const auto repeated =
        openings_.add_reply(prompt.opening, facts.relay, how.started_unix, how.ended_unix);
    const std::int64_t tokens = std::min(repeated.tokens, facts.usage->prompt_tokens);
    if (tokens <= 0) return;
    if (facts.usage->cached_tokens > 0) {
      ++model.repeated;
      return;
    }
    const auto price = prices_.find(facts.relay, facts.model, prompt.target);
    const auto cost =
        price == nullptr ? std::nullopt : unread_cost(tokens, *facts.usage, *price, how);
    if (cost && *cost <= usd{}) return;  // the model has no cache discount in its price
    ++model.repeated;
    ++model.unread;
    model.unread_tokens += tokens;
    add_to(model.unread_cost, cost);
    unread_opening& found = unread_[repeated.shortest];
    if (found.requests++ == 0) {
      found.custom_id = line.custom_id;
      found.line = line.line;
      found.model = facts.model;
    }
    found.tokens += tokens;
    add_to(found.cost, cost);
  }

  // If both sides have the same reason, it is counted once.
  void skip(const audited_request& audited) {
    if (audited.prompt_gap != audit_gap::none) {
      ++audit_.skipped[std::string(to_string(audited.prompt_gap))];
    }
    if (audited.completion_gap != audit_gap::none && audited.completion_gap != audited.prompt_gap) {
      ++audit_.skipped[std::string(to_string(audited.completion_gap))];
    }
  }

  void add_excess(const stored_line& line, endpoint target, const audited_request& audited,
                  model_audit& model) {
    audit_finding found{.custom_id = line.custom_id,
                        .line = line.line,
                        .model = line.facts.model,
                        .prompt = audited.prompt,
                        .completion = audited.completion,
                        .excess_tokens = audited.excess_tokens(),
                        .excess = {}};
    if (const auto price = prices_.find(line.facts.relay, line.facts.model, target)) {
      found.excess = excess_cost(audited, *line.facts.usage, *price, line.served());
    }
    model.excess_tokens += found.excess_tokens;
    add_to(model.excess, found.excess);
    keep(std::move(found));
  }

  // Keeps the worst findings so far, as a heap whose top is the least of them.
  void keep(audit_finding found) {
    auto& worst = audit_.worst;
    if (worst.size() == most_findings_) {
      if (worst.empty() || !is_worse(found, worst.front())) return;
      std::pop_heap(worst.begin(), worst.end(), is_worse);
      worst.pop_back();
    }
    worst.push_back(std::move(found));
    std::push_heap(worst.begin(), worst.end(), is_worse);
  }

  const job_options& lines_;
  const relay_prices& prices_;
  const std::size_t most_findings_;
  id_table<audited_prompt> prompts_;
  shared_openings openings_;
  std::map<shared_openings::id, unread_opening> unread_;  // by the shortest opening
  job_audit audit_;
};

}  // namespace

job_audit audit_job(const job_files& files, const job_options& lines, const relay_prices& prices,
                    std::size_t most_findings) {
  auditor counting(lines, prices, most_findings);
  counting.read_job(files.job);
  counting.read_output(files.output);
  return counting.take();
}

}  // namespace sluice
