// What the user's last message asks, as far as the answer hangs on it.
#pragma once

#include <string_view>

namespace sluice::simulator {

/// Whether most of the characters are Chinese.
bool mostly_chinese(std::string_view text);

/// The answer to one of the three questions by which the trade tells a strong model from a weak
/// one: yesterday's today, the birds on the tree, Lu Xun and Zhou Shuren, in English or Chinese.
/// Empty for any other text.
std::string_view answer_to_trick(std::string_view question, bool fooled);

}  // namespace sluice::simulator
