#include "upstream/secrets.hpp"

#include <algorithm>
#include <array>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/algorithm/string/predicate.hpp>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "base/contains.hpp"
#include "http/proxy.hpp"
#include "json/text.hpp"
#include "sluice/error.hpp"
#include "upstream/split_text.hpp"

namespace sluice {
namespace {

constexpr std::string_view replacement = "[key]";

// Minimum lengths for each place where a secret is redacted.
constexpr std::size_t shortest_secret = 16;    ///< anywhere
constexpr std::size_t shortest_letters = 12;   ///< as a separate word, of letters only
constexpr std::size_t shortest_mixed = 6;      ///< as a separate word with a digit
constexpr std::size_t shortest_quoted = 8;     ///< as the whole content of a JSON string
constexpr std::size_t shortest_word = 3;       ///< shorter words are never redacted
constexpr std::size_t shortest_encoding = 7;   ///< as base64
constexpr std::size_t shortest_rest = 8;       ///< the beginning of a secret that was cut
constexpr std::size_t shortest_beginning = 4;  ///< the same, but in front of "…"

bool is_letter_or_digit(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}
bool is_hex(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_number(std::string_view word) {
  return word.find_first_not_of("0123456789.+-eE") == std::string_view::npos;
}

secrets::reach reach_of(std::string_view word) {
  // Values that documentation recommends for servers that need no key.
  constexpr std::array<std::string_view, 4> placeholders{"lm-studio", "not-needed",
                                                         "no-key-required", "placeholder"};
  using enum secrets::reach;
  const bool has_digit = word.find_first_of("0123456789") != std::string_view::npos;
  if (std::find(placeholders.begin(), placeholders.end(), word) != placeholders.end()) return named;
  if (word.size() >= shortest_secret && !is_number(word)) return anywhere;
  if (word.starts_with("sk-") || (has_digit && word.size() >= shortest_mixed) ||
      word.size() >= shortest_letters) {
    return word_alone;
  }
  return named;
}

/// The number of bytes of `text` at `at` that represent `c`: the character itself, a JSON escape or
/// a percent-encoding, also nested; 0: another character.
std::size_t match_at(std::string_view text, std::size_t at, char c) {
  if (at >= text.size()) return 0;
  if (text[at] == c) return 1;
  const auto encodes = [&](std::size_t digits, std::size_t count) {
    unsigned unit = 0;
    if (digits + count > text.size()) return false;
    const char* const end = text.data() + digits + count;
    const auto read = std::from_chars(text.data() + digits, end, unit, 16);
    return read.ptr == end && unit == static_cast<unsigned char>(c);
  };
  std::size_t next = at;
  if (text[at] == '\\') {
    while (next < text.size() && text[next] == '\\') ++next;
    if (next == text.size()) return 0;
    if (text[next] == c && (c == '/' || c == '"' || c == '\\')) return next + 1 - at;
    return text[next] == 'u' && encodes(next + 1, 4) ? next + 5 - at : 0;
  }
  if (text[at] != '%') return 0;
  ++next;
  while (text.substr(next).starts_with("25")) next += 2;
  return encodes(next, 2) ? next + 2 - at : 0;
}

/// The number of bytes at `at` that represent the whole word; 0: another text.
std::size_t match_at(std::string_view text, std::size_t at, std::string_view word) {
  std::size_t length = 0;
  for (const char c : word) {
    const std::size_t step = match_at(text, at + length, c);
    if (step == 0) return 0;
    length += step;
  }
  return length;
}

/// Whether the text may contain escapes or percent-encoding.
bool has_escapes(std::string_view text) {
  const std::size_t escape = text.find('\\');
  if (escape != std::string_view::npos && contains(text.substr(escape), "\\u00")) return true;
  for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (at + 2 < text.size() && is_hex(text[at + 1]) && is_hex(text[at + 2])) return true;
  }
  return false;
}

/// A quick check whether the text may contain the secret or its beginning, not escaped; it rules
/// out almost every text.
bool may_hold_plain(std::string_view text, const secrets::form& secret) {
  return contains(text, std::string_view(secret.text).substr(0, shortest_beginning));
}

/// The same for the secret with escapes. `escapes`: the text contains escapes.
bool may_hold_escaped(std::string_view text, const secrets::form& secret, bool escapes) {
  return (escapes && !secret.encoded) ||
         (secret.has_signs && text.find('\\') != std::string_view::npos);
}

/// The length of the escape sequence that ends before `at`; 0: none.
std::size_t escape_before(std::string_view text, std::size_t at) {
  if (at >= 3 && text[at - 3] == '%' && is_hex(text[at - 2]) && is_hex(text[at - 1])) return 3;
  if (at < 6 || text[at - 5] != 'u' || text[at - 6] != '\\') return 0;
  const std::string_view digits = text.substr(at - 4, 4);
  return std::all_of(digits.begin(), digits.end(), is_hex) ? 6 : 0;
}

/// Where a secret was found, and its surroundings.
struct place {
  std::string_view text;
  std::size_t begin;
  std::size_t end;
  bool behind_escape;     ///< after an escape of one letter, like \n
  std::size_t string_at;  ///< the opening quote of the JSON string around it; npos: none
  bool is_json;           ///< the text is a JSON document

  char before() const { return begin > 0 ? text[begin - 1] : ' '; }
  char after() const { return end < text.size() ? text[end] : ' '; }

  bool begins_word() const {
    return behind_escape || escape_before(text, begin) > 0 ||
           (!is_letter_or_digit(before()) && before() != '_');
  }
  bool is_word() const { return begins_word() && !is_letter_or_digit(after()) && after() != '_'; }
  /// It is part of a longer number: 12345678.5, 2024-12345678.
  bool is_part_of_number() const {
    constexpr std::string_view joints = ".,-:/+";
    const auto goes_on = [&](std::size_t joint, std::size_t digit) {
      return joint < text.size() && digit < text.size() &&
             joints.find(text[joint]) != std::string_view::npos && text[digit] >= '0' &&
             text[digit] <= '9';
    };
    return goes_on(begin - 1, begin - 2) || goes_on(end, end + 1);
  }
  /// It is a JSON value outside a string: `[12345678,`.
  bool is_bare_value() const {
    if (!is_json || string_at != std::string_view::npos) return false;
    const std::size_t last =
        begin == 0 ? std::string_view::npos : text.find_last_not_of(" \t\r\n", begin - 1);
    return last == std::string_view::npos ||
           std::string_view(":,[").find(text[last]) != std::string_view::npos;
  }
  bool is_whole_string() const {
    return string_at != std::string_view::npos && string_at + 1 == begin && after() == '"';
  }
  bool is_member_name() const {
    if (!is_whole_string()) return false;
    const std::size_t next = text.find_first_not_of(" \t\r\n", end + 1);
    return next != std::string_view::npos && text[next] == ':';
  }
  bool is_named() const;
};

/// The word before `at`, after skipping punctuation and escapes; empty: none. `at` moves to its
/// beginning.
std::string_view word_before(std::string_view text, std::size_t& at) {
  constexpr std::string_view signs = " \t\r\n\"'`:=([{<>,;\\/@?&*";
  for (;;) {
    if (const std::size_t length = escape_before(text, at); length > 0) {
      at -= length;
    } else if (at > 0 && signs.find(text[at - 1]) != std::string_view::npos) {
      --at;
    } else {
      break;
    }
  }
  const std::size_t end = at;
  const auto belongs = [](char c) {
    return is_letter_or_digit(c) || c == '_' || c == '-' || static_cast<unsigned char>(c) >= 0x80;
  };
  while (at > 0 && belongs(text[at - 1]) && escape_before(text, at) == 0) --at;
  return text.substr(at, end - at);
}

/// Whether the text before it announces a key: "Bearer any", "api_key=any", "Incorrect API key
/// provided: any".
bool place::is_named() const {
  constexpr std::array<std::string_view, 16> fillers{
      "is",  "was",  "provided", "given",  "used",    "sent",    "received", "of",
      "the", "your", "value",    "header", "invalid", "unknown", "with",     "for"};
  constexpr std::array<std::string_view, 4> in_chinese{"令牌", "密钥", "密码", "秘钥"};
  constexpr int most_fillers = 4;
  std::size_t at = begin;
  for (int i = 0; i <= most_fillers; ++i) {
    const std::string word = boost::algorithm::to_lower_copy(std::string(word_before(text, at)));
    if (word.empty()) return false;
    if (word == "bearer" || word == "basic" || is_secret_name(word)) return true;
    if (std::any_of(in_chinese.begin(), in_chinese.end(),
                    [&](std::string_view name) { return word.find(name) != std::string::npos; })) {
      return true;
    }
    if (std::find(fillers.begin(), fillers.end(), word) == fillers.end()) return false;
  }
  return false;
}

/// Whether the match is the secret, and not the same text by chance.
bool is_secret(const secrets::form& secret, const place& found) {
  using enum secrets::reach;
  if (found.is_bare_value() && (is_number(secret.text) || secret.how == named)) return false;
  switch (secret.how) {
    case anywhere:
      return true;
    case word_alone:
      return found.is_word() && !(is_number(secret.text) && found.is_part_of_number());
    case named:
      if (!found.is_word() || found.is_member_name()) return false;
      return found.is_named() || (found.is_whole_string() && secret.text.size() >= shortest_quoted);
  }
  return false;
}

/// Extends a base64 match by the last character and the padding that belong to it.
std::size_t end_of_encoding(std::string_view text, std::size_t end) {
  if (end < text.size() && is_letter_or_digit(text[end])) ++end;
  while (end < text.size() && text[end] == '=') ++end;
  return end;
}

/// A JSON object or array. A plain number does not count: it may be the value of a header.
bool is_document(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[') &&
         !json_fault(text);
}

/// All matches in the text. An escape sequence is either inside a match or outside, never split, so
/// that JSON strings stay valid.
std::vector<text_span> find(std::string_view text, const secrets::form& secret) {
  constexpr std::string_view escapable = "\"\\/bfnrtu";
  const std::string_view word = secret.text;
  std::optional<bool> is_json;  // computed only after a match, since it is slow
  std::vector<text_span> found;
  std::size_t string_at = std::string_view::npos;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = match_at(text, at, word);
    bool behind_escape = false;
    std::size_t begin = at;
    const bool escape = text[at] == '\\' && at + 1 < text.size() &&
                        escapable.find(text[at + 1]) != std::string_view::npos;
    if (length == 0 && escape) {
      at += 2;
      // The word follows an escape like \n, or its first letter is escaped.
      behind_escape = true;
      if (text[at - 1] == word.front()) length = match_at(text, at, word.substr(1));
      if (length == 0) length = match_at(text, at, word);
      begin = at;
    }
    if (length > 0 && !is_json) is_json = is_document(text);
    if (length > 0 &&
        is_secret(secret, {text, begin, begin + length, behind_escape, string_at, *is_json})) {
      const std::size_t end = begin + length;
      at = secret.encoded ? end_of_encoding(text, end) : end;
      found.emplace_back(begin, at);
    } else if (!behind_escape) {
      if (text[at] == '"')
        string_at = string_at == std::string_view::npos ? at : std::string_view::npos;
      ++at;
    }
  }
  return found;
}

void replace(std::string& text, const std::vector<text_span>& found) {
  if (found.empty()) return;
  std::string out;
  std::size_t done = 0;
  for (const auto& [begin, end] : found) {
    out.append(text, done, begin - done).append(replacement);
    done = end;
  }
  text = out.append(text, done);
}

/// The length of the beginning that all keys of a provider share: "sk-proj-", "sk-ant-api03-", or
/// the header of a JWT.
std::size_t shared_beginning(std::string_view word) {
  constexpr std::size_t longest = 16;
  constexpr std::string_view of_github = "github_pat_";
  if (word.starts_with("sk-")) return word.substr(0, longest).rfind('-') + 1;
  if (word.starts_with(of_github)) return of_github.size();
  return word.starts_with("eyJ") ? word.find('.') + 1 : 0;  // npos + 1 is 0
}

/// Redacts the beginning of the secret at the end of a text that was cut, or before "…". What other
/// keys begin with, too, is not enough: documentation has "sk-proj-...".
void redact_cut_secret(std::string& text, const secrets::form& secret) {
  if (secret.how == secrets::reach::named || secret.encoded) return;
  const std::string_view word = secret.text;
  const auto redact_before = [&](std::size_t end, std::size_t shortest) {
    for (std::size_t length = std::min(word.size() - 1, end); length >= shortest; --length) {
      if (std::string_view(text).substr(end - length, length) != word.substr(0, length)) continue;
      const place rest{text, end - length, end, false, std::string_view::npos, false};
      if (secret.how != secrets::reach::anywhere && !rest.begins_word()) continue;
      text.replace(end - length, length, replacement);
      return;
    }
  };
  const std::size_t half = word.size() / 2;
  const std::size_t telling = std::min(shared_beginning(word) + shortest_beginning, half);
  redact_before(text.size(), std::max(shortest_rest, telling));
  // Before "…" a shorter beginning is enough.
  const std::size_t shortest =
      is_number(word) ? shortest_rest
                      : std::clamp<std::size_t>(half, shortest_beginning, shortest_rest);
  for (const std::string_view cut : {"…", "..."}) {
    for (std::size_t at = text.find(cut); at != std::string::npos;) {
      const std::size_t behind = text.size() - at;
      redact_before(at, std::max(shortest, telling));
      at = text.find(cut, text.size() - behind + cut.size());
    }
  }
}

/// The value without its scheme ("Bearer", "Basic").
std::string_view credentials(std::string_view value) {
  while (value.ends_with(' ')) value.remove_suffix(1);
  const std::size_t space = value.find_last_of(' ');
  return space == std::string_view::npos ? value : value.substr(space + 1);
}

/// The values of cookies ("a=1; b=2"), without their names and quotes.
std::vector<std::string_view> cookies(std::string_view header) {
  std::vector<std::string_view> values;
  while (!header.empty()) {
    const std::size_t end = std::min(header.find(';'), header.size());
    std::string_view value = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    value.remove_prefix(value.find('=') + 1);  // npos + 1 is 0
    value.remove_prefix(std::min(value.find_first_not_of(" \""), value.size()));
    value.remove_suffix(value.size() - (value.find_last_not_of(" \"") + 1));
    values.push_back(value);
  }
  return values;
}

/// Names and values of the URL's query parameters.
std::vector<std::pair<std::string_view, std::string_view>> parameters(std::string_view url) {
  std::vector<std::pair<std::string_view, std::string_view>> found;
  const std::size_t question = url.find('?');
  if (question == std::string_view::npos) return found;
  std::string_view rest = url.substr(question + 1);
  rest = rest.substr(0, rest.find('#'));
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t sign = std::min(one.find('='), one.size());
    found.emplace_back(one.substr(0, sign), one.substr(std::min(sign + 1, one.size())));
  }
  return found;
}

/// Whether the rest of a name, in lower case, begins with a word that only looks like a word for a
/// secret.
bool is_other_word(std::string_view rest) {
  constexpr std::array<std::string_view, 5> others{"author", "keyword", "keyboard", "tokens",
                                                   "tokeniz"};
  return !rest.starts_with("authoriz") && !rest.starts_with("authoris") &&
         std::any_of(others.begin(), others.end(),
                     [&](std::string_view other) { return rest.starts_with(other); });
}

/// The secrets in a proxy's address: the password, and "user:password" as in Basic authentication;
/// without a password, the user name.
std::vector<std::string> words_of_proxy(const std::string& address) {
  if (address.empty()) return {};
  try {
    const proxy through = proxy::parse(address, "the proxy");
    if (through.password.empty()) return {through.user};
    return {through.password, through.user + ":" + through.password};
  } catch (const fatal_error&) {
    return {};  // reported where the proxy is used
  }
}

/// The base64 texts that contain the word, in both alphabets: one for each position of its first
/// byte in a group of three.
std::vector<std::string> base64_of(std::string_view word) {
  constexpr std::string_view usual =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::string> found;
  for (std::size_t shift = 0; shift < 3; ++shift) {
    const std::string bytes = std::string(shift, '\0').append(word);
    const std::size_t first = (shift * 8 + 5) / 6;
    const std::size_t last = bytes.size() * 8 / 6;
    std::string text;
    for (std::size_t i = first; i < last; ++i) {
      const std::size_t bit = i * 6;
      const auto byte = [&](std::size_t at) {
        return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U;
      };
      const unsigned pair = byte(bit / 8) << 8 | byte(bit / 8 + 1);
      text += usual[(pair >> (10 - bit % 8)) & 63];
    }
    if (text.size() < shortest_encoding) continue;
    std::string for_urls = text;
    std::replace(for_urls.begin(), for_urls.end(), '+', '-');
    std::replace(for_urls.begin(), for_urls.end(), '/', '_');
    if (for_urls != text) found.push_back(std::move(for_urls));
    found.push_back(std::move(text));
  }
  return found;
}

}  // namespace

bool is_secret_name(std::string_view name) {
  constexpr std::array<std::string_view, 6> parts{"auth",   "cookie", "key",
                                                  "secret", "token",  "password"};
  const std::string lower = boost::algorithm::to_lower_copy(std::string(name));
  for (std::size_t at = 0; at < lower.size(); ++at) {
    const std::string_view rest = std::string_view(lower).substr(at);
    const bool begins = std::any_of(parts.begin(), parts.end(),
                                    [&](std::string_view part) { return rest.starts_with(part); });
    if (begins && !is_other_word(rest)) return true;
  }
  return false;
}

bool is_secret_header(std::string_view name, std::string_view value) {
  if (is_secret_name(name)) return true;
  constexpr std::array<std::string_view, 2> schemes{"bearer ", "basic "};
  const bool has_scheme = std::any_of(schemes.begin(), schemes.end(), [&](std::string_view scheme) {
    return boost::algorithm::istarts_with(value, scheme);
  });
  const bool is_key = value.starts_with("sk-") || value.starts_with("eyJ");  // OpenAI's, and a JWT
  const bool is_word = value.find(' ') == std::string_view::npos && value.size() >= shortest_word;
  return has_scheme || (is_key && is_word);
}

secrets::secrets(const relay_options& relay) {
  std::vector<std::string> words{relay.api_key};
  for (const auto& [name, value] : relay.headers) {
    if (boost::algorithm::icontains(name, "cookie")) {
      for (const std::string_view cookie : cookies(value)) {
        if (reach_of(cookie) != reach::named) words.emplace_back(cookie);
      }
    } else if (is_secret_header(name, value)) {
      words.emplace_back(credentials(value));
    }
  }
  for (const auto& [name, value] : parameters(relay.base_url)) {
    if (is_secret_name(name)) words.emplace_back(value);
  }
  for (std::string& word : words_of_proxy(relay.proxy)) words.push_back(std::move(word));
  for (const std::string& word : words) add(word);
  // Longer ones come first: if one secret begins with another one, no part of it must be left.
  std::stable_sort(forms_.begin(), forms_.end(),
                   [](const form& a, const form& b) { return a.text.size() > b.text.size(); });
}

void secrets::add(const std::string& word) {
  const bool known = std::any_of(forms_.begin(), forms_.end(),
                                 [&](const form& other) { return other.text == word; });
  if (word.size() < shortest_word || known) return;
  const auto has_signs = [](const std::string& bytes) {
    return bytes.find_first_of("/\"\\") != std::string::npos;
  };
  forms_.push_back({word, reach_of(word), false, has_signs(word)});
  for (std::string& inside : base64_of(word)) {
    const bool signs = has_signs(inside);
    forms_.push_back({std::move(inside), reach::anywhere, true, signs});
  }
}

void secrets::redact(std::string& text) const {
  if (forms_.empty() || text.size() < shortest_word) return;
  const bool escapes = has_escapes(text);
  for (const form& each : forms_) {
    const bool plain = may_hold_plain(text, each);
    if (plain || may_hold_escaped(text, each, escapes)) replace(text, find(text, each));
    if (plain) redact_cut_secret(text, each);
  }
  redact_pieces(text);
}

void secrets::redact_pieces(std::string& text) const {
  if (!may_hold_split_text(text)) return;
  for (const form& each : forms_) {
    if (each.encoded) continue;
    replace_in_split_text(text, replacement,
                          [&](std::string_view joined) { return find(joined, each); });
  }
}

}  // namespace sluice
