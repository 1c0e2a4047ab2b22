#include "simulator/utterance.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace sluice::simulator {
namespace {

using words = std::span<const std::string_view>;

// Each begins with a space, as tokens of real vocabularies do; the first of a text or line loses
// it.
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
constexpr std::array<std::string_view, 8> hanzi_verbs{"说明", "改变", "支持", "需要",
                                                      "发现", "影响", "描述", "连接"};

/// A sentence as a row of slots for words.
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

void say_quoted(random& random, utterance& speech) {
  speech.say(speech.tokens() == 0 ? "\"" : " \"");
  speech.say("Yes");
  speech.say(",\"");
  for (const auto list : {words(determiners), words(nouns), words(verbs)})
    speech.say(one_of(random, list));
  speech.say(".");
}

}  // namespace

void utterance::cut_to(std::size_t count) {
  if (count >= ends_.size()) return;
  ends_.resize(count);
  text_.resize(count == 0 ? 0 : ends_.back());
}

utterance prose(random& random, std::size_t tokens) {
  utterance speech;
  while (speech.tokens() < tokens) {
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
  speech.cut_to(tokens);
  return speech;
}

utterance spelled(std::string_view text) {
  const auto continues = [&](std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
  };
  utterance speech;
  while (!text.empty()) {
    std::size_t length = std::min<std::size_t>(4, text.size());
    while (length > 1 && continues(length)) --length;
    speech.say(text.substr(0, length));
    text.remove_prefix(length);
  }
  return speech;
}

std::string_view noun(random& random) {
  return one_of(random, nouns).substr(1);
}

}  // namespace sluice::simulator
