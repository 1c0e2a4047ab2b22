#include "server/page_api.hpp"

#include <string>
#include <string_view>

#include "server/page_assets.hpp"

namespace sluice::server {

namespace asio = boost::asio;

namespace {

constexpr std::string_view assets_folder = "/assets/";

header_fields fields_of(const page_asset& asset) {
  header_fields fields;
  fields.add("Content-Type", std::string(asset.type));
  fields.add("ETag", asset.tag);
  fields.add("Cache-Control", "no-cache");
  fields.add("Content-Security-Policy",
             "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
             "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
  fields.add("X-Content-Type-Options", "nosniff");
  fields.add("X-Frame-Options", "DENY");
  fields.add("Referrer-Policy", "no-referrer");
  fields.add("Cross-Origin-Opener-Policy", "same-origin");
  fields.add("Cross-Origin-Resource-Policy", "same-origin");
  return fields;
}

// Returns whether a list of tags contains the tag. The list may contain weak tags, or be `*`.
bool has_tag(std::string_view list, std::string_view tag) {
  return list == "*" || list.find(tag) != std::string_view::npos;
}

}  // namespace

asio::awaitable<bool> serve_page(http_server::exchange& call, bool keys) {
  const auto& head = call.head();
  if (head.method != "GET" && head.method != "HEAD") co_return false;
  const std::string_view path = head.path;
  const page_asset* asset = nullptr;
  if (path == "/") {
    asset = &page_document(keys);
  } else if (path.starts_with(assets_folder)) {
    asset = find_page_asset(path.substr(assets_folder.size()));
  }
  if (asset == nullptr) co_return false;
  const header_fields fields = fields_of(*asset);
  const bool known = has_tag(head.fields.last("If-None-Match").value_or(""), asset->tag);
  const std::string_view body = known ? std::string_view() : asset->bytes;
  co_await call.send(known ? 304 : 200, fields, body);
  co_return true;
}

}  // namespace sluice::server
