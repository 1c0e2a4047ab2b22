#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/config.hpp"

namespace sluice {

/// What must be read nowhere but in a request: the key of a relay, and the values of headers and of
/// the address's parameters that are there to be one (Authorization, Cookie, X-Api-Key and the
/// like). A relay may say it again in
/// an error, a header or a reply.
///
/// A word that is no secret, like the "any" of a relay that takes every key, may well stand in an
/// answer: what is shorter than 16 characters, or a number, is left alone.
///
/// Pure; const members may be called from any thread.
class secrets {
 public:
  explicit secrets(const relay_options& relay);

  /// Puts "[key]" in the place of each secret: as it is, in the escapes of a JSON string, and what
  /// is left of one where a text was cut ("…").
  void blot_out(std::string& text) const;

 private:
  std::vector<std::string> words_;
};

/// Whether a header of that name, or a parameter of a URL, holds a secret.
bool is_secret_name(std::string_view name);
/// Whether a header holds a secret: by its name, or by a value that is written like one.
bool is_secret_header(std::string_view name, std::string_view value);

}  // namespace sluice
