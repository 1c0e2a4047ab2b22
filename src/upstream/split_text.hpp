#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

/// Begin and end of something in a text.
using text_span = std::pair<std::size_t, std::size_t>;

/// Texts that a JSON document holds in pieces: strings of one name at one depth, one behind the
/// other, as the tokens of `logprobs` stand. Pure.

/// Whether a document has lists that hold a text so; nearly none has.
bool may_hold_split_text(std::string_view json);

/// Puts `shown` in the place of what `find` finds in such a text, however it lies over the pieces.
/// A token's bytes, and those that might have stood in its place, go with it. The document stays
/// valid JSON; what is none is left as it is.
void replace_in_split_text(std::string& json, std::string_view shown,
                           const std::function<std::vector<text_span>(std::string_view)>& find);

}  // namespace sluice
