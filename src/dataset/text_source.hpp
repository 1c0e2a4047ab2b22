#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "files/line_reader.hpp"

namespace sluice::dataset {

/// The text of a file, in UTF-8 and without a byte order mark.
struct text_source {
  std::unique_ptr<byte_source> bytes;
  std::string start;      ///< the first bytes of the text; `bytes` gives them, too
  bool has_mark = false;  ///< the file began with a byte order mark
};

/// Opens a file like open_bytes(). `encoding`: a name that iconv knows; empty: UTF-8. UTF-8 text is
/// not checked here. But a file in UTF-16 or UTF-32, and a file that is not text, are refused with
/// the name of their format. Throws fatal_error, also from read() if a byte is not valid in the
/// encoding.
text_source open_text(const std::string& path, const std::string& encoding);

/// Encodings other than UTF-8 in which the bytes may be written, as words for a message, such as
/// "perhaps gb18030".
std::string likely_encodings(std::string_view bytes);

}  // namespace sluice::dataset
