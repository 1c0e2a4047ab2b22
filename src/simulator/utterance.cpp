#include "simulator/utterance.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace sluice::simulator {
namespace {

using words = std::span<const std::string_view>;

// Words begin with a space, as tokens of real vocabularies do. The first word of a text or line is
// written without it.
constexpr std::array<std::string_view, 8> openings{" The",  " One",  " This",  " Each",
                                                   " That", " Some", " Every", " Another"};
constexpr std::array<std::string_view, 8> determiners{" the",  " one", " this",  " each",
                                                      " that", " its", " every", " another"};
constexpr std::array<std::string_view, 20> adjectives{
    " small",  " large",  " clear", " open",   " simple", " early",  " strong",
    " quiet",  " common", " local", " modern", " steady", " narrow", " useful",
    " recent", " public", " rapid", " formal", " warm",   " central"};
constexpr std::array<std::string_view, 32> nouns{
    " answer",  " model",   " report",  " river",  " system",   " question", " letter", " market",
    " method",  " teacher", " city",    " record", " language", " machine",  " window", " result",
    " garden",  " history", " network", " paper",  " problem",  " season",   " signal", " story",
    " student", " theory",  " village", " voice",  " weather",  " engine",   " bridge", " sample"};
constexpr std::array<std::string_view, 20> verbs{
    " shows",  " follows", " needs", " changes", " explains",  " supports", " carries",
    " covers", " reaches", " finds", " keeps",   " describes", " holds",    " moves",
    " opens",  " returns", " gives", " meets",   " leaves",    " improves"};
constexpr std::array<std::string_view, 10> prepositions{" in",    " near",   " with",  " under",
                                                        " after", " before", " along", " beside",
                                                        " from",  " without"};
constexpr std::array<std::string_view, 8> joints{" and", " but",  " while", " because",
                                                 " so",  " when", " until", " although"};
constexpr std::array<std::string_view, 4> emoji{" 🙂", " 🚀", " ✅", " 🌊"};
constexpr std::array<std::string_view, 12> hanzi{"模型", "语言", "系统", "城市", "问题", "历史",
                                                 "学生", "方法", "天气", "结果", "网络", "故事"};
constexpr std::array<std::string_view, 4> hanzi_joints{"因为", "如果", "虽然", "由于"};
constexpr std::array<std::string_view, 8> hanzi_verbs{"说明", "改变", "支持", "需要",
                                                      "发现", "影响", "描述", "连接"};

/// A sentence is a sequence of slots for words.
enum class slot { opening, determiner, adjective, noun, verb, preposition, joint };
using enum slot;
constexpr std::array short_sentence{opening, noun, verb, determiner, noun};
constexpr std::array rich_sentence{opening,   adjective, noun,        verb,       determiner,
                                   adjective, noun,      preposition, determiner, noun};
constexpr std::array long_sentence{opening,     noun,       verb,      determiner, noun,
                                   joint,       determiner, adjective, noun,       verb,
                                   preposition, determiner, noun};

words words_for(slot place) {
  switch (place) {
    case opening:
      return openings;
    case determiner:
      return determiners;
    case adjective:
      return adjectives;
    case noun:
      return nouns;
    case verb:
      return verbs;
    case preposition:
      return prepositions;
    case joint:
      return joints;
  }
  return nouns;
}

std::string_view one_of(random& random, words list) {
  return list[random.below(static_cast<std::uint32_t>(list.size()))];
}

void say_english(random& random, utterance& speech) {
  static constexpr std::array<std::span<const slot>, 3> shapes{short_sentence, rich_sentence,
                                                               long_sentence};
  for (const slot place : shapes[random.below(shapes.size())]) {
    auto word = one_of(random, words_for(place));
    if (speech.tokens() == 0 || speech.text().back() == '\n') word.remove_prefix(1);
    speech.say(word);
  }
  speech.say(".");
}

void say_chinese(random& random, utterance& speech) {
  for (const auto list : {words(hanzi), words(hanzi_verbs), words(hanzi)})
    speech.say(one_of(random, list));
  speech.say("。");
}

/// A sentence in one of several shapes, for texts that are all Chinese.
void say_more_chinese(random& random, utterance& speech) {
  switch (random.below(4)) {
    case 0:
      speech.say(one_of(random, hanzi));
      speech.say("的");
      break;
    case 1:
      speech.say(one_of(random, hanzi));
      speech.say("和");
      break;
    case 2:
      speech.say(one_of(random, hanzi_joints));
      speech.say(one_of(random, hanzi));
      speech.say(one_of(random, hanzi_verbs));
      speech.say(one_of(random, hanzi));
      speech.say("，");
      break;
    default:
      break;
  }
  say_chinese(random, speech);
}

void say_quoted(random& random, utterance& speech) {
  speech.say(speech.tokens() == 0 ? "\"" : " \"");
  speech.say("Yes");
  speech.say(",\"");
  for (const auto list : {words(determiners), words(nouns), words(verbs)})
    speech.say(one_of(random, list));
  speech.say(".");
}

void say_something(random& random, utterance& speech) {
  switch (random.below(10)) {
    case 0:
      say_chinese(random, speech);
      break;
    case 1:
      say_quoted(random, speech);
      break;
    case 2:
      say_english(random, speech);
      speech.say(one_of(random, emoji));
      break;
    case 3:
      say_english(random, speech);
      speech.say("\n\n");
      break;
    default:
      say_english(random, speech);
  }
}

/// Complete sentences with at least `count` words.
utterance sentences(random& random, std::size_t count, language in) {
  utterance speech;
  while (speech.tokens() < count) {
    if (in == language::mixed)
      say_something(random, speech);
    else if (in == language::chinese)
      say_more_chinese(random, speech);
    else
      say_english(random, speech);
  }
  return speech;
}

/// Whether the byte at `at` continues a UTF-8 character.
bool continues(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
}

}  // namespace

bool utterance::ends_whole(std::size_t index) const {
  const std::size_t end = ends_[index];
  if (end < text_.size()) return !continues(text_, end);
  // No byte follows, so read the length of the last character from its first byte.
  std::size_t begin = end;
  while (begin > 0 && continues(text_, begin - 1)) --begin;
  if (begin == 0) return end == 0;
  const auto lead = static_cast<unsigned char>(text_[--begin]);
  const std::size_t length = lead < 0xC0U ? 1 : lead < 0xE0U ? 2 : lead < 0xF0U ? 3 : 4;
  return end - begin == length;
}

std::size_t utterance::piece_start(std::size_t index) const {
  while (index > 0 && !ends_whole(index - 1)) --index;
  return index;
}

std::string_view utterance::piece(std::size_t index) const {
  if (!ends_whole(index)) return {};
  return between(begin_of(piece_start(index)), ends_[index]);
}

void utterance::cut_to(std::size_t count) {
  if (count >= ends_.size()) return;
  ends_.resize(count);
  text_.resize(count == 0 ? 0 : ends_.back());
}

utterance prose(random& random, std::size_t tokens, language in, const tokenizer* vocabulary) {
  // The cut rarely falls inside a character, so a few attempts are enough. The last one is English:
  // it has at least one token per word and only one-byte characters, so it always succeeds.
  constexpr int attempts = 8;
  for (int attempt = 0;; ++attempt) {
    const auto spoken = attempt < attempts ? in : language::english;
    if (vocabulary == nullptr) {
      auto speech = sentences(random, tokens, spoken);
      speech.cut_to(tokens);
      return speech;
    }
    // The vocabulary may join neighbouring words into one token, so some extra words are needed.
    auto speech = spelled(sentences(random, tokens + tokens / 4 + 4, spoken).text(), vocabulary);
    if (speech.tokens() < tokens) continue;
    speech.cut_to(tokens);
    if (speech.whole()) return speech;
  }
}

utterance spelled(std::string_view text, const tokenizer* vocabulary) {
  const auto encoded = vocabulary == nullptr ? std::nullopt : vocabulary->encode(text);
  utterance speech;
  if (encoded) {
    for (const auto token : *encoded) {
      const auto length = vocabulary->length_of(token);
      speech.say(text.substr(0, length));
      text.remove_prefix(length);
    }
    return speech;
  }
  while (!text.empty()) {
    std::size_t length = std::min<std::size_t>(4, text.size());
    while (length > 1 && continues(text, length)) --length;
    speech.say(text.substr(0, length));
    text.remove_prefix(length);
  }
  return speech;
}

std::string_view noun(random& random) {
  return one_of(random, nouns).substr(1);
}

std::span<const std::string_view> noun_tokens() {
  return nouns;
}

}  // namespace sluice::simulator
