#include "json/json_members.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "json/json_text.hpp"

namespace sluice {
namespace {

// What a byte means to the walk. Inside of a nested value only those from `quote` on matter.
enum class kind : std::uint8_t { other, space, comma, quote, open, close };

constexpr std::array<kind, 256> kinds = [] {
  std::array<kind, 256> table{};
  for (const char c : {' ', '\t', '\r', '\n'}) table[static_cast<unsigned char>(c)] = kind::space;
  for (const char c : {'{', '['}) table[static_cast<unsigned char>(c)] = kind::open;
  for (const char c : {'}', ']'}) table[static_cast<unsigned char>(c)] = kind::close;
  table[static_cast<unsigned char>('"')] = kind::quote;
  table[static_cast<unsigned char>(',')] = kind::comma;
  return table;
}();

kind kind_of(char c) noexcept {
  return kinds[static_cast<unsigned char>(c)];
}

// Walks over text that is known to be valid JSON.
class walker {
 public:
  explicit walker(std::string_view text) : text_(text) {}

  std::size_t position() const noexcept { return at_; }
  char skip_space() {
    while (at_ < text_.size() && kind_of(text_[at_]) == kind::space) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip_one() { ++at_; }

  // From the opening quote to behind the closing one.
  std::string_view string() {
    const std::size_t begin = at_++;
    for (;; ++at_) {
      at_ = std::min(text_.find('"', at_), text_.size());
      std::size_t escapes = 0;
      while (text_[at_ - 1 - escapes] == '\\') ++escapes;
      if (escapes % 2 == 0 || at_ == text_.size()) break;
    }
    ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string_view value() {
    const std::size_t begin = at_;
    const kind first = kind_of(text_[at_]);
    if (first == kind::quote) return string();
    if (first == kind::open) {
      skip_nested();
    } else {
      while (at_ < text_.size()) {
        const kind k = kind_of(text_[at_]);
        if (k == kind::space || k == kind::comma || k == kind::close) break;
        ++at_;
      }
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  // From an opening bracket to behind the one that closes it.
  void skip_nested() {
    std::size_t depth = 0;
    do {
      while (at_ < text_.size() && kind_of(text_[at_]) < kind::quote) ++at_;
      if (at_ == text_.size()) return;
      const kind met = kind_of(text_[at_]);
      if (met == kind::quote) {
        string();
      } else {
        met == kind::open ? ++depth : --depth;
        ++at_;
      }
    } while (depth > 0);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<std::string> unquoted(std::string_view text, bool keep_lone_surrogates) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return std::nullopt;
  text = text.substr(1, text.size() - 2);
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  return json_unescaped(text, keep_lone_surrogates);
}

}  // namespace

std::optional<std::vector<json_member>> json_members(std::string_view object) {
  walker walk(object);
  if (walk.skip_space() != '{') return std::nullopt;
  std::vector<json_member> members;
  members.reserve(8);
  walk.skip_one();
  while (walk.skip_space() == '"') {
    json_member member;
    member.begin = walk.position();
    const std::string_view quoted = walk.string();
    if (quoted.size() < 2) return std::nullopt;
    member.key = quoted.substr(1, quoted.size() - 2);
    member.escaped = member.key.find('\\') != std::string_view::npos;
    walk.skip_space();
    walk.skip_one();  // ':'
    walk.skip_space();
    member.value = walk.value();
    member.end = walk.position();
    members.push_back(member);
    if (walk.skip_space() == ',') walk.skip_one();
  }
  return members;
}

std::string member_name(const json_member& member) {
  std::string name(member.key);
  if (!member.escaped) return name;
  return json_unescaped(name, false).value_or(name);
}

bool is_named(const json_member& member, std::string_view name) {
  return member.key == name || (member.escaped && member_name(member) == name);
}

const json_member* find_member(const std::vector<json_member>& members, std::string_view key) {
  const auto found = std::find_if(members.rbegin(), members.rend(),
                                  [&](const json_member& member) { return is_named(member, key); });
  return found == members.rend() ? nullptr : &*found;
}

std::optional<std::vector<std::string_view>> json_elements(std::string_view array) {
  walker walk(array);
  if (walk.skip_space() != '[') return std::nullopt;
  std::vector<std::string_view> elements;
  walk.skip_one();
  for (char c = walk.skip_space(); c != ']' && c != '\0'; c = walk.skip_space()) {
    elements.push_back(walk.value());
    if (walk.skip_space() == ',') walk.skip_one();
  }
  return elements;
}

std::optional<std::string> json_string(std::string_view text) {
  return unquoted(text, false);
}

std::optional<std::string> json_string_wtf8(std::string_view text) {
  return unquoted(text, true);
}

}  // namespace sluice
