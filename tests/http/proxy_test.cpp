#include "http/proxy.hpp"

#include <gmock/gmock.h>

#include <map>
#include <string>

#include "http/tunnel.hpp"
#include "sluice/error.hpp"

namespace sluice {
namespace {

using variables = std::map<std::string, std::string>;

std::string proxy_for(const std::string& relay, const variables& environment) {
  return proxy_from_environment(base_url::parse(relay), [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(proxy, is_parsed_from_a_url) {
  const struct {
    const char* text;
    proxy::protocol kind;
    const char* host;
    const char* port;
    const char* user;
    const char* password;
    const char* shown;
  } rows[] = {
      {"http://p.example:3128", proxy::protocol::http, "p.example", "3128", "", "",
       "http://p.example:3128"},
      {"p.example:3128", proxy::protocol::http, "p.example", "3128", "", "",
       "http://p.example:3128"},
      {"http://p.example", proxy::protocol::http, "p.example", "80", "", "", "http://p.example:80"},
      {"HTTP://u:s%40crt@p.example:1/", proxy::protocol::http, "p.example", "1", "u", "s@crt",
       "http://p.example:1"},
      {"u:secret@p.example:8", proxy::protocol::http, "p.example", "8", "u", "secret",
       "http://p.example:8"},
      {"socks5h://127.0.0.1", proxy::protocol::socks5, "127.0.0.1", "1080", "", "",
       "socks5h://127.0.0.1:1080"},
      {"socks5://u@[::1]:9", proxy::protocol::socks5, "::1", "9", "u", "", "socks5h://[::1]:9"},
  };
  for (const auto& row : rows) {
    const proxy read = proxy::parse(row.text, "HTTPS_PROXY");
    EXPECT_EQ(read.kind, row.kind) << row.text;
    EXPECT_EQ(read.host, row.host) << row.text;
    EXPECT_EQ(read.port, row.port) << row.text;
    EXPECT_EQ(read.user, row.user) << row.text;
    EXPECT_EQ(read.password, row.password) << row.text;
    EXPECT_EQ(read.name(), row.shown) << row.text;
  }
}

TEST(proxy, an_invalid_proxy_is_refused_with_the_variables_name_and_without_the_password) {
  const std::string long_name(256, 'u');
  for (const std::string& text :
       {std::string("https://u:secret@p.example"), std::string("socks4://u:secret@p.example"),
        std::string("http://u:secret@"), std::string("http://u:secret@p.example:0"),
        std::string("http://u:secret@p.example:99999"), std::string("http://u:secret@p .example"),
        "http://" + long_name + ":secret@p.example"}) {
    try {
      proxy::parse(text, "ALL_PROXY");
      ADD_FAILURE() << text;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::StartsWith("ALL_PROXY: ")) << text;
      EXPECT_THAT(fault.what(), testing::Not(testing::HasSubstr("secret"))) << text;
    }
  }
}

TEST(proxy, the_variable_depends_on_the_relays_scheme) {
  const struct {
    const char* why;
    const char* relay;
    variables environment;
    const char* proxy;
  } rows[] = {
      {"nothing is set", "https://relay.example", {}, ""},
      {"by the scheme",
       "https://relay.example",
       {{"HTTPS_PROXY", "a:1"}, {"HTTP_PROXY", "b:1"}},
       "a:1"},
      {"by the other scheme",
       "http://relay.example",
       {{"HTTPS_PROXY", "a:1"}, {"HTTP_PROXY", "b:1"}},
       "b:1"},
      {"only the other scheme's variable", "http://relay.example", {{"HTTPS_PROXY", "a:1"}}, ""},
      {"for all schemes",
       "http://relay.example",
       {{"ALL_PROXY", "c:1"}, {"HTTPS_PROXY", "a:1"}},
       "c:1"},
      {"the scheme's own variable comes before ALL_PROXY",
       "https://relay.example",
       {{"ALL_PROXY", "c:1"}, {"HTTPS_PROXY", "a:1"}},
       "a:1"},
      {"lower case comes first",
       "https://relay.example",
       {{"https_proxy", "d:1"}, {"HTTPS_PROXY", "a:1"}},
       "d:1"},
      {"an empty variable is ignored",
       "https://relay.example",
       {{"https_proxy", ""}, {"HTTPS_PROXY", "a:1"}},
       "a:1"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(proxy_for(row.relay, row.environment), row.proxy) << row.why;
  EXPECT_THROW(proxy_for("https://relay.example", {{"https_proxy", "ftp://x"}}), fatal_error);
}

TEST(proxy, no_proxy_names_hosts_domains_addresses_and_ranges) {
  const struct {
    const char* relay;
    const char* list;
    bool direct;
  } rows[] = {
      {"https://relay.example", "*", true},
      {"https://relay.example", "relay.example", true},
      {"https://relay.example", "RELAY.Example", true},
      {"https://eu.relay.example", "relay.example", true},
      {"https://eu.relay.example", ".relay.example", true},
      {"https://relay.example", ".relay.example", true},
      {"https://myrelay.example", "relay.example", false},
      {"https://relay.example", "other.example, relay.example", true},
      {"https://relay.example", "other.example relay.example", true},
      {"https://relay.example", "other.example,,", false},
      {"https://relay.example:8443", "relay.example:8443", true},
      {"https://relay.example:8443", "relay.example:443", false},
      {"https://relay.example", "relay.example:443", true},
      {"http://127.0.0.1:8080", "127.0.0.1", true},
      {"http://127.0.0.1:8080", "127.0.0.1:8080", true},
      {"http://127.0.0.1:8080", "127.0.0.1:80", false},
      {"http://127.0.0.1:8080", "7.0.0.1", false},
      {"http://10.1.2.3", "10.0.0.0/8", true},
      {"http://11.1.2.3", "10.0.0.0/8", false},
      {"http://10.1.2.3", "10.0.0.0/nonsense", false},
      {"http://[fd00::7]", "fd00::/8", true},
      {"http://[fd00::7]", "fd00::7", true},
      {"http://[fd00::7]", "[fd00::7]", true},
      {"http://[fd00::7]:81", "[fd00::7]:81", true},
      {"http://[fd00::7]:81", "[fd00::7]:82", false},
      {"http://[fd00::7]", "10.0.0.0/8", false},
      {"https://relay.example", "10.0.0.0/8", false},
  };
  for (const auto& row : rows) {
    const auto through = proxy_for(row.relay, {{"ALL_PROXY", "p:1"}, {"NO_PROXY", row.list}});
    EXPECT_EQ(through.empty(), row.direct) << row.relay << " with NO_PROXY=" << row.list;
  }
}

TEST(proxy, credentials_are_sent_in_base64) {
  EXPECT_EQ(basic_credentials(proxy::parse("http://Aladdin:open%20sesame@p:1", "X")),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");  // the example of RFC 7617
}

}  // namespace
}  // namespace sluice
