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

/// The requests of a benchmark, without end. Not thread safe.
class request_supply {
 public:
  virtual ~request_supply() = default;
  /// The same series for each one made alike.
  virtual request next() = 0;
  /// Calls it with each request that differs from others in what it may cost.
  virtual void visit(const std::function<void(const request&)>& each) const = 0;
  /// `input` of a document.
  virtual nlohmann::ordered_json describe() const = 0;
};

/// Chats of a given length with prompts of random words, no two of which begin alike: a relay that
/// keeps prompts must read each anew.
class synthetic_supply final : public request_supply {
 public:
  struct options {
    std::string model;
    std::uint64_t prompt_tokens = 64;  ///< as they are billed; a few fewer are not possible
    std::int64_t max_tokens = 64;      ///< of a reply
    std::uint64_t seed = 1;
  };
  /// `lines`: whether a stream, and its usage, are asked for.
  synthetic_supply(const options& chosen, const job_options& lines);
  request next() override;
  void visit(const std::function<void(const request&)>& each) const override;
  nlohmann::ordered_json describe() const override;

  /// What a prompt has, as far as that can be counted: the nearest to what was asked for.
  std::uint64_t prompt_tokens() const noexcept { return prompt_tokens_; }

 private:
  request make(const std::string& prompt) const;
  void say_words(std::string& text, std::uint64_t count);

  options options_;
  job_options lines_;
  std::mt19937_64 random_;
  std::uint64_t words_ = 0;
  std::uint64_t prompt_tokens_ = 0;
  std::string shared_words_;  // the end of every prompt
  std::uint64_t given_ = 0;
};

/// The requests of jobs, in their order, again and again.
class job_supply final : public request_supply {
 public:
  /// Reads them, up to 64 MiB of bodies. Throws fatal_error when one cannot be read or holds a line
  /// that is no request.
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
