#include "engine/text_feed.hpp"

#include <algorithm>

namespace sluice {
namespace {

constexpr std::size_t longest_held = 4096;  // every key is shorter
// Bytes before a key that show that it follows, such as "Bearer ".
constexpr std::size_t longest_announced = 64;

// The size of the text up to the last character that no secret contains.
std::size_t size_without_last_word(std::string_view text) {
  for (std::size_t size = text.size(); size > 0; --size) {
    const auto last = static_cast<unsigned char>(text[size - 1]);
    if (last <= ' ' || last >= 0x80) return size;
  }
  return text.size() > longest_held ? text.size() : 0;
}

}  // namespace

void text_feed::update(const attempt_record& attempt, std::string_view so_far) {
  held_ += decoder_.more(so_far);
  pass(attempt, size_without_last_word(held_));
}

void text_feed::finish(const attempt_record& attempt) {
  pass(attempt, held_.size());
}

void text_feed::pass(const attempt_record& attempt, std::size_t size) {
  if (size == 0) return;
  std::string text = before_ + held_.substr(0, size);
  hidden_.redact(text);
  // `before_` contains no secret, and a secret that began in it would have been held back.
  sink_.text(attempt, std::string_view(text).substr(std::min(before_.size(), text.size())));
  held_.erase(0, size);
  before_ = text.substr(text.size() - std::min(text.size(), longest_announced));
}

}  // namespace sluice
