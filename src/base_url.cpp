#include "base_url.hpp"

#include <fmt/format.h>

#include <boost/algorithm/string/case_conv.hpp>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/scheme.hpp>
#include <boost/url/url_view.hpp>
#include <string>

#include "sluice/error.hpp"
#include "sluice/job.hpp"

namespace sluice {

namespace {

// A password before an @ and a key behind a ? are not to be seen on a screen.
std::string without_secrets(std::string_view url) {
  std::string shown(url.substr(0, url.find_first_of("?#")));
  const std::size_t at = shown.rfind('@');
  if (at == std::string::npos) return shown;
  const std::size_t scheme = shown.find("://");
  const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  return begin < at ? shown.replace(begin, at - begin, "...") : shown;
}

}  // namespace

base_url base_url::parse(std::string_view text) {
  const auto fail = [&](std::string_view what) {
    throw fatal_error(fatal_error::kind::cannot_start,
                      fmt::format("--base-url '{}' {}; write it like https://relay.example/v1",
                                  without_secrets(text), what));
  };
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!parsed) fail("is no URL");
  const boost::urls::url_view& url = *parsed;
  base_url result;
  if (url.scheme_id() == boost::urls::scheme::https) {
    result.tls = true;
  } else if (url.scheme_id() == boost::urls::scheme::http) {
    result.tls = false;
  } else {
    fail("is neither http nor https");
  }
  if (url.has_userinfo()) fail("holds a user name, which would be shown in messages");
  if (url.has_query() || url.has_fragment()) fail("has a query or a fragment");
  result.host = boost::algorithm::to_lower_copy(std::string(url.host_address()));
  if (result.host.empty()) fail("names no host");
  result.port =
      url.has_port() && !url.port().empty() ? std::string(url.port()) : (result.tls ? "443" : "80");
  std::string_view path{url.encoded_path().data(), url.encoded_path().size()};
  // The parser takes any digits for a port, and what is no digit for a path.
  const bool has_path_only = path.empty() || path.front() == '/';
  if (!has_path_only || result.port.size() > 5 || std::stoul(result.port) - 1 >= 65535) {
    fail("has no usable port");
  }
  const auto drop_slashes = [&] {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  };
  drop_slashes();
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {  // copied from where one request goes
    if (path.ends_with(to_string(target))) path.remove_suffix(to_string(target).size());
  }
  for (drop_slashes(); path.ends_with("/v1"); drop_slashes()) path.remove_suffix(3);
  result.prefix = path;
  return result;
}

std::string host_in_url(const std::string& host) {
  return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

bool is_loopback(std::string_view host) {
  if (const auto v4 = boost::urls::parse_ipv4_address({host.data(), host.size()})) {
    return v4->is_loopback();
  }
  if (const auto v6 = boost::urls::parse_ipv6_address({host.data(), host.size()})) {
    return v6->is_loopback();
  }
  return host == "localhost";
}

bool base_url::in_the_clear() const {
  return !tls && !is_loopback(host);
}

std::string base_url::authority() const {
  const std::string shown = host_in_url(host);
  return port == (tls ? "443" : "80") ? shown : shown + ":" + port;
}

std::string base_url::origin() const {
  return (tls ? "https://" : "http://") + authority();
}

}  // namespace sluice
