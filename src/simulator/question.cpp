#include "simulator/question.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sluice::simulator {
namespace {

/// A trick question, recognized if it contains all of these words.
struct trick {
  std::array<std::string_view, 3> words;
  std::string_view answer;
  std::string_view wrong_answer;
};

constexpr std::array tricks{
    trick{{"昨天的当天", "明天的什么", ""}, "前天", "昨天"},
    trick{{"omorrow", "yesterday's today", ""}, "Past", "Yesterday"},
    trick{{"只鸟", "打", "几只"}, "还剩 0 只：枪声一响，其他的鸟都飞走了。", "还剩 8 只鸟。"},
    trick{{"9 birds", "sho", ""},
          "0: the shot scares the others, and they all fly away.",
          "8 birds are left."},
    trick{{"ine birds", "sho", ""},
          "0: the shot scares the others, and they all fly away.",
          "8 birds are left."},
    trick{{"鲁迅", "周树人", "打"},
          "鲁迅和周树人是同一个人：周树人是本名，鲁迅是他的笔名，所以没有谁打谁的事。",
          "鲁迅打周树人，是因为两人在文学和政治上意见不合，争论之后动了手。"},
    trick{
        {"Lu Xun", "Zhou Shuren", ""},
        "Lu Xun is the pen name of Zhou Shuren: they are the same person, so nobody beat anybody.",
        "They had quarrelled about literature and politics, and the quarrel came to blows."},
};

}  // namespace

bool mostly_chinese(std::string_view text) {
  std::size_t characters = 0;
  std::size_t chinese = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if ((byte & 0xC0U) == 0x80U) continue;
    ++characters;
    // U+4E00 to U+9FFF: in UTF-8 these begin with E4 B8 to E9 BF.
    if (byte >= 0xE4 && byte <= 0xE9 &&
        (byte != 0xE4 ||
         (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xB8)))
      ++chinese;
  }
  return 2 * chinese > characters;
}

std::string_view answer_to_trick(std::string_view question, bool fooled) {
  const auto match = std::find_if(tricks.begin(), tricks.end(), [question](const trick& each) {
    return std::all_of(each.words.begin(), each.words.end(), [question](std::string_view word) {
      return question.find(word) != std::string_view::npos;
    });
  });
  if (match == tricks.end()) return {};
  return fooled ? match->wrong_answer : match->answer;
}

}  // namespace sluice::simulator
