#pragma once

#include <string>
#include <string_view>

namespace sluice::server {

/// A file of the page that the server shows to people.
struct page_asset {
  std::string_view name;  ///< without a folder
  std::string_view type;  ///< for Content-Type
  std::string_view bytes;
  std::string tag;  ///< for ETag, with its quotes: another one for other bytes
};

/// The page itself. `keys`: its clients need a key, for which it then asks. Null is never returned.
const page_asset& page_document(bool keys);
/// What the page loads; null: there is no such file.
const page_asset* find_page_asset(std::string_view name);

}  // namespace sluice::server
