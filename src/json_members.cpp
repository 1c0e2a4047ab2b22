#include "json_members.hpp"

#include <nlohmann/json.hpp>

#include "json_text.hpp"

namespace sluice {
namespace {

constexpr std::string_view white_space = " \t\r\n";

// Walks over text that is known to be valid JSON.
class walker {
 public:
  explicit walker(std::string_view text) : text_(text) {}

  std::size_t position() const noexcept { return at_; }
  char skip_space() {
    at_ = std::min(text_.find_first_not_of(white_space, at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip_one() { ++at_; }

  // From the opening quote to behind the closing one.
  std::string_view string() {
    const std::size_t begin = at_++;
    for (;;) {
      at_ = text_.find_first_of("\"\\", at_);
      if (at_ == std::string_view::npos) return {};
      if (text_[at_] == '"') break;
      at_ += 2;
    }
    ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string_view value() {
    const std::size_t begin = at_;
    switch (text_[at_]) {
      case '"': return string();
      case '{':
      case '[': {
        std::size_t depth = 0;
        do {
          at_ = text_.find_first_of("\"{}[]", at_);
          if (at_ == std::string_view::npos) return {};
          if (text_[at_] == '"') {
            string();
            continue;
          }
          const bool opens = text_[at_] == '{' || text_[at_] == '[';
          opens ? ++depth : --depth;
          ++at_;
        } while (depth > 0);
        return text_.substr(begin, at_ - begin);
      }
      default:
        at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
        return text_.substr(begin, at_ - begin);
    }
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<std::vector<json_member>> json_members(std::string_view object) {
  walker walk(object);
  if (walk.skip_space() != '{') return std::nullopt;
  std::vector<json_member> members;
  walk.skip_one();
  while (walk.skip_space() == '"') {
    json_member member;
    member.begin = walk.position();
    const std::string_view quoted = walk.string();
    if (quoted.size() < 2) return std::nullopt;
    member.key = quoted.substr(1, quoted.size() - 2);
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

const json_member* find_member(const std::vector<json_member>& members, std::string_view key) {
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (member->key == key) return &*member;
    if (member->key.find('\\') != std::string_view::npos &&
        json_string('"' + std::string(member->key) + '"') == key) {
      return &*member;
    }
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
  if (text.find('\\') == std::string_view::npos) return std::string(text.substr(1, text.size() - 2));
  const auto parsed = nlohmann::json::parse(without_lone_surrogates(text), nullptr, false);
  if (!parsed.is_string()) return std::nullopt;
  return parsed.get<std::string>();
}

}  // namespace sluice
