#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/support.hpp"
#include "json/text.hpp"
#include "sluice/job.hpp"
#include "support/plain_merge.hpp"
#include "tokens/pretokenizer.hpp"
#include "tokens/prompt_tokens.hpp"
#include "tokens/tokenizer.hpp"

namespace sluice::fuzz {
namespace {

constexpr std::size_t short_enough = 64;  // the simple merge takes quadratic time

void check_tokens(const tokenizer& known, std::size_t (*piece)(std::string_view) noexcept,
                  std::string_view text) {
  const auto tokens = known.encode(text);
  const auto count = known.count(text);
  require(tokens.has_value() == is_utf8(text), "exactly UTF-8 text has tokens", text);
  require(count.has_value() == tokens.has_value(), "text with tokens has a count", text);
  if (!tokens) return;
  require(count == tokens->size(), "the count is the number of tokens", text);
  std::string again;
  for (const auto token : *tokens) again += known.bytes_of(token).value();
  require(again == text, "the tokens join to the text", text);

  auto next = tokens->begin();
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view cut = rest.substr(0, piece(rest));
    rest.remove_prefix(cut.size());
    require(is_utf8(cut) && !cut.empty(), "a piece consists of whole characters", cut);
    if (cut.size() > short_enough) return;
    for (const auto token : test::plain_merge(known, cut)) {
      require(next != tokens->end() && *next++ == token, "the simple merge gives the same tokens",
              cut);
    }
  }
  require(next == tokens->end(), "the simple merge gives as many tokens", text);
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  static constexpr const char* models[] = {"gpt-4", "gpt-4o", "gpt-3.5-turbo-0301", "o3", "other"};
  const auto target = static_cast<endpoint>(in.pick(4));
  const char* const model = models[in.pick(5)];
  const std::string text(in.text());  // a copy, so that sanitizers find reads beyond its end
  if (const auto* known = tokenizer::of(vocabulary::cl100k_base)) {
    check_tokens(*known, cl100k_piece, text);
  }
  if (const auto* known = tokenizer::of(vocabulary::o200k_base)) {
    check_tokens(*known, o200k_piece, text);
  }
  const token_count prompt = prompt_tokens(target, model, text);
  require(!prompt.exact || peer_verdict(without_lone_surrogates(text)) != verdict::invalid,
          "only what is JSON is counted exactly", text);
  require(prompt.tokens <= 1000 + 1000 * text.size(), "the prompt is not much larger than its body",
          text);
  return 0;
}
