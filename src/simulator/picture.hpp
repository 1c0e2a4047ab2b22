// What a picture in a prompt costs.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::simulator {

/// The tokens of a picture, as OpenAI counts them: a base, and with full detail a number for each
/// tile of 512 by 512 pixels. `url`: where the picture is. If its data is not in the URL, it has
/// the most tiles.
std::uint64_t tokens_of_picture(std::string_view model, std::string_view url, bool low_detail);

}  // namespace sluice::simulator
