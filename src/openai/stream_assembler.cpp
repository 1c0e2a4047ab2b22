#include "openai/stream_assembler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "json/members.hpp"
#include "openai/content_part.hpp"
#include "openai/finish_reason.hpp"
#include "openai/usage_reader.hpp"
#include "openai/value_type.hpp"
#include "openai/vendor_errors.hpp"

namespace sluice::openai {
namespace {

namespace ondemand = simdjson::ondemand;

bool is_filled_string(ondemand::value& value) {
  // The raw token of a string may have white space at its end.
  return is_string(value) && !value.raw_json_token().starts_with("\"\"");
}

/// The member of this name that contains the model's text or reasoning, as a constant; empty: none.
std::string_view speech_name(std::string_view key) {
  constexpr std::array<std::string_view, 5> names{"content", "reasoning_content", "reasoning",
                                                  "refusal", "text"};
  const auto found = std::find(names.begin(), names.end(), key);
  return found == names.end() ? std::string_view() : *found;
}

/// The member `name`, if it exists. Throws if the object is malformed, because such an object must
/// not be used again.
std::optional<ondemand::value> member(ondemand::object& of, std::string_view name) {
  auto found = of.find_field_unordered(name);
  if (found.error() == simdjson::NO_SUCH_FIELD) return std::nullopt;
  return found.value();
}

/// The member `name` as a `T`, if it exists and has this type. Leaves the object unchanged.
template <typename T>
std::optional<T> peek(ondemand::object& piece, std::string_view name) {
  T value{};
  auto found = member(piece, name);
  const bool fits = found && found->get(value) == simdjson::SUCCESS;
  piece.reset().value();
  return fits ? std::optional(value) : std::nullopt;
}

/// The index of a piece. Leaves the piece unchanged.
std::optional<std::int64_t> index_of(ondemand::object& piece) {
  constexpr std::int64_t sane = 4096;
  std::optional<std::int64_t> index;
  if (auto found = member(piece, "index")) index = whole_number(raw_json(*found));
  piece.reset().value();
  return index && *index >= 0 && *index < sane ? index : std::nullopt;
}

/// The function's name in a piece of a tool call, as JSON; empty: the piece has none. Leaves the
/// piece unchanged.
std::string_view function_name(ondemand::object& piece) {
  for (const std::string_view kind : {"function", "custom"}) {
    std::string_view found;
    if (auto called = member(piece, kind); called && is_object(*called)) {
      ondemand::object inside = called->get_object();
      auto name = member(inside, "name");
      if (name && is_filled_string(*name)) found = raw_json(*name);
    }
    piece.reset().value();
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace

stream_assembler::stream_assembler(endpoint target, unsigned choices)
    : target_(target), expected_(std::max(choices, 1U)) {}

chunk_meaning stream_assembler::add(ondemand::object chunk) {
  bool refused = false;
  bool familiar = false;
  bool with_content = false;
  bool with_usage = false;
  told_.clear();
  seen_ = {};
  repeated_.forget();
  for (ondemand::field field : chunk) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "choices") {
      familiar = true;
      with_content = add_choices(value) || with_content;
    } else if (key == "error") {
      refused = refused || says_error(raw_json(value));
    } else if (key == "success") {
      refused = refused || raw_json(value) == "false";
    } else if (key == "base_resp") {
      const std::string_view raw = raw_json(value);
      refused = refused || is_mini_max_error(raw);
      told_.emplace_back(key, raw);
    } else if (key == "created") {
      if (const std::string_view raw = raw_json(value); raw != "0") told_.emplace_back(key, raw);
    } else if (key == "usage") {
      familiar = true;
      const std::string_view raw = raw_json(value);
      const bool counts = counts_tokens(raw);
      with_usage = with_usage || counts;
      if (counts || !usage_told_) told_.emplace_back(key, raw);
    } else if (key == "x_groq") {
      // In Groq's first chunk it contains an id, in the last one the usage:
      // https://github.com/vercel/ai/issues/1651
      const std::string_view raw = raw_json(value);
      const bool counts = counts_tokens(groq_usage(raw));
      with_usage = with_usage || counts;
      if (counts || !groq_usage_told_) told_.emplace_back(key, raw);
      groq_usage_told_ = groq_usage_told_ || counts;
    } else if (key == "obfuscation") {
      // OpenAI hides the size of each piece with random letters:
      // https://platform.openai.com/docs/api-reference/chat/create (`include_obfuscation`)
      if (is_string(value)) seen_.filler = inside_quotes(raw_json(value));
    } else if (key != "object") {
      told_.emplace_back(key, raw_json(value));
    }
  }
  if (with_usage && !with_content) went_on_ = false;
  if (refused) return chunk_meaning::error;
  if (!familiar) return chunk_meaning::stray;
  for (const auto& [key, raw] : told_) top_.replace(key, raw);
  usage_told_ = usage_told_ || with_usage;
  seen_.more = seen_.more || with_usage;
  for (chunk_reader* each : {&inner_, &parts_, &thoughts_}) each->let_go();
  return chunk_meaning::progress;
}

void stream_assembler::remember(std::string_view chunk) {
  if (seen_.pieces == 1 && !seen_.more) repeated_.remember(chunk, seen_.text, seen_.filler);
}

bool stream_assembler::add_repeated(std::string_view chunk) {
  const auto text = repeated_.text_of(chunk);
  if (!text) return false;
  add_text(*seen_.into, seen_.key, *text);
  note_content(*seen_.of);
  return true;
}

std::size_t stream_assembler::tool_calls::held() const noexcept {
  std::size_t sum = by_id.size() * 2 * sizeof(std::string);
  for (const auto& [place, each] : by_place) {
    sum += sizeof each + each.name.size() + each.members.held() + each.function.held() +
           each.custom.held();
  }
  return sum;
}

std::size_t stream_assembler::words::held() const noexcept {
  return members.held() + function_call.held() + audio.held() + tools.held();
}

std::size_t stream_assembler::held() const noexcept {
  std::size_t sum =
      repeated_.held() + top_.held() + inner_.held() + parts_.held() + thoughts_.held();
  for (const auto& [index, each] : choices_) {
    sum += sizeof each + each.members.held() + each.message.held() + each.logprobs.held();
  }
  return sum;
}

/// Whether a usage contains token counts. Some relays also send an empty one, or one with zeros,
/// before or after the real one.
bool stream_assembler::counts_tokens(std::string_view usage) {
  return usage.starts_with('{') && read_usage(inner_.object(usage), target_).tokens.has_value();
}

/// The usage in `x_groq`; empty: none.
std::string stream_assembler::groq_usage(std::string_view x_groq) {
  if (!x_groq.starts_with('{')) return {};
  ondemand::object object = inner_.object(x_groq);
  auto usage = member(object, "usage");
  return usage ? std::string(raw_json(*usage)) : std::string();
}

/// Whether MiniMax's status is an error. Its replies also have a status, which is 0:
/// https://platform.minimax.io/docs/api-reference/errorcode.md
bool stream_assembler::is_mini_max_error(std::string_view status) {
  if (!status.starts_with('{')) return false;
  ondemand::object inside = inner_.object(status);
  auto code = member(inside, "status_code");
  return code && raw_json(*code) != "0";
}

bool stream_assembler::add_choices(ondemand::value& list) {
  if (!is_array(list)) return false;
  bool with_content = false;
  for (ondemand::value piece : list.get_array()) {
    if (is_object(piece)) with_content = add_choice(piece.get_object()) || with_content;
  }
  return with_content;
}

bool stream_assembler::add_choice(ondemand::object piece) {
  choice& into = choices_[index_of(piece).value_or(0)];
  std::string_view reason;
  std::string_view message;
  bool with_content = false;
  for (ondemand::field field : piece) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "index") continue;
    if (key == "finish_reason") {
      if (is_string(value)) reason = raw_json(value);
    } else if (key == "delta" && is_object(value)) {
      if (add_words(into.message, value.get_object(), into)) with_content = into.in_pieces = true;
    } else if (key == "delta" && is_string(value)) {
      if (add_speech(into.message.members, "content", value)) {  // the delta is only its content
        note_content(into);
        with_content = into.in_pieces = true;
      }
    } else if (key == "message" && is_object(value)) {
      seen_.more = true;
      message = raw_json(value);
    } else if (key == "logprobs" && is_object(value)) {
      seen_.more = true;
      into.logprobs.merge(value.get_object());
    } else if (key == "text") {
      if (add_speech(into.members, "text", value)) {
        note_content(into);
        with_content = true;
      }
    } else if (is_array(value) && key != "logprobs" && key != "delta" && key != "message") {
      seen_.more = true;
      into.members.append_elements(key, raw_json(value));
    } else if (key != "logprobs" && key != "delta" && key != "message") {
      into.members.replace(key, raw_json(value));
    }
  }
  // Some relays send the message so far with every delta, or the whole message with the last one.
  // It then contains nothing new. If no delta has content, the message is the reply, and each
  // message replaces the one before.
  if (!message.empty() && !into.in_pieces) {
    words whole;
    with_content = add_words(whole, inner_.object(message), into) || with_content;
    into.message = std::move(whole);
  }
  if (!reason.empty() && is_finish_reason(json_string(reason).value_or(""))) {
    seen_.more = true;
    end(into, reason, with_content);
  }
  return with_content;
}

bool stream_assembler::add_words(words& into, ondemand::object delta, const choice& of) {
  bool brought = false;
  const auto note = [&] {
    brought = true;
    note_content(of);
  };
  bool spoke = false;
  std::vector<std::pair<std::string_view, std::string_view>> others;  // strings with unknown names
  for (ondemand::field field : delta) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "tool_calls") {
      if (!add_calls(into, value)) continue;
      seen_.more = true;
      note();
    } else if (key == "function_call") {
      if (!is_object(value)) continue;
      seen_.more = true;
      note();
      into.function_call.merge(value.get_object());
    } else if (key == "audio") {
      if (!is_object(value)) continue;
      seen_.more = true;
      into.audio.merge(value.get_object());
    } else if (const std::string_view speech = speech_name(key); !speech.empty()) {
      if (!add_speech(into.members, speech, value)) continue;
      spoke = true;
      note();
    } else if (piecewise_object::may_be_label(key) && is_string(value)) {
      seen_.more = true;
      others.emplace_back(key, inside_quotes(raw_json(value)));
    } else {
      seen_.more = seen_.more || is_array(value) || (is_string(value) && key != "role");
      into.members.merge(key, value);
    }
  }
  for (const auto& [key, raw] : others) into.members.append_text_or_label(key, raw, spoke);
  return brought;
}

/// Adds tool calls. A single call instead of a list is accepted too.
bool stream_assembler::add_calls(words& into, ondemand::value& calls) {
  into.tools.named_in_list.clear();
  if (is_object(calls)) {
    into.tools.add(calls.get_object());
    return true;
  }
  if (!is_array(calls)) return false;
  bool any = false;
  for (ondemand::value call : calls.get_array()) {
    any = true;
    if (is_object(call)) into.tools.add(call.get_object());
  }
  return any;
}

/// Adds a piece of the model's text: a string, a list of parts, or one part. False: it is empty.
bool stream_assembler::add_speech(piecewise_object& into, std::string_view key,
                                  ondemand::value value) {
  switch (value.type()) {
    case ondemand::json_type::array: {
      seen_.more = true;
      if (!into.given(key)) into.append_text(key, {});
      const piece_count before = pieces_;
      bool any = false;
      for (ondemand::value part : value.get_array()) any = add_part(into, key, part) || any;
      // A list of parts counts as one piece, since it came at once.
      pieces_.content = std::min(pieces_.content, before.content + 1);
      pieces_.reasoning = std::min(pieces_.reasoning, before.reasoning + 1);
      return any;
    }
    case ondemand::json_type::null:
      into.mention(key);
      return false;
    case ondemand::json_type::boolean:
      return false;
    default:
      return add_part(into, key, value);
  }
}

bool stream_assembler::add_part(piecewise_object& into, std::string_view key,
                                ondemand::value value) {
  const bool whole = is_object(value);
  if (!whole && (is_array(value) || is_null(value))) return false;
  const std::string_view raw = raw_json(value);
  if (!whole) {
    // A number is a piece of text whose quotes were lost on the way.
    const bool in_quotes = raw.starts_with('"');
    const std::string_view text = in_quotes ? inside_quotes(raw) : raw;
    seen_.more = seen_.more || !in_quotes;
    if (!text.empty()) {
      ++seen_.pieces;
      seen_.into = &into;
      seen_.key = key;
      seen_.text = text;
    }
    return add_text(into, key, text);
  }
  seen_.more = true;
  const content_part part = read_content_part(parts_.object(raw), thoughts_);
  // all members except content are always strings
  const bool flat = key != "content" && part.has_text;
  if (part.thinking || flat) {
    const std::string_view thought = key == "content" ? "reasoning_content" : key;
    if (!part.text.empty()) into.append_text(thought, part.text);
    if (!part.signature.empty()) into.replace("signature", part.signature);
    if (!part.text.empty()) count_piece(thought);
    return !part.text.empty();
  }
  if (!part.has_text) {
    into.append_element(key, raw);
  } else if (part.text.empty()) {
    return false;
  } else {
    into.append_text_part(key, part.head, part.text);
  }
  count_piece(key);
  return true;
}

/// Adds the inside of a JSON string. False: it is empty.
bool stream_assembler::add_text(piecewise_object& into, std::string_view key,
                                std::string_view text) {
  into.append_text(key, text);
  if (!text.empty()) count_piece(key);
  return !text.empty();
}

void stream_assembler::count_piece(std::string_view key) {
  if (key == "content" || key == "text") ++pieces_.content;
  if (key.starts_with("reasoning")) ++pieces_.reasoning;
}

/// Counts a piece. Call it before the finish reason of the same piece is read.
void stream_assembler::note_content(const choice& of) {
  ++pieces_.any;
  seen_.of = &of;
  if (!of.finish_reason.empty()) went_on_ = true;
}

void stream_assembler::end(choice& ended, std::string_view reason, bool with_content) {
  const std::string said = json_string(reason).value_or(std::string());
  if (is_broken_off(said) && settled()) return;  // the error came after the reply was complete
  if (ended.finish_reason.empty()) {
    ++ended_;
  } else if (!with_content) {
    went_on_ = false;
  }
  ended.finish_reason = reason;
}

std::string_view stream_assembler::text() const {
  const auto first = choices_.find(0);
  if (first == choices_.end()) return {};
  const std::string_view text = first->second.members.text("text");
  return text.empty() ? first->second.message.members.text("content") : text;
}

bool stream_assembler::complete() const {
  return all_ended() && ended_ >= expected_;
}

bool stream_assembler::billed_as_complete() const {
  return all_ended() && ended_ > 0 && usage_told_ && !went_on_;
}

void stream_assembler::tool_calls::add(ondemand::object piece) {
  const std::string id(peek<std::string_view>(piece, "id").value_or(""));
  const std::string_view name = function_name(piece);
  latest = place_of(piece, id, name);
  call& into = by_place[latest];
  if (!name.empty()) {
    into.name = name;
    if (!was_named(latest)) named_in_list.push_back(latest);
  }
  if (!id.empty()) {
    by_id.try_emplace(id, latest);
    if (into.id.empty()) into.id = id;
  }
  for (ondemand::field field : piece) {
    const std::string_view key = field.unescaped_key();
    ondemand::value value = field.value();
    if (key == "index") continue;
    if (key == "function" && is_object(value)) {
      into.function.merge(value.get_object());
    } else if (key == "custom" && is_object(value)) {
      into.custom.merge(value.get_object());
    } else {
      into.members.replace(key, raw_json(value));
    }
  }
}

/// The place of the call that a piece belongs to; a new place if the piece begins a call.
std::int64_t stream_assembler::tool_calls::place_of(ondemand::object& piece, const std::string& id,
                                                    std::string_view name) {
  constexpr std::size_t most = 1024;  // no request leads to more calls than this
  if (by_place.size() >= most) return latest;
  const std::int64_t next = by_place.empty() ? 0 : std::prev(by_place.end())->first + 1;
  const auto known = id.empty() ? by_id.end() : by_id.find(id);
  const auto index = index_of(piece);
  if (!index) {
    if (known != by_id.end()) return known->second;
    return by_place.empty() || !id.empty() || !name.empty() ? next : latest;
  }
  const auto opened = by_index.find(*index);
  if (opened == by_index.end()) {
    const std::int64_t place = by_place.contains(*index) ? next : *index;
    return by_index[*index] = place;
  }
  const call& there = by_place[opened->second];
  if (!id.empty() && id == there.id) return opened->second;
  const bool other_id = !id.empty() && !there.id.empty();
  if (other_id && known != by_id.end()) return known->second;
  // Some relays repeat the name with every piece, but not in the same list.
  const bool other_name = !there.name.empty() && name != there.name;
  if (!name.empty() && (other_id || other_name || was_named(opened->second))) opened->second = next;
  return opened->second;
}

/// Whether the call at a place got a name in the present list.
bool stream_assembler::tool_calls::was_named(std::int64_t place) const {
  return std::find(named_in_list.begin(), named_in_list.end(), place) != named_in_list.end();
}

void stream_assembler::tool_calls::write(std::string& out) const {
  out += "\"tool_calls\":[";
  for (const auto& [place, each] : by_place) {
    out += '{';
    each.members.write(out, {"id", "type"});
    if (!each.members.has("type") && each.custom.empty()) out += R"("type":"function",)";
    for (const auto& [key, part] :
         {std::pair("function", &each.function), {"custom", &each.custom}}) {
      if (part->empty()) continue;
      fmt::format_to(std::back_inserter(out), "\"{}\":", key);
      part->write_object(out);
      out += ',';
    }
    each.members.write_others(out, {"id", "type"});
    close_with(out, '}');
    out += ',';
  }
  close_with(out, ']');
  out += ',';
}

std::string stream_assembler::body() const {
  std::string out = "{";
  top_.write(out, {"id"});
  out += target_ == endpoint::completions ? R"("object":"text_completion",)"
                                          : R"("object":"chat.completion",)";
  top_.write(out, {"created", "model"});
  out += "\"choices\":[";
  for (const auto& [index, each] : choices_) write_choice(out, index, each);
  close_with(out, ']');
  out += ',';
  top_.write(out, {"usage", "service_tier", "system_fingerprint"});
  top_.write_others(out, {"id", "created", "model", "usage", "service_tier", "system_fingerprint"});
  close_with(out, '}');
  return out;
}

void stream_assembler::write_choice(std::string& out, std::int64_t index,
                                    const choice& written) const {
  out += '{';
  if (target_ == endpoint::completions) {
    if (written.members.given("text")) {
      written.members.write(out, {"text"});
    } else {
      out += R"("text":"",)";
    }
  }
  fmt::format_to(std::back_inserter(out), "\"index\":{},", index);
  if (target_ != endpoint::completions) write_message(out, written.message);
  out += "\"logprobs\":";
  if (written.logprobs.empty()) {
    out += "null";
  } else {
    written.logprobs.write_object(out);
  }
  fmt::format_to(std::back_inserter(out), ",\"finish_reason\":{},",
                 written.finish_reason.empty() ? "null" : written.finish_reason);
  written.members.write_others(out, {"text"});
  close_with(out, '}');
  out += ',';
}

void stream_assembler::write_message(std::string& out, const words& message) {
  const piecewise_object& members = message.members;
  const bool calls = !message.tools.by_place.empty() || !message.function_call.empty();
  const bool speaks = !message.audio.empty() || members.has("refusal");
  const bool has_content =
      members.has("content") || (members.given("content") && !calls && !speaks);
  out += "\"message\":{";
  if (members.has("role")) {
    members.write(out, {"role"});
  } else {
    out += R"("role":"assistant",)";
  }
  if (has_content) {
    members.write(out, {"content"});
  } else {
    out += "\"content\":null,";
  }
  for (const std::string_view reasoning : {"reasoning_content", "reasoning"}) {
    if (members.has(reasoning)) members.write(out, {reasoning});
  }
  if (members.has("refusal")) {
    members.write(out, {"refusal"});
  } else {
    out += "\"refusal\":null,";
  }
  if (!message.tools.by_place.empty()) message.tools.write(out);
  if (!message.function_call.empty()) {
    out += "\"function_call\":";
    message.function_call.write_object(out);
    out += ',';
  }
  if (!message.audio.empty()) {
    out += "\"audio\":";
    message.audio.write_object(out);
    out += ',';
  }
  members.write_others(out, {"role", "content", "reasoning_content", "reasoning", "refusal"});
  close_with(out, '}');
  out += ',';
}

}  // namespace sluice::openai
