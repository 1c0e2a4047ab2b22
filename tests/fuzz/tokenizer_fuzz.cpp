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

constexpr std::size_t short_enough = 64;  // for a merge whose time is the square of it

void check_tokens(const tokenizer& known, std::size_t (*piece)(std::string_view) noexcept,
                  std::string_view text) {
  const auto tokens = known.encode(text);
  const auto count = known.count(text);
  require(tokens.has_value() == is_utf8(text), "what is UTF-8 has tokens", text);
  require(count.has_value() == tokens.has_value(), "what has tokens has a number of them", text);
  if (!tokens) return;
  require(count == tokens->size(), "the number is that of the tokens", text);
  std::string again;
  for (const auto token : *tokens) again += known.bytes_of(token).value();
  require(again == text, "the tokens are the text", text);

  auto next = tokens->begin();
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view cut = rest.substr(0, piece(rest));
    rest.remove_prefix(cut.size());
    require(is_utf8(cut) && !cut.empty(), "a piece is of whole characters", cut);
    if (cut.size() > short_enough) return;
    for (const auto token : test::plain_merge(known, cut)) {
      require(next != tokens->end() && *next++ == token, "a plain merge gives the same", cut);
    }
  }
  require(next == tokens->end(), "a plain merge gives no fewer", text);
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input given(data, size);
  static constexpr const char* models[] = {"gpt-4", "gpt-4o", "gpt-3.5-turbo-0301", "o3", "other"};
  const auto target = static_cast<endpoint>(given.pick(4));
  const char* const model = models[given.pick(5)];
  const std::string text(given.text());  // ends where it ends
  if (const auto* known = tokenizer::of(vocabulary::cl100k_base)) {
    check_tokens(*known, cl100k_piece, text);
  }
  if (const auto* known = tokenizer::of(vocabulary::o200k_base)) {
    check_tokens(*known, o200k_piece, text);
  }
  const token_count prompt = prompt_tokens(target, model, text);
  require(!prompt.exact || peer_verdict(without_lone_surrogates(text)) != verdict::invalid,
          "only what is JSON is counted exactly", text);
  require(prompt.tokens <= 1000 + 1000 * text.size(), "a prompt is in proportion to its body",
          text);
  return 0;
}
