#include "json_members.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "json_text.hpp"

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
  return json_string('"' + name + '"').value_or(name);
}

const json_member* find_member(const std::vector<json_member>& members, std::string_view key) {
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->key == key || (member->escaped && member_name(*member) == key)) return &*member;
  }
  return nullptr;
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
  if (text.size() < 2 || text.front() != '"') return std::nullopt;
  if (text.find('\\') == std::string_view::npos)
    return std::string(text.substr(1, text.size() - 2));
  simdjson::ondemand::parser parser;
  const simdjson::padded_string padded(without_lone_surrogates(std::string(text)));
  simdjson::ondemand::document document;
  std::string_view unescaped;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return std::nullopt;
  if (document.get_string().get(unescaped) != simdjson::SUCCESS) return std::nullopt;
  return std::string(unescaped);
}

}  // namespace sluice
