#include "openai/piecewise_object.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "json/text.hpp"
#include "openai/chunk.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

bool contains(std::initializer_list<std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

/// Strings that are names. They come once or repeatedly, but always whole.
bool is_label(std::string_view key) {
  return contains({"id", "type", "name", "role", "format", "signature"}, key);
}

/// Strings that always come in pieces.
bool is_text(std::string_view key) {
  return contains({"content", "reasoning_content", "reasoning", "refusal", "text", "arguments",
                   "input", "data", "transcript"},
                  key);
}

/// The maximum number of members of an object. Later ones are dropped.
constexpr std::size_t most_members = 1024;

constexpr std::string_view plain_head = R"("type":"text",)";
constexpr std::string_view part_end = R"("})";

bool is_word(std::string_view raw) {
  return !raw.empty() && std::all_of(raw.begin(), raw.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
  });
}

/// Whether a string contains more than punctuation and white space. All characters outside ASCII
/// count as letters.
bool has_letter(std::string_view raw) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const auto c = static_cast<unsigned char>(raw[i]);
    if (c == '\\') {
      if (raw.substr(++i).starts_with('u')) return true;
    } else if (std::isalnum(c) != 0 || c >= 0x80) {
      return true;
    }
  }
  return false;
}

}  // namespace

void piecewise_object::append_text(std::string_view key, std::string_view raw) {
  member& target = obtain(key);
  if (target.is == form::null) target.is = form::text;
  if (raw.empty()) return;
  if (target.is == form::elements) return add_text_part(target, plain_head, raw);
  if (target.is != form::text) target.text.clear();
  target.is = form::text;
  target.text += raw;
}

std::string_view piecewise_object::text(std::string_view key) const {
  const member* found = find(key);
  return found != nullptr && found->is == form::text ? std::string_view(found->text)
                                                     : std::string_view();
}

void piecewise_object::append_text_part(std::string_view key, std::string_view head,
                                        std::string_view raw) {
  member& target = obtain(key);
  to_array(target);
  add_text_part(target, head, raw);
}

void piecewise_object::append_element(std::string_view key, std::string_view raw) {
  member& target = obtain(key);
  to_array(target);
  add_element(target, raw);
}

void piecewise_object::append_elements(std::string_view key, std::string_view raw) {
  member& target = obtain(key);
  if (!is_truthy(raw)) {
    if (target.is == form::null) target.is = form::elements;
    return;
  }
  to_array(target);
  add_element(target, raw.substr(1, raw.size() - 2));
}

void piecewise_object::append_text_or_label(std::string_view key, std::string_view raw,
                                            bool beside) {
  append_text(key, raw);
  evidence& seen = obtain(key).seen;
  if (raw.empty()) return;
  ++seen.pieces;
  if (raw == seen.last && has_letter(raw)) ++seen.repeats;
  if (beside) ++seen.beside;
  seen.words = seen.words && is_word(raw);
  seen.last = raw;
}

bool piecewise_object::may_be_label(std::string_view key) {
  return !is_label(key) && !is_text(key);
}

/// In a text, almost no piece is the same as the one before it. So many repetitions mean a label.
bool piecewise_object::evidence::is_label() const {
  if (pieces < 2) return false;
  return 2 * repeats >= pieces - 1 || (words && 2 * beside >= pieces);
}

void piecewise_object::replace(std::string_view key, std::string_view raw) {
  if (raw == "null") return;
  member& target = obtain(key);
  if (target.is != form::null && raw == "\"\"") return;
  target.is = form::value;
  target.text = raw;
}

void piecewise_object::mention(std::string_view key) {
  obtain(key);
}

void piecewise_object::merge(std::string_view key, ondemand::value value) {
  switch (value.type()) {
    case ondemand::json_type::null:
      return mention(key);
    case ondemand::json_type::array:
      return append_elements(key, raw_json(value));
    case ondemand::json_type::string:
      if (is_label(key)) return replace(key, raw_json(value));
      if (is_text(key)) return append_text(key, inside_quotes(raw_json(value)));
      return append_text_or_label(key, inside_quotes(raw_json(value)), false);
    default:
      return replace(key, raw_json(value));
  }
}

void piecewise_object::merge(ondemand::object delta) {
  for (ondemand::field field : delta) {
    const std::string_view key = field.unescaped_key();
    merge(key, field.value());
  }
}

bool piecewise_object::has(std::string_view key) const {
  const member* found = find(key);
  return found != nullptr && !found->text.empty();
}

std::size_t piecewise_object::held() const noexcept {
  std::size_t sum = 0;
  for (const member& each : members_) {
    sum += sizeof each + each.key.size() + each.text.size() + each.seen.last.size();
  }
  return sum;
}

bool piecewise_object::given(std::string_view key) const {
  const member* found = find(key);
  return found != nullptr && found->is != form::null;
}

void piecewise_object::write(std::string& out, std::initializer_list<std::string_view> keys) const {
  for (const std::string_view key : keys) {
    if (const member* found = find(key)) write_member(out, *found);
  }
}

void piecewise_object::write_others(std::string& out,
                                    std::initializer_list<std::string_view> named) const {
  for (const member& each : members_) {
    if (!contains(named, each.key)) write_member(out, each);
  }
}

void piecewise_object::write_object(std::string& out) const {
  out += '{';
  write_others(out, {});
  close_with(out, '}');
}

const piecewise_object::member* piecewise_object::find(std::string_view key) const {
  const auto found =
      std::find_if(members_.begin(), members_.end(), [&](const member& m) { return m.key == key; });
  return found == members_.end() ? nullptr : &*found;
}

piecewise_object::member& piecewise_object::obtain(std::string_view key) {
  for (member& each : members_) {
    if (each.key == key) return each;
  }
  if (members_.size() >= most_members) return spare_ = {};
  return members_.emplace_back(member{std::string(key), form::null, {}});
}

/// Turns the member into an array. Its earlier value becomes the first element.
void piecewise_object::to_array(member& target) {
  if (target.is == form::elements) return;
  const form was = std::exchange(target.is, form::elements);
  const std::string before = std::exchange(target.text, {});
  if (before.empty()) return;
  if (was == form::text) {
    add_text_part(target, plain_head, before);
  } else if (is_truthy(before)) {
    add_element(target, before);
  }
}

void piecewise_object::add_element(member& target, std::string_view raw) {
  if (!target.text.empty()) target.text += ',';
  target.text += raw;
  target.open_head.reset();
}

/// Adds a text part. If it has no other members than its text, it is joined with a text part
/// directly before it.
void piecewise_object::add_text_part(member& target, std::string_view head, std::string_view raw) {
  const bool plain = head.empty() || head == plain_head;
  if (target.open_head && (*target.open_head == head || plain)) {
    target.text.resize(target.text.size() - part_end.size());
    target.text.append(raw).append(part_end);
    return;
  }
  if (!target.text.empty()) target.text += ',';
  target.text.append(1, '{').append(head).append(R"("text":")").append(raw).append(part_end);
  target.open_head = head;
}

void piecewise_object::write_member(std::string& out, const member& written) {
  append_json_quoted(out, written.key);
  out += ':';
  switch (written.is) {
    case form::null:
      out += "null";
      break;
    case form::value:
      out += written.text;
      break;
    case form::text:
      out.append(1, '"');
      out += written.seen.is_label() ? written.seen.last : written.text;
      out += '"';
      break;
    case form::elements:
      out.append(1, '[').append(written.text).append(1, ']');
      break;
  }
  out += ',';
}

void close_with(std::string& out, char bracket) {
  if (out.back() == ',') {
    out.back() = bracket;
  } else {
    out += bracket;
  }
}

}  // namespace sluice::openai
