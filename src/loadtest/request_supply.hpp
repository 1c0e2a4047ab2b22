#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <string>
#include <vector>

#include "sluice/config.hpp"
#include "sluice/job.hpp"

namespace sluice::bench {

/// An endless series of requests for a benchmark. Not thread safe.
class request_supply {
 public:
  virtual ~request_supply() = default;
  /// The next request. Objects with the same options return the same series.
  virtual request next() = 0;
  /// Calls `each` with one request of every kind that can differ in its highest cost.
  virtual void visit(const std::function<void(const request&)>& each) const = 0;
  /// The member `input` of a document.
  virtual nlohmann::ordered_json describe() const = 0;
};

/// Chat requests of a given length with prompts of random words. No two prompts begin alike, so a
/// relay cannot use a prompt cache.
class synthetic_supply final : public request_supply {
 public:
  struct options {
    std::string model;
    /// As billed. The smallest possible number is a little above zero.
    std::uint64_t prompt_tokens = 64;
    std::int64_t max_tokens = 64;  ///< maximum tokens of a reply
    std::uint64_t seed = 1;
  };
  /// `lines`: whether a stream, and its usage, are requested.
  synthetic_supply(const options& chosen, const job_options& lines);
  request next() override;
  void visit(const std::function<void(const request&)>& each) const override;
  nlohmann::ordered_json describe() const override;

  /// The actual number of tokens of a prompt, as far as it can be counted: as close as possible to
  /// the requested number.
  std::uint64_t prompt_tokens() const noexcept { return prompt_tokens_; }

 private:
  request make(const std::string& prompt) const;
  void say_words(std::string& text, std::uint64_t count);

  options options_;
  job_options lines_;
  std::mt19937_64 random_;
  std::uint64_t words_ = 0;
  std::uint64_t prompt_tokens_ = 0;
  std::string shared_words_;  // the common end of all prompts
  std::uint64_t given_ = 0;
};

/// The requests of jobs, in their order, repeated endlessly.
class job_supply final : public request_supply {
 public:
  /// Reads the requests, up to 64 MiB of bodies. Throws fatal_error if a job cannot be read or
  /// contains a line that is not a request.
  job_supply(const std::vector<std::string>& paths, const job_options& lines);
  request next() override;
  void visit(const std::function<void(const request&)>& each) const override;
  nlohmann::ordered_json describe() const override;

 private:
  std::vector<std::string> paths_;
  std::vector<request> requests_;
  std::size_t at_ = 0;
};

}  // namespace sluice::bench
