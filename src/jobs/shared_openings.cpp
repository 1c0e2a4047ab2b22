#include "jobs/shared_openings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/hash.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "tokens/prompt_tokens.hpp"

namespace sluice {
namespace {

constexpr std::size_t shortest_bytes = 2048;
// Lines contain times in milliseconds. If one attempt follows another, rounding can make it seem to
// begin up to this much before the other one ended.
constexpr double rounding_s = 0.002;

// Collects text until the first element that is not text.
class opening_text {
 public:
  void add_string(std::string_view quoted) {
    if (ended_) return;
    if (auto text = json_string(quoted)) {
      text_ += *text;
    } else {
      ended_ = true;
    }
  }

  void add_messages(std::string_view list) {
    if (list.starts_with('"')) return add_string(list);
    for (const std::string_view element : json_elements(list).value_or(elements())) {
      add_message(json_object(element));
    }
  }

  std::string take() { return std::move(text_); }

 private:
  using elements = std::vector<std::string_view>;

  void add_message(const json_object& message) {
    constexpr std::string_view known[] = {"role", "content", "name", "type"};
    for (const json_member& member : message) {
      const bool plain =
          std::find(std::begin(known), std::end(known), member.key) != std::end(known);
      if (!plain && member.value != "null") ended_ = true;
    }
    if (!message.has_value("role") || !message.has_value("content")) ended_ = true;
    if (ended_) return;
    add_string(message.value("role"));
    text_ += '\n';
    if (message.has_value("name")) add_string(message.value("name"));
    text_ += '\n';
    const std::string_view content = message.value("content");
    if (content.starts_with('"')) return add_string(content);
    for (const std::string_view part : json_elements(content).value_or(elements())) {
      add_part(json_object(part));
    }
  }

  void add_part(const json_object& part) {
    const auto type = part.text("type");
    if (type != "text" && type != "input_text" && type != "output_text") ended_ = true;
    if (!ended_) add_string(part.value("text"));
  }

  std::string text_;
  bool ended_ = false;
};

std::string opening_of(endpoint target, const json_object& body) {
  opening_text text;
  switch (target) {
    case endpoint::chat_completions:
      text.add_messages(body.value("messages"));
      break;
    case endpoint::completions:
      text.add_string(body.value("prompt"));
      break;
    case endpoint::responses:
      if (body.has_value("instructions")) text.add_string(body.value("instructions"));
      text.add_messages(body.value("input"));
      break;
    case endpoint::embeddings:  // nothing is cached
      break;
  }
  return text.take();
}

// The parts that a provider puts before the messages, as they are written.
std::string before_the_messages(const request& asked, const json_object& body) {
  std::string text = fmt::format("{}\n{}", to_string(asked.target), asked.model);
  for (const std::string_view name : {"tools", "functions", "response_format", "text"}) {
    text += '\n';
    text += body.value(name);
  }
  return text;
}

std::size_t next_length(std::size_t bytes) {
  std::size_t power = shortest_bytes;
  while (power * 2 <= bytes) power *= 2;
  return bytes + power / 4;
}

hash128 hash_behind(const hash128& before, std::string_view text) {
  return hash_of(std::string(hex_digits(before)).append(text));
}

std::uint32_t tokens_in(std::string_view model, std::string_view text) {
  const std::uint64_t tokens = completion_tokens(model, text).tokens;
  // A word that was cut in two may have one token more.
  const std::uint64_t whole = tokens > 0 ? tokens - 1 : 0;
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(whole, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace

shared_openings::id shared_openings::add(const request& asked) {
  const json_object body(asked.body);
  const std::string text = opening_of(asked.target, body);
  if (text.size() < shortest_bytes) return 0;
  hash128 hash = hash_of(before_the_messages(asked, body));
  id longest = 0;
  std::size_t begin = 0;
  for (std::size_t bytes = shortest_bytes; bytes <= text.size(); bytes = next_length(bytes)) {
    const std::size_t end = utf8_prefix(text, bytes).size();
    const auto piece = std::string_view(text).substr(begin, end - begin);
    hash = hash_behind(hash, piece);
    begin = end;
    id* found = ids_.find(hash);
    if (found == nullptr) {
      if (openings_.size() > most_) break;
      found = ids_.insert(hash).first;
      *found = static_cast<id>(openings_.size());
      openings_.push_back({.shorter = longest, .tokens = 0, .shared = false});
    } else if (!openings_[*found].shared) {
      opening& known = openings_[*found];
      known.shared = true;
      known.tokens = openings_[known.shorter].tokens + tokens_in(asked.model, piece);
    }
    longest = *found;
  }
  return longest;
}

shared_openings::repeat shared_openings::add_reply(id longest, std::string_view relay,
                                                   double started_unix, double ended_unix) {
  repeat found;
  if (longest == 0) return found;
  auto of_relay = periods_.find(relay);
  if (of_relay == periods_.end()) {
    of_relay = periods_.emplace(relay, std::vector<period>(openings_.size())).first;
  }
  for (id one = longest; one != 0; one = openings_[one].shorter) {
    const opening& prefix = openings_[one];
    if (!prefix.shared || prefix.tokens < shortest_tokens) continue;
    period& known = of_relay->second[one];
    const bool cached = known.end > 0 && known.begin <= started_unix + rounding_s &&
                        started_unix <= known.end + lifetime_s;
    if (cached && found.tokens == 0) found.tokens = prefix.tokens;
    if (cached) found.shortest = one;
    if (known.end == 0 || ended_unix > known.end + lifetime_s) {
      known = {ended_unix, ended_unix};
    } else if (ended_unix >= known.begin - lifetime_s) {
      known.begin = std::min(known.begin, ended_unix);
      known.end = std::max(known.end, ended_unix);
    }
  }
  return found;
}

}  // namespace sluice
