#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/likely_replies.hpp"
#include "money/cost_bound.hpp"
#include "sluice/config.hpp"
#include "sluice/error.hpp"
#include "sluice/prices.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {

/// What one request of a job will need.
struct checked_request {
  std::uint64_t line = 0;  ///< 1-based
  std::string custom_id;
  std::string model;
  token_count prompt;
  std::optional<vocabulary> encoding;  ///< unset: unknown, and `prompt` is a rough estimate
  std::optional<std::int64_t> most_completion_tokens;  ///< unset: see `unbounded`
  std::string unbounded;  ///< the reason why there is no bound: a sentence without its subject
  std::optional<usd> prompt_cost;  ///< unset: the model has no price
  std::optional<usd> likely_cost;  ///< with a reply of the likely length
  std::optional<usd> most_cost;    ///< unset: no price, or no bound
  /// `most_cost` if the standard tier serves the requests that name none.
  std::optional<usd> most_cost_at_standard;
};

/// The result of checking a whole job without sending anything.
class job_check {
 public:
  struct bad {
    std::uint64_t line = 0;
    errc code = errc::invalid_json_line;
    /// Index for message_of(); the same few messages occur again and again.
    std::uint32_t message = 0;
  };
  struct model_share {
    std::uint64_t requests = 0;
    std::uint64_t prompt_tokens = 0;
    bool rough = false;  ///< its vocabulary is unknown
    bool exact = true;   ///< every count is exactly what the model's provider bills
    bool priced = true;  ///< it has a price at every endpoint that the job uses for it
  };
  struct open_end {
    std::uint64_t line = 0;
    std::string why;
    std::string advice;  ///< what to do about it, as an imperative
  };

  std::uint64_t lines() const noexcept { return good_ + bad_lines_.size(); }
  std::uint64_t good() const noexcept { return good_; }
  const std::vector<bad>& bad_lines() const noexcept { return bad_lines_; }
  const std::string& message_of(const bad& line) const { return messages_[line.message]; }

  std::uint64_t prompt_tokens() const noexcept { return prompt_tokens_; }
  /// The sum over all good requests; nothing if one of them has no bound.
  std::optional<std::uint64_t> most_completion_tokens() const noexcept {
    return unbounded_ ? std::nullopt : std::optional(completion_tokens_);
  }
  /// The first request whose tokens have no bound.
  const std::optional<open_end>& unbounded() const noexcept { return unbounded_; }
  /// The cost of all prompts that have a price; nothing if none has one.
  std::optional<usd> prompt_cost() const;
  /// The likely cost of all requests; nothing if one of them has no price.
  std::optional<usd> likely_cost() const;
  /// The highest possible cost of all requests, provided that the prompts are counted correctly;
  /// nothing if one of them has no bound or no price.
  std::optional<usd> most_cost() const;
  /// most_cost() if the standard tier serves the requests that name no tier.
  std::optional<usd> most_cost_at_standard() const;
  const std::map<std::string, model_share>& models() const noexcept { return models_; }
  /// The shortest time, in minutes, that the requests can take at these limits. The longest
  /// possible replies are included if their length is known. 0 as a limit: no limit. Nothing if
  /// there is no limit at all.
  std::optional<double> minutes_at(std::uint64_t requests_a_minute,
                                   std::uint64_t tokens_a_minute) const;

  void add(const checked_request& good);
  void add(std::uint64_t line, errc code, const std::string& message);

 private:
  std::uint64_t good_ = 0;
  std::vector<bad> bad_lines_;
  std::vector<std::string> messages_;
  std::map<std::string, std::uint32_t, std::less<>> message_numbers_;
  std::uint64_t prompt_tokens_ = 0;
  std::uint64_t completion_tokens_ = 0;
  std::optional<open_end> unbounded_;
  std::uint64_t priced_ = 0;  // number of requests
  usd prompt_cost_;
  usd likely_cost_;
  bool lacks_most_cost_ = false;  // of some request
  usd most_cost_;
  usd most_cost_at_standard_;
  std::map<std::string, model_share> models_;
};

struct check_options {
  const job_options& lines;
  const relay_prices& prices;
  /// Seconds since the epoch. The likely costs are those of a job that runs at this time.
  double unix_now = 0;
  bound_defaults defaults = {};
  unsigned threads = 1;  ///< that count in addition to the caller's thread
  likely_replies replies = {};
};

/// Reads a job once and finds the same bad lines as a run, with the same messages. `each` gets
/// every good request in job order, on the caller's thread. Memory: for each thread two blocks of
/// one megabyte, or of the longest line; 17 bytes for each request's id; 16 bytes for each bad
/// line. Throws fatal_error if the job cannot be read or has no line.
job_check check_job(const std::string& path, const check_options& options,
                    const std::function<void(const checked_request&)>& each = {});

}  // namespace sluice
