#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// How many bytes must be changed, added, removed or swapped with their neighbour to turn one text
/// into the other: the Damerau distance in which each place is changed at most once (optimal string
/// alignment). Pure; may be called from any thread.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace sluice
