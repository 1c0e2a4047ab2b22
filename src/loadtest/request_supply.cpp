#include "loadtest/request_supply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "jobs/job_line.hpp"
#include "jobs/job_reader.hpp"
#include "json/text.hpp"
#include "sluice/error.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice::bench {
namespace {

// Each of these words, with its leading space, is one token in cl100k_base and in o200k_base.
constexpr std::array words{
    " time",   " house",  " water",  " light", " paper", " market", " river", " garden",
    " winter", " music",  " bridge", " stone", " table", " window", " story", " letter",
    " train",  " island", " forest", " king",  " clock", " road",   " field", " ship",
    " bread",  " silver", " cloud",  " door",  " book",  " fire",   " horse", " voice"};

// This number of words at the beginning of a prompt is unique to it. There are 32^6, about a
// thousand million, different beginnings.
constexpr std::uint64_t own_words = 6;

constexpr std::uint64_t most_kept_bytes = std::uint64_t{64} << 20;

}  // namespace

synthetic_supply::synthetic_supply(const options& chosen, const job_options& lines)
    : options_(chosen), lines_(lines), random_(chosen.seed) {
  lines_.model = chosen.model;
  lines_.target = endpoint::chat_completions;
  const auto count = [&](const std::string& prompt) {
    const request made = make(prompt);
    return sluice::prompt_tokens(made.target, made.model, made.body).tokens;
  };
  constexpr std::string_view one = " time";
  const std::uint64_t fewest = count("Write");
  const std::uint64_t each = std::max<std::uint64_t>(count("Write" + std::string(one)) - fewest, 1);
  words_ = chosen.prompt_tokens > fewest ? (chosen.prompt_tokens - fewest) / each : 0;
  prompt_tokens_ = fewest + words_ * each;
  if (words_ > own_words) say_words(shared_words_, words_ - own_words);
}

void synthetic_supply::say_words(std::string& text, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) text += words[random_() % words.size()];
}

request synthetic_supply::make(const std::string& prompt) const {
  nlohmann::ordered_json body{{"model", options_.model},
                              {"messages", {{{"role", "user"}, {"content", prompt}}}}};
  body[may_reason(options_.model) ? "max_completion_tokens" : "max_tokens"] = options_.max_tokens;
  auto made = parse_job_line(json_line(body), 1, lines_);
  if (!made) throw std::logic_error("a synthetic request is no request: " + made.error().message);
  return *std::move(made);
}

request synthetic_supply::next() {
  std::string prompt = "Write";
  say_words(prompt, std::min(words_, own_words));
  prompt += shared_words_;
  request made = make(prompt);
  made.line = ++given_;
  made.custom_id = fmt::format("prompt-{}", given_);
  return made;
}

void synthetic_supply::visit(const std::function<void(const request&)>& each) const {
  std::string prompt = "Write";
  for (std::uint64_t i = 0; i < std::min(words_, own_words); ++i) prompt += words.front();
  each(make(prompt + shared_words_));
}

nlohmann::ordered_json synthetic_supply::describe() const {
  return {{"kind", "synthetic"},
          {"prompt_tokens", prompt_tokens_},
          {"max_tokens", options_.max_tokens}};
}

job_supply::job_supply(const std::vector<std::string>& paths, const job_options& lines)
    : paths_(paths) {
  std::uint64_t bytes = 0;
  for (const auto& path : paths) {
    if (path == "-") {
      throw fatal_error(fatal_error::kind::cannot_start,
                        "a benchmark reads its jobs more than once, and - only once; name a file");
    }
    job_reader reader(path, lines);
    while (bytes < most_kept_bytes) {
      auto line = reader.next();
      if (!line) break;
      if (line->has_error()) {
        throw fatal_error(
            fatal_error::kind::cannot_start,
            fmt::format("{} line {}: {}; correct it, or see all bad lines with sluice "
                        "check",
                        path, line->error().line, line->error().message));
      }
      bytes += (*line)->body.size();
      requests_.push_back(**std::move(line));
    }
  }
  if (requests_.empty()) {
    throw fatal_error(fatal_error::kind::cannot_start,
                      fmt::format("{}: holds no request; give a job with at least one line",
                                  paths.empty() ? "the job" : paths.front()));
  }
}

void job_supply::visit(const std::function<void(const request&)>& each) const {
  for (const request& one : requests_) each(one);
}

nlohmann::ordered_json job_supply::describe() const {
  auto names = nlohmann::ordered_json::array();
  for (const std::string& path : paths_) names.push_back(valid_utf8(path));
  return {{"kind", "jobs"}, {"jobs", std::move(names)}, {"requests", requests_.size()}};
}

request job_supply::next() {
  const request& one = requests_[at_];
  at_ = (at_ + 1) % requests_.size();
  return one;
}

}  // namespace sluice::bench
