#include "tokens/tokenizer.hpp"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "tokens/pretokenizer.hpp"
#ifdef SLUICE_BENCH_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

namespace {

using sluice::tokenizer;
using sluice::vocabulary;

constexpr std::size_t text_bytes = 1'000'000;

constexpr std::string_view english =
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season "
    "of Light, "
    "it was the season of Darkness, it was the spring of hope, it was the winter of despair, we "
    "had "
    "everything before us, we had nothing before us, we were all going direct to Heaven, we were "
    "all going "
    "direct the other way - in short, the period was so far like the present period, that some of "
    "its "
    "noisiest authorities insisted on its being received, for good or for evil, in the superlative "
    "degree "
    "of comparison only.\n\nThere were a king with a large jaw and a queen with a plain face, on "
    "the throne "
    "of England; there were a king with a large jaw and a queen with a fair face, on the throne of "
    "France.";
constexpr std::string_view chinese =
    "我冒了严寒，回到相隔二千余里，别了二十余年的故乡去。时候既然是深冬；渐近故乡时，天气又阴晦了，"
    "冷风吹进船舱中，呜呜的响，"
    "从篷隙向外一望，苍黄的天底下，远近横着几个萧索的荒村，没有一些活气。我的心禁不住悲凉起来了。阿"
    "！这不是我二十年来时时记得的故乡？"
    "我所记得的故乡全不如此。我的故乡好得多了。但要我记起他的美丽，说出他的佳处来，却又没有影像，没"
    "有言辞了。仿佛也就如此。"
    "于是我自己解释说：故乡本也如此，——虽然没有进步，也未必有如我所感的悲凉，这只是我自己心情的改变"
    "罢了，因为我这次回乡，本没有什么好心绪。";
constexpr std::string_view code =
    "template <typename Visit>\nvoid for_each(Visit&& visit) {\n  for (auto& home : shards_) {\n   "
    " for (auto& "
    "entry : home.slots) {\n      if (!entry.empty()) visit(entry.value);\n    }\n  }\n}\n\n"
    "{\"id\": \"chatcmpl-9f8e7d\", \"created\": 1700000000, \"choices\": [{\"index\": 0, "
    "\"finish_reason\": null}]}\n";

std::string repeated(std::string_view unit) {
  std::string text;
  while (text.size() < text_bytes) text += unit;
  return text;
}

// A text that is a single piece in both patterns.
std::string any_letters() {
  std::minstd_rand random(1);
  std::string text;
  while (text.size() < text_bytes) text += static_cast<char>('a' + random() % 26);
  return text;
}

std::string any_hanzi() {
  std::minstd_rand random(1);
  std::string text;
  while (text.size() < text_bytes) {
    const auto point = 0x4E00U + random() % 0x5000U;
    text += static_cast<char>(0xE0U | point >> 12U);
    text += static_cast<char>(0x80U | (point >> 6U & 0x3FU));
    text += static_cast<char>(0x80U | (point & 0x3FU));
  }
  return text;
}

// Words that do not repeat, like names and numbers.
std::string rare_words() {
  std::minstd_rand random(1);
  std::string text;
  while (text.size() < text_bytes) {
    for (auto letters = 3 + random() % 8; letters > 0; --letters) {
      text += static_cast<char>('a' + random() % 26);
    }
    text += ' ';
  }
  return text;
}

void count(benchmark::State& state, vocabulary name, const std::string& text) {
  const tokenizer* encoder = tokenizer::of(name);
  if (encoder == nullptr) {
    state.SkipWithError("built without vocabularies");
    return;
  }
  std::uint64_t tokens = 0;
  for (auto _ : state) tokens = encoder->count(text).value();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["tokens_per_kB"] =
      1000.0 * static_cast<double>(tokens) / static_cast<double>(text.size());
}

using splitter = std::size_t (*)(std::string_view) noexcept;

void split(benchmark::State& state, splitter piece, const std::string& text) {
  std::uint64_t pieces = 0;
  for (auto _ : state) {
    pieces = 0;
    for (std::string_view rest = text; !rest.empty(); ++pieces) rest.remove_prefix(piece(rest));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["pieces"] = static_cast<double>(pieces);
}

#ifdef SLUICE_BENCH_PCRE2
constexpr const char* cl100k_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* o200k_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The same split with PCRE2. The pattern is compiled to machine code.
void split_by_pcre2(benchmark::State& state, const char* pattern, const std::string& text) {
  int error = 0;
  std::size_t place = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED,
                                       PCRE2_UTF | PCRE2_UCP, &error, &place, nullptr);
  if (compiled == nullptr || pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) != 0) {
    state.SkipWithError("the pattern was not compiled");
    return;
  }
  pcre2_match_data* found = pcre2_match_data_create_from_pattern(compiled, nullptr);
  std::uint64_t pieces = 0;
  for (auto _ : state) {
    pieces = 0;
    for (std::size_t at = 0; at < text.size(); ++pieces) {
      if (pcre2_match(compiled, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                      PCRE2_NO_UTF_CHECK, found, nullptr) < 0) {
        state.SkipWithError("the pattern did not match");
        break;
      }
      at = pcre2_get_ovector_pointer(found)[1];
    }
  }
  pcre2_match_data_free(found);
  pcre2_code_free(compiled);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["pieces"] = static_cast<double>(pieces);
}
#endif

const int registered = [] {
  const struct {
    const char* name;
    std::string text;
    bool splits;
  } texts[] = {
      {"english", repeated(english), true},
      {"chinese", repeated(chinese), true},
      {"code", repeated(code), true},
      {"rare_words", rare_words(), false},
      {"any_hanzi", any_hanzi(), false},
      {"one_word", any_letters(), false},
      {"one_letter", repeated("a"), false},
      {"one_hanzi", repeated("国"), false},
      {"spaces", repeated(" "), false},
      {"newlines", repeated("\n"), false},
      {"emoji", repeated("👨‍👩‍👧‍👦"), false},
  };
  for (const auto& each : texts) {
    const std::string name = each.name;
    const std::string& text = each.text;
    benchmark::RegisterBenchmark(
        ("tokens/cl100k_base/" + name).c_str(),
        [text](benchmark::State& state) { count(state, vocabulary::cl100k_base, text); });
    benchmark::RegisterBenchmark(
        ("tokens/o200k_base/" + name).c_str(),
        [text](benchmark::State& state) { count(state, vocabulary::o200k_base, text); });
    if (!each.splits) continue;
    benchmark::RegisterBenchmark(
        ("split/cl100k_base/" + name).c_str(),
        [text](benchmark::State& state) { split(state, sluice::cl100k_piece, text); });
    benchmark::RegisterBenchmark(
        ("split/o200k_base/" + name).c_str(),
        [text](benchmark::State& state) { split(state, sluice::o200k_piece, text); });
#ifdef SLUICE_BENCH_PCRE2
    benchmark::RegisterBenchmark(
        ("split_by_pcre2/cl100k_base/" + name).c_str(),
        [text](benchmark::State& state) { split_by_pcre2(state, cl100k_pattern, text); });
    benchmark::RegisterBenchmark(
        ("split_by_pcre2/o200k_base/" + name).c_str(),
        [text](benchmark::State& state) { split_by_pcre2(state, o200k_pattern, text); });
#endif
  }
  return 0;
}();

}  // namespace
