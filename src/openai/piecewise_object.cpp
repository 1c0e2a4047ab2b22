#include "openai/piecewise_object.hpp"

#include <algorithm>

#include "json_text.hpp"
#include "openai/chunk.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

/// Strings that name something: told once, or again and again, but never in pieces.
bool is_label(std::string_view key) {
  return key == "id" || key == "type" || key == "name" || key == "role" || key == "format" ||
         key == "signature";
}

bool contains(std::initializer_list<std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

void piecewise_object::append_text(std::string_view key, std::string_view raw) {
  member& target = obtain(key);
  if (target.is != form::text) target.text.clear();
  target.is = form::text;
  target.text += raw;
}

void piecewise_object::append_elements(std::string_view key, std::string_view raw) {
  member& target = obtain(key);
  if (target.is != form::elements) target.text.clear();
  target.is = form::elements;
  if (!is_truthy(raw)) return;
  if (!target.text.empty()) target.text += ',';
  target.text += raw.substr(1, raw.size() - 2);
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
      if (!is_label(key)) return append_text(key, inside_quotes(raw_json(value)));
      return replace(key, raw_json(value));
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
  return members_.emplace_back(member{std::string(key), form::null, {}});
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
      out.append(1, '"').append(written.text).append(1, '"');
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
