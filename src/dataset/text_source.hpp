#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "files/line_reader.hpp"

namespace sluice::dataset {

/// The text of a file, in UTF-8 and without a byte order mark.
struct text_source {
  std::unique_ptr<byte_source> bytes;
  std::string start;      ///< the first bytes of the text, which `bytes` gives all the same
  bool has_mark = false;  ///< the file began with a byte order mark
};

/// Opens a file as open_bytes() does. `encoding`: its name, as iconv knows it; empty: UTF-8. Then
/// the text is not checked, except that a file in UTF-16 or UTF-32, or one that is no text, is
/// refused by name. Throws fatal_error, also from read() where a byte is not of the encoding.
text_source open_text(const std::string& path, const std::string& encoding);

/// Encodings other than UTF-8 that the bytes may be written in, as words for a message like
/// "perhaps gb18030".
std::string likely_encodings(std::string_view bytes);

}  // namespace sluice::dataset
