#include "server/page_assets.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

// The files are embedded by the assembler: SLUICE_WEB_ASSET(symbol, name) for each of them.
extern "C" {
#define SLUICE_WEB_ASSET(symbol, name)     \
  extern const char sluice_web_##symbol[]; \
  extern const char sluice_web_##symbol##_end[];
#include "server/web_assets.inc"
#undef SLUICE_WEB_ASSET
}

namespace sluice::server {
namespace {

constexpr std::string_view document_name = "index.html";
// A placeholder in the document; it is replaced with "needed" or "none".
constexpr std::string_view keys_hole = "{{keys}}";

std::string tag_of(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  std::string tag = "\"";
  for (std::size_t at = 0; at < 16; ++at) tag += fmt::format("{:02x}", digest.at(at));
  return tag + "\"";
}

std::string_view type_of(std::string_view name) {
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "text/html; charset=utf-8";
}

const std::vector<page_asset>& all_assets() {
  static const std::vector<page_asset> assets = [] {
    std::vector<page_asset> made;
    const auto add = [&made](std::string_view name, const char* begin, const char* end) {
      const std::string_view bytes(begin, static_cast<std::size_t>(end - begin));
      made.push_back({name, type_of(name), bytes, tag_of(bytes)});
    };
#define SLUICE_WEB_ASSET(symbol, name) add(name, sluice_web_##symbol, sluice_web_##symbol##_end);
#include "server/web_assets.inc"
#undef SLUICE_WEB_ASSET
    return made;
  }();
  return assets;
}

std::string document_text(bool keys) {
  std::string text(std::ranges::find(all_assets(), document_name, &page_asset::name)->bytes);
  text.replace(text.find(keys_hole), keys_hole.size(), keys ? "needed" : "none");
  return text;
}

page_asset document_of(const std::string& text) {
  return {document_name, type_of(document_name), text, tag_of(text)};
}

}  // namespace

const page_asset& page_document(bool keys) {
  static const std::string with_text = document_text(true);
  static const std::string without_text = document_text(false);
  static const page_asset with_keys = document_of(with_text);
  static const page_asset without_keys = document_of(without_text);
  return keys ? with_keys : without_keys;
}

const page_asset* find_page_asset(std::string_view name) {
  if (name == document_name) return nullptr;
  const auto found = std::ranges::find(all_assets(), name, &page_asset::name);
  return found == all_assets().end() ? nullptr : &*found;
}

}  // namespace sluice::server
