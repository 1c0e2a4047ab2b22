#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config.hpp"

namespace sluice {

/// The secrets of a relay, to be redacted from texts. Pure; const members may be called from any
/// thread. Secrets are the key, the values of secret headers and URL parameters (Authorization,
/// Cookie, X-Api-Key, …) and the proxy's password. A relay or proxy may repeat them in an error, a
/// header or a reply.
///
/// Short secrets may appear in a text by chance: a relay that accepts any key may have the key
/// "any" or "ollama". So it depends on the secret where it is redacted:
///  1. Sixteen or more characters that are not a number: everywhere, even inside a longer word.
///  2. If it begins with "sk-", has six or more characters with a digit, or has twelve or more
///     characters: where it is a separate word. A number is not redacted as part of another number
///     ("12345678.5"), or as a JSON number.
///  3. All others: after a word that announces a key ("Bearer", "api_key=", "Incorrect API key
///     provided:"). From eight characters on, also where it is the whole content of a JSON string.
/// Fewer than three characters are not a secret.
///
/// A secret is found as plain text, with JSON escapes and percent-encoded, also if these are
/// nested. Kinds 1 and 2 are also found inside base64, and if a text was cut in the middle of the
/// secret, but not if only the part is left with which other keys begin, too ("sk-proj-..."). In a
/// JSON document, a secret is also found if it is split over the tokens of `logprobs`.
/// Valid JSON stays valid.
class secrets {
 public:
  enum class reach : std::uint8_t { anywhere, word_alone, named };
  /// One form in which a secret can appear.
  struct form {
    std::string text;
    reach how = reach::anywhere;
    bool encoded = false;    ///< base64
    bool has_signs = false;  ///< characters that JSON may escape with a backslash: / " or itself
  };

  explicit secrets(const relay_options& relay);

  /// Replaces each secret with "[key]".
  void redact(std::string& text) const;

 private:
  void add(const std::string& word);
  void redact_pieces(std::string& text) const;

  std::vector<form> forms_;
};

/// Whether a header or URL parameter of this name contains a secret.
bool is_secret_name(std::string_view name);
/// Whether a header contains a secret: by its name, or because its value looks like one.
bool is_secret_header(std::string_view name, std::string_view value);

}  // namespace sluice
