#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// How many bytes must be changed, added, dropped or swapped with their neighbour to make one text
/// of the other: Damerau's distance, each place changed once (optimal string alignment). Pure; may
/// be called from any thread.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace sluice
