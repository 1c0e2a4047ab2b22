#pragma once

#include <string>
#include <string_view>

namespace sluice::server {

/// One file of the server's web page.
struct page_asset {
  std::string_view name;  ///< without a folder
  std::string_view type;  ///< for Content-Type
  std::string_view bytes;
  std::string tag;  ///< the value for ETag, with its quotes; it changes with the bytes
};

/// Returns the page itself, never null. `keys`: clients need a key, so the page asks for one.
const page_asset& page_document(bool keys);
/// Returns a file that the page loads; null if there is no such file.
const page_asset* find_page_asset(std::string_view name);

}  // namespace sluice::server
