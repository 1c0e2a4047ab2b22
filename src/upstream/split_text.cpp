#include "upstream/split_text.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "base/contains.hpp"
#include "json/members.hpp"
#include "json/text.hpp"
#include "json/walk.hpp"

namespace sluice {
namespace {

/// One string of the document: a piece of the text.
struct piece {
  std::size_t begin;  ///< position of its opening quote
  std::size_t end;
  std::size_t object;  ///< number of the object or array around it
  std::string text;
};

/// A member that repeats the token next to it: `bytes` or `top_logprobs`.
struct sibling {
  std::size_t begin;
  std::size_t end;
  std::string_view without;  ///< the value that replaces it
};

struct edit {
  std::size_t end;
  std::string text;
};
using edits = std::map<std::size_t, edit>;  ///< by start position

class gatherer : public json_walk<gatherer> {
 public:
  explicit gatherer(std::string_view text) : json_walk(text), text_(text) {}

  void on_open(char bracket) {
    if (bracket == '{') level(depth() + 1).object = ++objects_;
  }
  void on_key(std::string_view quoted, bool /*escaped*/) {
    level(depth()).name = quoted;
    level(depth()).value = edge_ = place();
  }
  void on_end() {
    const std::size_t end = place();
    const std::size_t edge = std::exchange(edge_, end);
    if (depth() == 0) return;
    const place_of& here = level(in_object() ? depth() : depth() - 1);
    const std::size_t begin = in_object() ? here.value : text_.find_first_not_of(" \t\r\n,[", edge);
    if (begin >= end) return;
    if (text_[begin] == '"') {
      const std::string_view quoted = text_.substr(begin, end - begin);
      sequences_[{depth(), here.name}].push_back(
          {begin, end, here.object, json_string(quoted).value_or(std::string())});
    } else if (in_object() && here.name == R"("bytes")") {
      siblings_.emplace(here.object, sibling{begin, end, "null"});
    } else if (in_object() && here.name == R"("top_logprobs")") {
      siblings_.emplace(here.object, sibling{begin, end, "[]"});
    }
  }

  const auto& sequences() const { return sequences_; }
  void remove_siblings(std::size_t object, edits& into) const {
    const auto [first, last] = siblings_.equal_range(object);
    for (auto each = first; each != last; ++each) {
      into[each->second.begin] = {each->second.end, std::string(each->second.without)};
    }
  }

 private:
  struct place_of {
    std::string_view name;
    std::size_t value = 0;
    std::size_t object = 0;
  };
  place_of& level(std::size_t depth) {
    if (levels_.size() <= depth) levels_.resize(depth + 1);
    return levels_[depth];
  }

  std::string_view text_;
  std::vector<place_of> levels_;  // the current member at each depth
  std::size_t edge_ = 0;          // where the last value or key ended
  std::size_t objects_ = 0;
  std::map<std::pair<std::size_t, std::string_view>, std::vector<piece>> sequences_;
  std::multimap<std::size_t, sibling> siblings_;
};

/// The part of `text` from `begin` to `end` without the spans in `found`; a span that begins there
/// is replaced with `replacement`.
std::string without(std::string_view text, std::size_t begin, std::size_t end,
                    const std::vector<text_span>& found, std::string_view replacement) {
  std::string left;
  for (const auto& [from, to] : found) {
    if (to <= begin || from >= end) continue;
    if (from >= begin) left.append(text.substr(begin, from - begin)).append(replacement);
    begin = std::min(to, end);
  }
  return left.append(text.substr(begin, end - begin));
}

void edit_sequence(const gatherer& walk, const std::vector<piece>& pieces,
                   std::string_view replacement,
                   const std::function<std::vector<text_span>(std::string_view)>& find,
                   edits& into) {
  if (pieces.size() < 2) return;
  std::string joined;
  for (const piece& each : pieces) joined += each.text;
  const std::vector<text_span> found = find(joined);
  if (found.empty()) return;
  std::size_t begin = 0;
  for (const piece& each : pieces) {
    const std::size_t end = begin + each.text.size();
    const bool touched = std::any_of(found.begin(), found.end(), [&](const text_span& one) {
      return one.first < end && one.second > begin;
    });
    if (touched) {
      into[each.begin] = {each.end, json_quote(without(joined, begin, end, found, replacement))};
      walk.remove_siblings(each.object, into);
    }
    begin = end;
  }
}

}  // namespace

bool may_hold_split_text(std::string_view json) {
  const std::size_t first = json.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (json[first] != '{' && json[first] != '[')) return false;
  const bool tokens = contains(json, R"("token)") &&
                      (contains(json, R"("token")") || contains(json, R"("tokens")"));
  return tokens || contains(json, R"("reasoning_details")");
}

void replace_in_split_text(std::string& json, std::string_view replacement,
                           const std::function<std::vector<text_span>(std::string_view)>& find) {
  edits changes;
  gatherer walk(json);
  if (!walk.run()) return;
  for (const auto& [name, pieces] : walk.sequences()) {
    edit_sequence(walk, pieces, replacement, find, changes);
  }
  if (changes.empty()) return;
  std::string out;
  std::size_t done = 0;
  for (const auto& [begin, change] : changes) {
    if (begin < done) continue;  // inside another change
    out.append(json, done, begin - done).append(change.text);
    done = change.end;
  }
  json = out.append(json, done);
}

}  // namespace sluice
