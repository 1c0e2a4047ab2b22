// A call to the relay, understood: what is asked, how long the prompt is, what will be said.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "simulator/options.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::simulator {

enum class endpoint { chat, completions, embeddings, responses };

/// Empty for a path that is not an inference endpoint.
std::optional<endpoint> endpoint_at(std::string_view path);

/// An error in the relay's words.
struct api_error {
  int status;
  std::string message;
  std::string code;
  std::string type = "new_api_error";
};

struct inference_request {
  endpoint to = endpoint::chat;
  std::string model;         ///< as the call names it, and the reply does
  std::string served;        ///< which answers
  std::uint64_t number = 0;  ///< of the call
  /// The vocabulary of the one that answers; null: tokens are of four bytes.
  const tokenizer* vocabulary = nullptr;
  /// Of the seed and of the body without its stream fields: all that is random about the reply is
  /// drawn from it, so a call says the same streamed or not.
  std::uint64_t digest = 0;

  bool stream = false;
  bool include_usage = false;
  std::size_t choices = 1;
  std::optional<std::uint64_t> max_tokens;
  std::string limit_name;         ///< the field that says so; empty: the endpoint does
  std::vector<std::string> stop;  ///< an answer ends before the first of these
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  bool logprobs = false;
  std::size_t top_logprobs = 0;

  /// A call of this function is the answer; empty: none is.
  std::string tool;
  bool tool_named = false;  ///< asked for by name, rather than as any of several
  /// The call's arguments, or the whole answer where the body asks for JSON or the question for a
  /// certain one.
  std::string document;
  bool in_chinese = false;

  // Embeddings alone.
  std::vector<std::uint64_t> inputs;  ///< a digest of each
  std::size_t dimensions = 8;
  bool base64 = false;
};

/// Reads bodies with one parser, whose memory it keeps.
class request_reader {
 public:
  /// Of an honest relay.
  explicit request_reader(std::uint64_t seed);
  explicit request_reader(const options& settings);
  ~request_reader();
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  std::variant<inference_request, api_error> read(endpoint to, std::string_view body,
                                                  std::uint64_t number = 0);

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace sluice::simulator
