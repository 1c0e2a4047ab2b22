#include "server/foreign_pages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>
#include <cctype>

#include "base/printable.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t longest_shown = 100;

// A cheap check for the names that nearly all requests use.
bool is_usual(std::string_view host) {
  for (const std::string_view name : {"127.0.0.1", "localhost"}) {
    if (!host.starts_with(name)) continue;
    host.remove_prefix(name.size());
    return host.empty() || host.front() == ':';
  }
  return false;
}

bool is_own(const std::string& name, const own_names& own) {
  boost::system::error_code no_address;
  (void)boost::asio::ip::make_address(name, no_address);
  return !no_address || name == "localhost" || name.ends_with(".localhost") ||
         own.names.contains(name);
}

// Returns the origin without its scheme.
std::string_view authority_of(std::string_view origin) {
  const std::size_t at = origin.find("://");
  return at == std::string_view::npos ? std::string_view() : origin.substr(at + 3);
}

// The fields that say where a request comes from. If a field occurs twice, the last one counts.
struct said {
  std::optional<std::string_view> host;
  std::optional<std::string_view> origin;
  std::optional<std::string_view> site;
  std::optional<std::string_view> mode;
};

// Reads all fields in one pass, because every request needs this.
said read(const header_fields& fields) {
  said found;
  const auto take = [](const header_fields::field& field, std::string_view name, auto& into) {
    if (field.name.size() == name.size() && same_name(field.name, name)) into = field.value;
  };
  for (const auto& field : fields) {
    take(field, "Host", found.host);
    take(field, "Origin", found.origin);
    take(field, "Sec-Fetch-Site", found.site);
    take(field, "Sec-Fetch-Mode", found.mode);
  }
  return found;
}

std::string shown(std::string_view text) {
  return printable_text(text.substr(0, longest_shown));
}

api_error foreign_host(std::string_view host) {
  return {.status = 403,
          .message = fmt::format(
              "This server does not know the name '{0}', and without a key it answers only under "
              "its own names. Use its address, such as http://127.0.0.1:PORT. If it has this name "
              "behind a proxy, start it with --allow-host {0}, or give its clients keys with "
              "--keys.",
              shown(host)),
          .code = "host_not_allowed"};
}

api_error foreign_origin(std::string_view origin) {
  return {.status = 403,
          .message = fmt::format(
              "A web page of another site ({}) has sent this request, and without a key the server "
              "takes none from there. Send it from a program, or from the server's own page; for "
              "an application in a browser, give it a key with --keys.",
              shown(origin)),
          .code = "origin_not_allowed"};
}

}  // namespace

std::string host_name(std::string_view authority) {
  std::string_view name = authority;
  if (name.starts_with('[')) {
    name = name.substr(1, name.find(']') - 1);
  } else if (std::ranges::count(name, ':') == 1) {
    name = name.substr(0, name.find(':'));
  }
  // `localhost.` is the fully qualified form of the same name.
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string small(name);
  std::ranges::transform(small, small.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return small;
}

std::optional<api_error> refuse_foreign_page(const http_server::request_head& head,
                                             const own_names& own) {
  const said found = read(head.fields);
  if (found.host && !is_usual(*found.host)) {
    const std::string name = host_name(*found.host);
    if (!is_own(name, own)) return foreign_host(name);
  }
  if (found.site) {
    // Browsers set this field, and no page can change it.
    if (*found.site == "same-origin" || *found.site == "none") return std::nullopt;
    // The user has followed a link to this server. The page with the link cannot read the answer.
    const bool follows_link =
        (head.method == "GET" || head.method == "HEAD") && found.mode == "navigate";
    if (follows_link) return std::nullopt;
    return foreign_origin(found.origin.value_or("unknown"));
  }
  if (!found.origin || (found.host && authority_of(*found.origin) == *found.host)) {
    return std::nullopt;
  }
  return foreign_origin(*found.origin);
}

}  // namespace sluice::server
