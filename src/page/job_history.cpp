#include "page/job_history.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "json/json_members.hpp"
#include "openai/error_body.hpp"
#include "sluice/usage.hpp"

namespace sluice {
namespace {

using nlohmann::ordered_json;
namespace ondemand = simdjson::ondemand;

constexpr std::size_t longest_message = 300;
constexpr const char* quantile_names[] = {"p50", "p90", "p99"};

double rounded(double value) {
  return std::round(value * 1000) / 1000;
}

ordered_json or_null(const std::optional<double>& value) {
  return value ? ordered_json(rounded(*value)) : ordered_json(nullptr);
}

// Strings that are read only where they are shown stay as they are written, quotes included.
ordered_json text_of(std::string_view raw) {
  const auto text = json_string(raw);
  return text ? ordered_json(*text) : ordered_json(nullptr);
}

ordered_json stats(const histogram& values) {
  if (values.count() == 0) return nullptr;
  // The middle of a step may stand beyond the greatest value in it.
  const auto quantile = [&](double q) {
    return or_null(std::min(*values.quantile(q), *values.greatest()));
  };
  return {{"mean", or_null(values.mean())},
          {"p50", quantile(0.5)},
          {"p90", quantile(0.9)},
          {"p99", quantile(0.99)},
          {"max", or_null(values.greatest())},
          {"count", values.count()}};
}

// The totals' own word on the quantiles, where they have it.
void take_quantiles(ordered_json& told, const ordered_json& totals, const char* name) {
  const auto found = totals.find(name);
  if (!told.is_object() || found == totals.end() || !found->is_object()) return;
  for (const char* quantile : quantile_names) {
    if (found->contains(quantile) && (*found)[quantile].is_number())
      told[quantile] = (*found)[quantile];
  }
}

ordered_json steps(const histogram& values) {
  auto told = ordered_json::array();
  for (const auto& [value, count] : values.steps()) {
    told.push_back(ordered_json::array({rounded(value), count}));
  }
  return told;
}

std::optional<double> mean(double sum, std::uint64_t count) {
  return count == 0 ? std::nullopt : std::optional(sum / static_cast<double>(count));
}

}  // namespace

// What a line tells. Views are into the line that is being read.
struct job_history::request {
  std::string_view id;          // these as they are written
  std::string_view request_id;  // empty: none
  std::string_view body;        // of the response
  std::string_view error;       // the object
  std::string model;
  std::uint64_t line = 0;
  std::uint64_t status = 0;
  std::uint64_t attempts = 0;
  bool of_run = false;  // a run wrote it
  bool succeeded = true;
  bool streamed = false;
  bool simulated = false;
  std::optional<double> started_at;
  double latency_ms = 0;
  std::optional<double> ttft_ms;
  std::optional<std::int64_t> completion_tokens;

  double ended_at() const { return *started_at + latency_ms / 1000; }
  std::optional<double> inter_token_ms() const {
    if (!ttft_ms || !completion_tokens || *completion_tokens < 2) return std::nullopt;
    return std::max(0.0, latency_ms - *ttft_ms) / static_cast<double>(*completion_tokens - 1);
  }
};

// Reads lines without building them up.
struct job_history::parser {
  bool read(std::string_view text, request& into) {
    text_.assign(text);
    text_.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    ondemand::document document;
    if (reader_.iterate(text_.data(), text_.size(), text_.capacity()).get(document) != good)
      return false;
    return each(document,
                [&](std::string_view key, ondemand::value value) {
                  if (key == "custom_id") return raw(value, into.id);
                  if (key == "response") return response(value, into);
                  if (key == "error") return is_null(value) || raw_object(value, into.error);
                  if (key == "sluice") return facts(value, into);
                  return true;
                }) &&
           into.of_run && !into.id.empty();
  }

 private:
  static constexpr auto good = simdjson::SUCCESS;

  template <typename Object, typename Visit>
  static bool each(Object& from, Visit visit) {
    ondemand::object object;
    if (from.get_object().get(object) != good) return false;
    for (auto member : object) {
      ondemand::field field;
      std::string_view key;
      if (std::move(member).get(field) != good) return false;
      if (field.unescaped_key().get(key) != good) return false;
      if (!visit(key, field.value())) return false;
    }
    return true;
  }
  static bool is_null(ondemand::value& value) {
    ondemand::json_type type{};
    return value.type().get(type) == good && type == ondemand::json_type::null;
  }
  static bool raw(ondemand::value value, std::string_view& into) {
    into = value.raw_json_token();
    return true;
  }
  static bool raw_object(ondemand::value value, std::string_view& into) {
    ondemand::object object;
    return value.get_object().get(object) == good && object.raw_json().get(into) == good;
  }
  template <typename Number>
  static bool number(ondemand::value value, Number& into) {
    if constexpr (std::is_same_v<Number, std::optional<double>>) {
      double read = 0;
      if (value.get_double().get(read) == good) into = read;
    } else {
      if (value.get(into) != good) into = {};
    }
    return true;
  }
  static bool flag(ondemand::value value, bool& into) { return value.get_bool().get(into) == good; }

  static bool response(ondemand::value value, request& into) {
    if (is_null(value)) return true;
    return each(value, [&](std::string_view key, ondemand::value member) {
      if (key == "status_code") return number(member, into.status);
      if (key == "request_id") return is_null(member) || raw(member, into.request_id);
      if (key == "body") return body(member, into);
      return true;
    });
  }
  static bool body(ondemand::value value, request& into) {
    ondemand::json_type type{};
    if (value.type().get(type) != good) return false;
    if (type == ondemand::json_type::object) return raw_object(value, into.body);
    return type != ondemand::json_type::string || raw(value, into.body);
  }
  static bool facts(ondemand::value value, request& into) {
    into.of_run = true;
    return each(value, [&](std::string_view key, ondemand::value member) {
      if (key == "line") return number(member, into.line);
      if (key == "attempts") return number(member, into.attempts);
      if (key == "model") {
        std::string_view raw_model;
        raw(member, raw_model);
        into.model = json_string(raw_model).value_or("");
        return true;
      }
      if (key == "streamed") return flag(member, into.streamed);
      if (key == "simulated") return flag(member, into.simulated);
      if (key == "started_at") return number(member, into.started_at);
      if (key == "latency_ms") return number(member, into.latency_ms);
      if (key == "ttft_ms") return is_null(member) || number(member, into.ttft_ms);
      if (key == "usage") return is_null(member) || usage(member, into);
      if (key == "retryable") into.succeeded = false;
      return true;
    });
  }
  static bool usage(ondemand::value value, request& into) {
    return each(value, [&](std::string_view key, ondemand::value member) {
      if (key != "completion_tokens") return true;
      std::int64_t tokens = 0;
      if (member.get_int64().get(tokens) != good) return false;
      into.completion_tokens = std::clamp<std::int64_t>(tokens, 0, most_tokens_of_a_reply);
      return true;
    });
  }

  ondemand::parser reader_;
  std::string text_;
};

namespace {

// A failure's name in the totals, and its words.
std::pair<std::string, std::string> failure_of(std::string_view error, std::uint64_t status,
                                               std::string_view body) {
  if (!error.empty()) {
    const auto members = json_members(error).value_or(std::vector<json_member>{});
    const auto said = [&](const char* key) {
      const json_member* member = find_member(members, key);
      return member == nullptr ? std::string() : json_string(member->value).value_or("");
    };
    return {said("code"), openai::one_line(said("message"), longest_message)};
  }
  const std::string message =
      openai::read_error_body(json_string(body).value_or(std::string(body))).message;
  return {std::to_string(status), openai::one_line(message, longest_message)};
}

}  // namespace

job_history::job_history() : parser_(std::make_unique<parser>()) {}
job_history::job_history(job_history&&) noexcept = default;
job_history& job_history::operator=(job_history&&) noexcept = default;
job_history::~job_history() = default;

void job_history::add(std::string_view line) {
  ++lines_;
  request one;
  if (parser_->read(line, one)) {
    add_request(one);
  } else {
    ++unreadable_;
  }
}

void job_history::add_request(const request& one) {
  streamed_ += one.streamed ? 1 : 0;
  simulated_ += one.simulated ? 1 : 0;
  if (one.started_at && one.attempts != 0) {
    started_at_ = std::min(started_at_.value_or(*one.started_at), *one.started_at);
    ended_at_ = std::max(ended_at_.value_or(one.ended_at()), one.ended_at());
    timeline_.add_start(*one.started_at, [&](job_timeline::step& step) {
      if (!one.succeeded) return;
      if (one.ttft_ms) {
        step.ttft_ms += *one.ttft_ms;
        ++step.ttfts;
      }
      if (const auto each = one.inter_token_ms()) {
        step.inter_token_ms += *each;
        ++step.inter_tokens;
      }
    });
    timeline_.add_finish(one.ended_at(), [&](job_timeline::step& step) {
      ++(one.succeeded ? step.succeeded : step.failed);
      step.output_tokens += one.completion_tokens.value_or(0);
    });
  }
  if (!one.succeeded) return keep_failure(one);
  add_times(times_, one);
  auto model = models_.find(one.model);
  if (model == models_.end() && models_.size() < most_models) {
    model = models_.emplace(one.model, times{}).first;
  }
  if (model != models_.end()) add_times(model->second, one);
  keep_if_slow(one);
}

void job_history::add_times(times& sums, const request& one) {
  sums.latency_ms.add(one.latency_ms);
  if (one.ttft_ms) sums.ttft_ms.add(*one.ttft_ms);
  if (const auto each = one.inter_token_ms()) sums.inter_token_ms.add(*each);
}

bool job_history::is_slower(const slow_request& a, const slow_request& b) {
  return a.latency_ms != b.latency_ms ? a.latency_ms > b.latency_ms : a.line < b.line;
}

void job_history::keep_if_slow(const request& one) {
  slow_request slow{.latency_ms = one.latency_ms, .line = one.line, .told = {}};
  if (slowest_.size() == most_slowest) {
    if (!is_slower(slow, slowest_.front())) return;
    std::pop_heap(slowest_.begin(), slowest_.end(), is_slower);
    slowest_.pop_back();
  }
  slow.told = {{"id", text_of(one.id)},
               {"line", one.line},
               {"request_id", text_of(one.request_id)},
               {"model", one.model},
               {"started_at", or_null(one.started_at)},
               {"latency_ms", one.latency_ms},
               {"ttft_ms", or_null(one.ttft_ms)},
               {"completion_tokens", one.completion_tokens ? ordered_json(*one.completion_tokens)
                                                           : ordered_json(nullptr)},
               {"attempts", one.attempts}};
  slowest_.push_back(std::move(slow));
  std::push_heap(slowest_.begin(), slowest_.end(), is_slower);
}

void job_history::keep_failure(const request& one) {
  const auto [name, message] = failure_of(one.error, one.status, one.body);
  auto kind = failures_.find(name);
  if (kind == failures_.end()) {
    if (failures_.size() == most_kinds) return;
    kind = failures_.try_emplace(name).first;
    reasons_.emplace(name, message);
  }
  auto& last = kind->second;
  last.push_back(
      {.number = ++failed_,
       .told = {{"id", text_of(one.id)},
                {"line", one.line},
                {"request_id", text_of(one.request_id)},
                {"model", one.model.empty() ? ordered_json(nullptr) : ordered_json(one.model)},
                {"started_at", or_null(one.started_at)},
                {"error", name},
                {"message", message},
                {"attempts", one.attempts}}});
  if (last.size() > most_failures) last.pop_front();
}

// One of each kind in turn, until there are enough.
ordered_json job_history::failures_document() const {
  std::map<std::uint64_t, const ordered_json*> chosen;
  for (std::size_t turn = 1; turn <= most_failures; ++turn) {
    for (const auto& [name, last] : failures_) {
      if (last.size() < turn || chosen.size() == most_failures) continue;
      const failed_request& one = last[last.size() - turn];
      chosen.emplace(one.number, &one.told);
    }
  }
  auto told = ordered_json::array();
  for (const auto& [number, one] : chosen) told.push_back(*one);
  return told;
}

ordered_json job_history::timeline_document() const {
  ordered_json told = {{"started_at", timeline_.started_at()}, {"step_s", timeline_.step_s()}};
  const auto each = timeline_.steps();
  const auto row = [&](const char* name, auto value_of) {
    told[name] = ordered_json::array();
    for (const auto& step : each) told[name].push_back(value_of(step));
  };
  row("started", [](const auto& step) { return step.started; });
  row("succeeded", [](const auto& step) { return step.succeeded; });
  row("failed", [](const auto& step) { return step.failed; });
  row("in_flight", [](const auto& step) { return rounded(step.in_flight); });
  row("output_tokens", [](const auto& step) { return step.output_tokens; });
  return told;
}

// The steps taken together by how much was in flight, in doublings.
ordered_json job_history::loads_document() const {
  std::map<int, job_timeline::step> levels;  // up to 2^level in flight
  for (const auto& step : timeline_.steps()) {
    if (step.started == 0) continue;
    const int level = std::max(0, static_cast<int>(std::ceil(std::log2(step.in_flight))));
    job_timeline::step& sum = levels[level];
    sum.started += step.started;
    sum.ttft_ms += step.ttft_ms;
    sum.ttfts += step.ttfts;
    sum.inter_token_ms += step.inter_token_ms;
    sum.inter_tokens += step.inter_tokens;
  }
  auto told = ordered_json::array();
  for (const auto& [level, sum] : levels) {
    told.push_back({{"above", level == 0 ? 0.0 : std::exp2(level - 1)},
                    {"up_to", std::exp2(level)},
                    {"requests", sum.started},
                    {"ttft_ms", or_null(mean(sum.ttft_ms, sum.ttfts))},
                    {"inter_token_ms", or_null(mean(sum.inter_token_ms, sum.inter_tokens))}});
  }
  return told;
}

void job_history::add_to(ordered_json& job) const {
  const auto three = [](const times& each, auto tell) {
    return ordered_json{{"latency_ms", tell(each.latency_ms)},
                        {"ttft_ms", tell(each.ttft_ms)},
                        {"inter_token_ms", tell(each.inter_token_ms)}};
  };
  job["lines"] = lines_;
  job["unreadable_lines"] = unreadable_;
  job["streamed"] = streamed_;
  job["simulated"] = simulated_;
  job["started_at"] = or_null(started_at_);
  job["ended_at"] = or_null(ended_at_);
  job.update(three(times_, stats));
  job["model_times"] = ordered_json::object();
  for (const auto& [name, each] : models_) job["model_times"][name] = three(each, stats);
  job["histograms"] = three(times_, steps);
  job["timeline"] = timeline_document();
  job["by_in_flight"] = loads_document();
  job["reasons"] = reasons_;
  auto slowest = slowest_;
  std::sort(slowest.begin(), slowest.end(), is_slower);
  job["slowest"] = ordered_json::array();
  for (auto& slow : slowest) job["slowest"].push_back(std::move(slow.told));
  job["failures"] = failures_document();
}

ordered_json job_document(std::string_view job, const ordered_json& totals,
                          const job_history& history, std::uint64_t rpm, double as_of) {
  ordered_json told = {{"job", job}, {"as_of", rounded(as_of)}, {"rpm", rpm}, {"totals", totals}};
  history.add_to(told);
  take_quantiles(told["latency_ms"], totals, "latency_ms");
  take_quantiles(told["ttft_ms"], totals, "ttft_ms");
  return told;
}

}  // namespace sluice
