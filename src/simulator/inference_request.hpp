// A parsed call to the relay: what the client requests, and how many tokens the prompt has.
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

/// An error reply of the relay.
struct api_error {
  int status;
  std::string message;
  std::string code;
  std::string type = "new_api_error";
};

struct inference_request {
  endpoint to = endpoint::chat;
  std::string model;          ///< the name in the call and in the reply
  std::string serving_model;  ///< the model that really answers
  std::uint64_t number = 0;   ///< number of the call, counted by the relay
  /// The vocabulary of the model that answers; null: a token is four bytes.
  const tokenizer* vocabulary = nullptr;
  /// A hash of the relay's seed and of the body without its stream fields. It seeds everything
  /// random in the reply, so a call gets the same answer streamed or not.
  std::uint64_t digest = 0;

  bool stream = false;
  bool include_usage = false;
  std::size_t choices = 1;
  std::optional<std::uint64_t> max_tokens;
  std::string limit_name;         ///< the field that set max_tokens; empty: the endpoint's default
  bool endless = false;           ///< the answer does not end at max_tokens
  std::vector<std::string> stop;  ///< an answer ends before the first of these strings
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  bool logprobs = false;
  std::size_t top_logprobs = 0;

  /// The function that the answer calls; empty: the answer is text.
  std::string tool;
  bool tool_named = false;  ///< the body names this function; false: it accepts any of its tools
  /// The arguments of the tool call, or the whole answer if the body requests JSON or the question
  /// has a fixed answer.
  std::string document;
  bool asks_for_json = false;  ///< the body requests JSON as its text
  bool in_chinese = false;

  // Only for embeddings.
  std::vector<std::uint64_t> inputs;  ///< a digest of each input
  std::size_t dimensions = 8;
  bool base64 = false;
};

/// Parses request bodies. Not thread safe: it reuses the memory of one parser.
class request_reader {
 public:
  /// For an honest relay.
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
