#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

/// Begin and end of a part of a text.
using text_span = std::pair<std::size_t, std::size_t>;

// Functions for a text that a JSON document contains in pieces: consecutive strings with the same
// name at the same depth, like the tokens of `logprobs`. Pure.

/// A quick check whether a document may contain such lists; almost none does.
bool may_hold_split_text(std::string_view json);

/// Joins such pieces. Each match of `find` in the joined text is replaced with `replacement`. The
/// `bytes` and `top_logprobs` of a changed token are removed. The document stays valid JSON; a text
/// that is not JSON is left unchanged.
void replace_in_split_text(std::string& json, std::string_view replacement,
                           const std::function<std::vector<text_span>(std::string_view)>& find);

}  // namespace sluice
