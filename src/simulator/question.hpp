// The properties of the user's last message that the answer depends on.
#pragma once

#include <string_view>

namespace sluice::simulator {

/// Whether more than half of the characters are Chinese.
bool mostly_chinese(std::string_view text);

/// The answer to one of three trick questions that relay customers use to distinguish a strong
/// model from a weak one: yesterday's today, the birds on the tree, Lu Xun and Zhou Shuren, in
/// English or Chinese. `fooled` gives the wrong answer of a weak model. Empty for any other text.
std::string_view answer_to_trick(std::string_view question, bool fooled);

}  // namespace sluice::simulator
