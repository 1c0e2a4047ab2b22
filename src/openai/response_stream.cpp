#include "openai/response_stream.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <utility>

#include "json/members.hpp"
#include "json/text.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

/// The maximum number of items that are followed. If a stream has more, the items of its last event
/// are used.
constexpr std::size_t most_items = 1024;
/// The same for the parts of an item.
constexpr std::int64_t most_parts = 1024;

/// `response.done` is the last event of relays that use the event names of the realtime API:
/// https://github.com/Wei-Shaw/sub2api/issues/1322
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> last_events{{
    {"response.completed", "completed"},
    {"response.done", "completed"},
    {"response.incomplete", "incomplete"},
    {"response.cancelled", "cancelled"},
    {"response.canceled", "cancelled"},
}};

/// The status that an event gives to its response; empty: it is not the last event.
std::string_view last_status(std::string_view type) {
  for (const auto& [name, status] : last_events) {
    if (type == name) return status;
  }
  return {};
}

bool is_final(std::string_view quoted_status) {
  return quoted_status == R"("completed")" || quoted_status == R"("incomplete")" ||
         quoted_status == R"("failed")" || quoted_status == R"("cancelled")";
}

/// The place to which the pieces of an event belong.
struct slot {
  std::string_view item_type;
  std::string_view list;  ///< `content` or `summary`; empty: the text belongs to the item itself
  std::string_view part_type;  ///< type of the part in the list
  std::string_view text;       ///< name of the member that contains the text
};

/// The place for an event, from the middle of its name: `output_text` in
/// `response.output_text.delta`.
std::optional<slot> slot_of(std::string_view what) {
  if (what == "output_text" || what == "text") {
    return slot{"message", "content", "output_text", "text"};
  }
  if (what == "refusal") return slot{"message", "content", "refusal", "refusal"};
  if (what == "reasoning_text" || what == "reasoning") {
    return slot{"reasoning", "content", "reasoning_text", "text"};
  }
  if (what == "reasoning_summary_text" || what == "reasoning_summary") {
    return slot{"reasoning", "summary", "summary_text", "text"};
  }
  // For example function_call_arguments, custom_tool_call_input, code_interpreter_call_code.
  for (const std::string_view text : {"arguments", "input", "code"}) {
    if (what.size() > text.size() + 1 && what.ends_with(text) &&
        what[what.size() - text.size() - 1] == '_') {
      return slot{what.substr(0, what.size() - text.size() - 1), {}, {}, text};
    }
  }
  return std::nullopt;
}

/// The length of a text after its escapes are decoded, in bytes.
std::size_t length_of(std::string_view raw) {
  if (raw.find('\\') == std::string_view::npos) return raw.size();
  std::string quoted;
  quoted.append(1, '"').append(raw).append(1, '"');
  return json_string(without_lone_surrogates(std::move(quoted))).value_or(std::string(raw)).size();
}

/// A measure of how much content a value has: the length of its strings, except names and states,
/// and of its numbers.
std::size_t weight(ondemand::value value, std::size_t depth) {
  check_depth(depth);
  constexpr std::array<std::string_view, 7> names{"id",   "type",    "status", "object",
                                                  "role", "call_id", "phase"};
  std::size_t sum = 0;
  switch (value.type()) {
    case ondemand::json_type::object:
      for (ondemand::field field : value.get_object()) {
        const std::string_view key = field.unescaped_key();
        ondemand::value inside = field.value();
        if (std::find(names.begin(), names.end(), key) == names.end())
          sum += weight(inside, depth + 1);
      }
      return sum;
    case ondemand::json_type::array:
      for (ondemand::value element : value.get_array()) sum += weight(element, depth + 1);
      return sum;
    case ondemand::json_type::string:
      return length_of(inside_quotes(raw_json(value)));
    case ondemand::json_type::number:
      return 1;
    default:
      return 0;
  }
}

std::size_t weight(std::string_view object) {
  chunk_reader reader;
  std::size_t sum = 0;
  std::string wrapped = R"({"":)";
  wrapped.append(object).append(1, '}');
  for (ondemand::field field : reader.object(wrapped)) sum += weight(field.value(), 0);
  return sum;
}

/// Appends the texts of an item or a part to `into`.
void collect_words(ondemand::value value, bool is_text, std::size_t depth, std::string& into) {
  check_depth(depth);
  constexpr std::array<std::string_view, 5> texts{"text", "refusal", "arguments", "input", "code"};
  switch (value.type()) {
    case ondemand::json_type::object:
      for (ondemand::field field : value.get_object()) {
        const std::string_view key = field.unescaped_key();
        const bool text = std::find(texts.begin(), texts.end(), key) != texts.end();
        collect_words(field.value(), text, depth + 1, into);
      }
      break;
    case ondemand::json_type::array:
      for (ondemand::value element : value.get_array()) {
        collect_words(element, is_text, depth + 1, into);
      }
      break;
    case ondemand::json_type::string:
      if (is_text) into += json_string(raw_json(value)).value_or(std::string());
      break;
    default:
      break;
  }
}

std::string output_text(std::string_view object) {
  chunk_reader reader;
  std::string wrapped = R"({"":)";
  wrapped.append(object).append(1, '}');
  std::string words;
  for (ondemand::field field : reader.object(wrapped)) {
    collect_words(field.value(), false, 0, words);
  }
  return words;
}

using raw_members = std::vector<std::pair<std::string, std::string>>;

/// The members of an object, as JSON text.
raw_members members_of(std::string_view object) {
  raw_members members;
  if (!object.starts_with('{')) return members;
  chunk_reader reader;
  for (ondemand::field field : reader.object(object)) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    members.emplace_back(key, raw_json(value));
  }
  return members;
}

/// The elements of an array, as JSON text; empty if it is not an array.
std::vector<std::string> elements_of(std::string_view array) {
  std::vector<std::string> elements;
  if (!array.starts_with('[')) return elements;
  chunk_reader reader;
  std::string wrapped = R"({"":)";
  wrapped.append(array).append(1, '}');
  for (ondemand::field field : reader.object(wrapped)) {
    ondemand::value list = field.value();
    for (ondemand::value element : list.get_array()) elements.emplace_back(raw_json(element));
  }
  return elements;
}

std::string* find(raw_members& members, std::string_view key) {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const auto& member) { return member.first == key; });
  return found == members.end() ? nullptr : &found->second;
}

std::string& obtain(raw_members& members, std::string_view key) {
  if (std::string* found = find(members, key)) return *found;
  return members.emplace_back(key, "null").second;
}

/// The value of a member that is a string; otherwise empty.
std::string member_text(raw_members& members, std::string_view key) {
  const std::string* found = find(members, key);
  return found != nullptr && found->starts_with('"') ? std::string(inside_quotes(*found))
                                                     : std::string();
}

std::string in_quotes(std::string_view inside) {
  std::string text;
  return text.append(1, '"').append(inside).append(1, '"');
}

std::string object_of(const raw_members& members) {
  std::string object = "{";
  for (const auto& [key, raw] : members) {
    append_json_quoted(object, key);
    object.append(1, ':').append(raw).append(1, ',');
  }
  close_with(object, '}');
  return object;
}

std::string array_of(const std::vector<std::string>& elements) {
  std::string array = "[";
  for (const std::string& element : elements) array.append(element).append(1, ',');
  close_with(array, ']');
  return array;
}

std::string written(const piecewise_object& object) {
  std::string text;
  object.write_object(text);
  return text;
}

bool fit(std::string_view type, std::string_view other) {
  return type.empty() || other.empty() || type == other;
}

}  // namespace

/// The content of one event. The views point into the buffer of the event.
struct response_stream::told {
  std::string_view type;
  std::string_view response, item, part, annotation, logprobs;
  std::string_view name, call_id;                                 ///< of a call, with quotes
  std::string_view delta, text, refusal, arguments, input, code;  ///< without quotes
  std::string item_id;
  std::optional<std::int64_t> output_index, content_index, summary_index;
  bool refused = false;

  std::string_view whole(std::string_view key) const {
    if (key == "refusal") return refusal;
    if (key == "arguments") return arguments;
    if (key == "input") return input;
    return key == "code" ? code : text;
  }
  void take(std::string_view key, std::string_view raw);
};

void response_stream::told::take(std::string_view key, std::string_view raw) {
  const std::string_view said = raw.starts_with('"') ? inside_quotes(raw) : std::string_view();
  if (key == "type" && raw.starts_with('"')) {
    type = said;
  } else if (key == "response") {
    response = raw;
  } else if (key == "item") {
    item = raw;
  } else if (key == "part") {
    part = raw;
  } else if (key == "annotation") {
    annotation = raw;
  } else if (key == "logprobs") {
    logprobs = raw;
  } else if (key == "name") {
    name = raw;
  } else if (key == "call_id") {
    call_id = raw;
  } else if (key == "item_id") {
    item_id = said;
  } else if (key == "output_index") {
    output_index = whole_number(raw);
  } else if (key == "content_index") {
    content_index = whole_number(raw);
  } else if (key == "summary_index") {
    summary_index = whole_number(raw);
  } else if (key == "error") {
    refused = refused || says_error(raw);
  } else if (key == "success") {
    refused = refused || raw == "false";
  } else {
    for (const auto& [known, member] : {std::pair("delta", &told::delta),
                                        {"text", &told::text},
                                        {"refusal", &told::refusal},
                                        {"arguments", &told::arguments},
                                        {"input", &told::input},
                                        {"code", &told::code}}) {
      if (key == known) this->*member = said;
    }
  }
}

const std::string& response_stream::text::fuller() const {
  return length_of(joined) > length_of(whole) ? joined : whole;
}

chunk_meaning response_stream::add(std::string_view type, ondemand::object object) {
  told event;
  event.type = type;
  for (ondemand::field field : object) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    event.take(key, raw_json(value));
  }
  if (event.refused || event.type == "error" || event.type == "response.error" ||
      event.type == "response.failed") {
    return chunk_meaning::error;
  }
  constexpr std::size_t of_a_part = 512;
  for (const std::string_view kept : {event.response, event.item, event.part, event.annotation,
                                      event.logprobs, event.delta, event.whole("text")}) {
    held_ += kept.size();
  }
  held_ += items_.size() < most_items && event.content_index ? of_a_part : 0;
  if (last_status(event.type).empty()) {
    if (event.type == "response.output_item.added" || event.type == "response.output_item.done") {
      take_item(event, event.type.ends_with(".done"));
    } else if (event.response.starts_with('{')) {
      open(event.response);
    } else {
      take_piece(event);
    }
    return event.type.empty() ? chunk_meaning::stray : chunk_meaning::progress;
  }
  body_ = end(event.type, event.response);
  return body_.empty() ? chunk_meaning::error : chunk_meaning::last;
}

void response_stream::open(std::string_view response) {
  raw_members members = members_of(response);
  const std::string* said = find(members, "background");
  in_background_ = said != nullptr && *said == "true";
  opened_ = response;
}

/// The item that an event belongs to: found by its id, otherwise by its index. If there is none, a
/// new one is created. Some relays give each event of an item another id, with the same index:
/// https://github.com/vercel/ai/pull/18548
response_stream::item* response_stream::item_of(const told& event, std::string_view kind) {
  const bool begins = event.type == "response.output_item.added";
  const bool closes = event.type.ends_with(".done") && event.type != "response.output_item.done";
  if (!event.item_id.empty()) {
    for (item& each : items_) {
      if (each.id != event.item_id) continue;
      each.steady = true;
      return &each;
    }
  }
  for (auto each = items_.rbegin(); each != items_.rend(); ++each) {
    const bool same_place =
        event.output_index ? each->at == event.output_index : event.item_id.empty();
    const bool open = each->done.empty() || (closes && event.item_id.empty());
    const bool unnamed = each->id.empty() || event.item_id.empty();
    const bool announced = !each->added.empty() && !each->steady;
    const bool may_be = begins ? each->added.empty() && unnamed : announced || unnamed;
    if (same_place && open && may_be && fit(each->type, kind)) {
      if (each->id.empty()) each->id = event.item_id;
      return &*each;
    }
  }
  if (items_.size() >= most_items) return nullptr;
  item& fresh = items_.emplace_back();
  fresh.id = event.item_id;
  fresh.at = event.output_index;
  return &fresh;
}

void response_stream::take_item(const told& event, bool whole) {
  if (!event.item.starts_with('{')) return;
  raw_members members = members_of(event.item);
  told with_id = event;
  if (const std::string id = member_text(members, "id"); !id.empty()) with_id.item_id = id;
  const std::string type = member_text(members, "type");
  item* const found = item_of(with_id, type);
  if (found == nullptr) return;
  item& into = *found;
  if (into.type.empty()) into.type = type;
  (whole ? into.done : into.added) = event.item;
  const bool told_before = std::any_of(into.parts.begin(), into.parts.end(),
                                       [](const auto& each) { return each.second.said.counted; }) ||
                           std::any_of(into.texts.begin(), into.texts.end(),
                                       [](const auto& each) { return each.second.counted; });
  if (whole && !told_before && weight(event.item) > 0) count_piece(into.type);
}

void response_stream::take_piece(const told& event) {
  std::string_view what = event.type;
  if (!what.starts_with("response.")) return;
  what.remove_prefix(std::string_view("response.").size());
  const std::size_t dot = what.rfind('.');
  if (dot == std::string_view::npos) return;
  const std::string_view stage = what.substr(dot + 1);
  what = what.substr(0, dot);

  const bool whole_part = what.ends_with("_part") && event.part.starts_with('{');
  const bool annotates = what == "output_text.annotation" && event.annotation.starts_with('{');
  if (annotates) what = "output_text";
  std::string part_type;
  if (whole_part) {
    raw_members members = members_of(event.part);
    part_type = member_text(members, "type");
    what = what == "reasoning_summary_part"                            ? "reasoning_summary"
           : what == "reasoning_part" || part_type == "reasoning_text" ? "reasoning"
           : part_type == "refusal"                                    ? "refusal"
                                                                       : "output_text";
  }
  const std::optional<slot> where = slot_of(what);
  if (!where) return;
  item* const about = item_of(event, where->item_type);
  if (about == nullptr) return;
  item& into = *about;
  if (into.type.empty()) into.type = where->item_type;
  into.call.replace("call_id", event.call_id.empty() ? "null" : event.call_id);
  into.call.replace("name", event.name.empty() ? "null" : event.name);
  const std::string_view whole = stage == "done" ? event.whole(where->text) : std::string_view();
  // Every delta is a piece. A text that comes whole is one piece, if it had no delta before.
  const auto count = [&](text& said, bool again) {
    if (again || !said.counted) {
      count_piece(where->item_type == "message" ? where->part_type : where->item_type);
    }
    said.counted = true;
  };
  const auto take = [&](text& said) {
    if (!event.delta.empty() && stage == "delta") {
      said.joined += event.delta;
      count(said, true);
    } else if (!whole.empty()) {
      said.whole = whole;
      count(said, false);
    }
  };
  if (where->list.empty()) return take(into.texts[std::string(where->text)]);

  std::int64_t index =
      (where->list == "summary" ? event.summary_index : event.content_index).value_or(0);
  if (index < 0 || index >= most_parts) index = 0;
  std::pair<std::string, std::int64_t> place(where->list, index);
  const auto taken = [&] {
    const auto found = into.parts.find(place);
    return found != into.parts.end() && found->second.type != where->part_type;
  };
  while (taken()) ++place.second;
  if (place.second >= most_parts) return;
  part& of = into.parts[std::move(place)];
  of.type = where->part_type;
  of.key = where->text;
  if (whole_part) {
    const std::size_t said = weight(event.part);
    if (said >= of.weight) {
      of.raw = event.part;
      of.weight = said;
    }
    if (said > 0) count(of.said, false);
  }
  if (annotates) of.lists.append_element("annotations", event.annotation);
  if (stage == "delta" && event.logprobs.starts_with('[')) {
    of.lists.append_elements("logprobs", event.logprobs);
  }
  take(of.said);
}

/// `kind`: the type of an item, or of a message's part.
void response_stream::count_piece(std::string_view kind) {
  ++pieces_.any;
  if (kind == "output_text" || kind == "message") ++pieces_.content;
  if (kind == "reasoning") ++pieces_.reasoning;
}

/// The whole response, with the status from the last event. Empty if there is none.
std::string response_stream::end(std::string_view type, std::string_view response) {
  const bool given = response.starts_with('{');
  if (!given && opened_.empty() && items_.empty()) return {};
  raw_members members = members_of(given ? response : std::string_view(opened_));
  bool changed = !given;
  std::string status = member_text(members, "status");
  if (!is_final(in_quotes(status))) {
    const std::string* why = find(members, "incomplete_details");
    status = why != nullptr && is_truthy(*why) ? "incomplete" : last_status(type);
    obtain(members, "status") = in_quotes(status);
    changed = true;
  }
  const std::string* output = find(members, "output");
  const std::vector<std::string> own = elements_of(output != nullptr ? *output : "");
  if (std::string merged = merged_output(own, status); !merged.empty()) {
    obtain(members, "output") = std::move(merged);
    changed = true;
  }
  return changed ? object_of(members) : std::string(response);
}

/// The output of the response: its own items, each in its fullest form, and the items that it left
/// out. Empty if the response's own items are already the fullest.
std::string response_stream::merged_output(const std::vector<std::string>& own,
                                           std::string_view status) {
  struct entry {
    std::string raw;
    std::string id = {}, type = {}, words = {};
    std::int64_t place = 0;
    std::optional<std::size_t> same = {};  ///< index of the followed item that is the same
  };
  std::vector<entry> entries;
  for (const std::string& raw : own) {
    if (!raw.starts_with('{')) return {};  // not an item
    raw_members members = members_of(raw);
    entries.push_back({raw, member_text(members, "id"), member_text(members, "type"),
                       output_text(raw), static_cast<std::int64_t>(entries.size())});
  }
  if (entries.size() > most_items) return {};
  std::vector<std::string> from_pieces;
  std::vector<std::string> words;
  for (const item& each : items_) {
    from_pieces.push_back(built(each, status));
    words.push_back(output_text(from_pieces.back()));
  }
  std::vector<bool> matched(items_.size(), false);
  const auto match = [&](const auto& same) {
    for (entry& each : entries) {
      for (std::size_t i = 0; i < items_.size() && !each.same; ++i) {
        if (matched[i] || !same(each, i)) continue;
        each.same = i;
        matched[i] = true;
      }
    }
  };
  match([&](const entry& a, std::size_t i) { return !a.id.empty() && a.id == items_[i].id; });
  match([&](const entry& a, std::size_t i) {
    return a.place == items_[i].at && fit(a.type, items_[i].type);
  });
  match([&](const entry& a, std::size_t i) {
    const item& b = items_[i];
    const bool nameless = b.id.empty() && !b.at;
    return fit(a.type, b.type) &&
           (nameless || a.words.empty() || a.words.find(words[i]) != std::string::npos);
  });

  bool changed = false;
  for (entry& each : entries) {
    if (!each.same) continue;
    const item& same = items_[*each.same];
    if (same.at) each.place = *same.at;
    std::size_t most = weight(each.raw);
    for (const std::string& other : {same.done, from_pieces[*each.same]}) {
      if (other.empty() || weight(other) <= most) continue;
      most = weight(other);
      each.raw = other;
      changed = true;
    }
  }
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (matched[i]) continue;
    const item& left_out = items_[i];
    const bool whole = !left_out.done.empty();
    const bool as_whole = whole && weight(from_pieces[i]) <= weight(left_out.done);
    const std::string& fullest = as_whole ? left_out.done : from_pieces[i];
    if (weight(fullest) == 0 && !(whole && own.empty())) continue;
    entries.push_back(
        {.raw = fullest, .place = left_out.at.value_or(std::numeric_limits<std::int64_t>::max())});
    changed = true;
  }
  if (!changed) return {};
  std::stable_sort(entries.begin(), entries.end(),
                   [](const entry& a, const entry& b) { return a.place < b.place; });
  std::vector<std::string> output;
  output.reserve(entries.size());
  for (entry& each : entries) output.push_back(std::move(each.raw));
  return array_of(output);
}

/// Builds an item from its pieces.
std::string response_stream::built(const item& from, std::string_view status) {
  raw_members members = members_of(from.added);
  if (members.empty()) {
    if (!from.id.empty()) members.emplace_back("id", in_quotes(from.id));
    if (!from.type.empty()) members.emplace_back("type", in_quotes(from.type));
    if (from.type == "message") members.emplace_back("role", R"("assistant")");
    members.emplace_back("status", "null");
    if (from.type == "reasoning") members.emplace_back("summary", "[]");
  }
  if (std::string* state = find(members, "status"); state != nullptr && !is_final(*state)) {
    *state = in_quotes(status);
  }
  for (const auto& [key, raw] : members_of(written(from.call))) {
    if (std::string& into = obtain(members, key); !is_truthy(into)) into = raw;
  }
  for (const auto& [key, said] : from.texts) {
    if (said.empty()) continue;
    std::string& into = obtain(members, key);
    const std::size_t before = into.starts_with('"') ? length_of(inside_quotes(into)) : 0;
    if (length_of(said.fuller()) > before) into = in_quotes(said.fuller());
  }
  for (const std::string_view list : {"content", "summary"}) {
    const std::string* before = find(members, list);
    std::vector<std::string> elements = elements_of(before != nullptr ? *before : "");
    std::size_t place = 0;
    bool any = false;
    for (const auto& [at, each] : from.parts) {
      if (at.first != list) continue;
      any = true;
      std::string one = built_part(each);
      if (place < elements.size()) {
        if (weight(one) > weight(elements[place])) elements[place] = std::move(one);
      } else {
        elements.push_back(std::move(one));
      }
      ++place;
    }
    if (any) obtain(members, list) = array_of(elements);
  }
  return object_of(members);
}

std::string response_stream::built_part(const part& from) {
  raw_members members = members_of(from.raw);
  if (members.empty()) {
    members.emplace_back("type", in_quotes(from.type));
    members.emplace_back(from.key, R"("")");
    if (from.type == "output_text") members.emplace_back("annotations", "[]");
  }
  std::string& into = obtain(members, from.key);
  const std::size_t before = into.starts_with('"') ? length_of(inside_quotes(into)) : 0;
  if (length_of(from.said.fuller()) > before || !into.starts_with('"')) {
    into = in_quotes(from.said.fuller());
  }
  for (const auto& [key, raw] : members_of(written(from.lists))) {
    std::string& list = obtain(members, key);
    if (elements_of(list).size() < elements_of(raw).size()) list = raw;
  }
  return object_of(members);
}

}  // namespace sluice::openai
