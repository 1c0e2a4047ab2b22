#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config.hpp"

namespace sluice {

/// What must be read nowhere but in a request: the key of a relay, the values of headers and of the
/// address's parameters that are there to be one (Authorization, Cookie, X-Api-Key and the like),
/// and the proxy's password. A relay or a proxy may say it again in an error, a header or a reply.
///
/// How far a secret is looked for hangs on how likely chance says the same: an answer may well hold
/// the word that is the "key" of a relay that takes every key ("any", "ollama").
///  1. Sixteen characters and more that are no number are a secret wherever they stand, inside of
///     a longer word, too.
///  2. What begins with "sk-", has six characters and a digit among them, or twelve characters, is
///     one where it stands as a word of its own. A number is none as a part of another one
///     ("12345678.5"), or as a bare value of JSON.
///  3. Any other is one where it is named as one: behind "Bearer", "api_key=", "Incorrect API key
///     provided:"; from eight characters on also where it is all that a JSON string holds.
/// Fewer than three characters are no secret.
///
/// Each is found as it is, in the escapes of JSON strings and in percent-encoding, however often
/// one was laid over the other; the first two kinds also inside of base64, and, where a text was
/// cut, by what is left of them. In a JSON document a secret is also found where it is spread over
/// the tokens of `logprobs`. What was valid JSON stays so.
///
/// Pure; const members may be called from any thread.
class secrets {
 public:
  enum class reach : std::uint8_t { anywhere, word_alone, named };
  /// One way to say a secret.
  struct form {
    std::string text;
    reach how = reach::anywhere;
    bool encoded = false;  ///< a part of base64
  };

  explicit secrets(const relay_options& relay);

  /// Puts "[key]" in the place of each secret.
  void redact(std::string& text) const;

 private:
  void add(const std::string& word);
  void blot_out_pieces(std::string& text) const;

  std::vector<form> forms_;
};

/// Whether a header of that name, or a parameter of a URL, holds a secret.
bool is_secret_name(std::string_view name);
/// Whether a header holds a secret: by its name, or by a value that is written like one.
bool is_secret_header(std::string_view name, std::string_view value);

}  // namespace sluice
