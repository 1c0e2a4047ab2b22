#include "http/base_url.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/scheme.hpp>
#include <boost/url/url_view.hpp>
#include <string>

#include "base/translated_error.hpp"
#include "sluice/error.hpp"

namespace sluice {

namespace {

constexpr std::string_view first_version = "/v1";

// Path suffixes of endpoint URLs, without the version before them.
constexpr std::array<std::string_view, 6> tails{"/chat/completions", "/completions", "/embeddings",
                                                "/responses",        "/messages",    "/models"};

// Path suffixes after which the endpoint follows without a version:
// https://ai.google.dev/gemini-api/docs/openai (/v1beta/openai),
// https://developers.cloudflare.com/ai-gateway/chat-completion/ (/v1/ACCOUNT/GATEWAY/compat),
// https://docs.github.com/en/rest/models/inference (/inference, /orgs/ORG/inference),
// https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai (/endpoints/openapi),
// https://developers.llamaindex.ai/python/examples/llm/databricks (/serving-endpoints).
constexpr std::array<std::string_view, 5> unversioned{"/openai", "/compat", "/inference",
                                                      "/openapi", "/serving-endpoints"};

// Hosts whose API has no version:
// https://docs.spring.io/spring-ai/reference/2.1-SNAPSHOT/integrations/models/openai-compatible/perplexity.html,
// https://github.com/fcjbispo/fbpyutils-ai/blob/main/specs/ai_llm_endpoints.md (GitHub's first
// one).
constexpr std::array<std::string_view, 2> hosts_without_version{"api.perplexity.ai",
                                                                "models.inference.ai.azure.com"};

// "v1", "v3", "v1beta", "v1beta1", "v2.1"
bool is_version(std::string_view segment) {
  if (!segment.starts_with('v')) return false;
  segment.remove_prefix(1);
  const auto drop_digits = [&] {
    const std::size_t digits = segment.find_first_not_of("0123456789");
    const bool any = digits != 0 && !segment.empty();
    segment.remove_prefix(std::min(digits, segment.size()));
    return any;
  };
  if (!drop_digits()) return false;
  for (const std::string_view word : {".", "alpha", "beta", "preview"}) {
    if (!segment.starts_with(word)) continue;
    segment.remove_prefix(word.size());
    drop_digits();
    break;
  }
  return segment.empty();
}

// The position of the slash before the last version in a path; npos: no version.
std::size_t last_version(std::string_view path) {
  for (std::size_t slash = path.rfind('/'); slash != std::string_view::npos;
       slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1)) {
    const std::string_view segment = path.substr(slash + 1);
    if (is_version(segment.substr(0, segment.find('/')))) return slash;
  }
  return std::string_view::npos;
}

// The position of a path suffix that replaces a version; npos: none.
std::size_t unversioned_end(std::string_view path) {
  for (const std::string_view end : unversioned) {
    if (path.ends_with(end)) return path.size() - end.size();
  }
  // An Azure deployment: /openai/deployments/NAME.
  constexpr std::string_view deployments = "/openai/deployments/";
  const std::size_t found = path.rfind(deployments);
  const bool is_last = found != std::string_view::npos &&
                       path.find('/', found + deployments.size()) == std::string_view::npos;
  return is_last ? found : std::string_view::npos;
}

void drop_slashes(std::string_view& path) {
  while (path.ends_with('/')) path.remove_suffix(1);
}

// The path without the suffix of an endpoint URL.
std::string_view without_tail(std::string_view path) {
  drop_slashes(path);
  for (const std::string_view tail : tails) {
    if (!path.ends_with(tail)) continue;
    path.remove_suffix(tail.size());
    break;
  }
  drop_slashes(path);
  return path;
}

}  // namespace

std::string shown_address(std::string_view url) {
  std::string shown(url.substr(0, url.find_first_of("?#")));
  const std::size_t at = shown.rfind('@');
  if (at == std::string::npos) return shown;
  const std::size_t scheme = shown.find("://");
  const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  return begin < at ? shown.replace(begin, at - begin, "...") : shown;
}

base_url base_url::parse(std::string_view text) {
  const auto fail = [&](const wording& what) {
    refuse(worded("--base-url '{}' {}; write it like https://relay.example/v1", shown_address(text),
                  what));
  };
  const bool is_exact = text.ends_with('#');
  const std::string_view address = text.substr(0, text.size() - (is_exact ? 1 : 0));
  const auto parsed =
      boost::urls::parse_uri(boost::core::string_view(address.data(), address.size()));
  if (!parsed) fail(worded("is not a URL"));
  const boost::urls::url_view& url = *parsed;
  base_url result;
  if (url.scheme_id() == boost::urls::scheme::https) {
    result.tls = true;
  } else if (url.scheme_id() == boost::urls::scheme::http) {
    result.tls = false;
  } else {
    fail(worded("does not begin with http:// or https://"));
  }
  if (url.has_userinfo()) {
    fail(worded("contains a user name, which would be shown in messages; remove it"));
  }
  if (url.has_fragment()) fail(worded("has a fragment (text after #); remove it"));
  if (url.has_query() && !is_exact)
    fail(worded("has a query, which is allowed only if the address ends with #"));
  result.host = boost::algorithm::to_lower_copy(std::string(url.host_address()));
  if (result.host.empty()) fail(worded("has no host"));
  result.port =
      url.has_port() && !url.port().empty() ? std::string(url.port()) : (result.tls ? "443" : "80");
  std::string_view path{url.encoded_path().data(), url.encoded_path().size()};
  // The URL parser accepts any digits as a port, and treats anything else there as a path.
  const bool has_path_only = path.empty() || path.front() == '/';
  if (!has_path_only || result.port.size() > 5 || std::stoul(result.port) - 1 >= 65535) {
    fail(worded("has no valid port (1 to 65535)"));
  }
  if (is_exact) {
    const std::string_view query{url.encoded_query().data(), url.encoded_query().size()};
    result.exact =
        fmt::format("{}{}{}", path.empty() ? "/" : path, url.has_query() ? "?" : "", query);
  }
  result.set_paths(without_tail(path));
  return result;
}

// Sets `endpoints` and `prefix` from the path.
void base_url::set_paths(std::string_view path) {
  const std::string doubled = fmt::format("{0}{0}", first_version);
  while (path.ends_with(doubled)) path.remove_suffix(first_version.size());
  const bool versionless = std::find(hosts_without_version.begin(), hosts_without_version.end(),
                                     host) != hosts_without_version.end();
  const std::size_t end = std::min(last_version(path), unversioned_end(path));
  if (end != std::string_view::npos) {
    endpoints = path;
    prefix = path.substr(0, end);
  } else {
    prefix = path;
    endpoints = prefix;
    if (!versionless || !path.empty()) endpoints += first_version;
  }
}

std::string base_url::target(std::string_view path, bool asks) const {
  if (!asks && !exact.empty()) return exact;
  const bool is_endpoint =
      path.starts_with(first_version) && path.substr(first_version.size()).starts_with('/');
  const std::string& begin = is_endpoint ? endpoints : prefix;
  std::string target;
  target.reserve(begin.size() + path.size());
  return target.append(begin).append(is_endpoint ? path.substr(first_version.size()) : path);
}

std::string base_url::shown(std::string_view path, bool asks) const {
  const std::string whole = origin() + target(path, asks);
  const std::size_t query = whole.find('?');
  return query == std::string::npos ? whole : whole.substr(0, query) + "?...";
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
