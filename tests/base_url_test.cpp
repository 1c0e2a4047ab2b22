#include "base_url.hpp"

#include <gmock/gmock.h>

#include "sluice/error.hpp"

namespace sluice {
namespace {

TEST(base_url, takes_every_way_to_write_it) {
  const struct {
    const char* text;
    bool tls;
    const char* host;
    const char* port;
    const char* prefix;
    const char* authority;
  } rows[] = {
      {"https://host", true, "host", "443", "", "host"},
      {"https://host/", true, "host", "443", "", "host"},
      {"https://host/v1", true, "host", "443", "", "host"},
      {"https://host/v1/", true, "host", "443", "", "host"},
      {"https://host/v1//", true, "host", "443", "", "host"},
      {"https://host/prefix/v1", true, "host", "443", "/prefix", "host"},
      {"https://host/prefix", true, "host", "443", "/prefix", "host"},
      {"https://host/a/b/v1/", true, "host", "443", "/a/b", "host"},
      {"https://host/v1/v1", true, "host", "443", "", "host"},
      {"https://host/v1/chat/completions", true, "host", "443", "", "host"},
      {"https://host/prefix/v1/embeddings/", true, "host", "443", "/prefix", "host"},
      {"https://host/apiv1", true, "host", "443", "/apiv1", "host"},
      {"http://host:8080/v1", false, "host", "8080", "", "host:8080"},
      {"http://host:80", false, "host", "80", "", "host"},
      {"https://host:443", true, "host", "443", "", "host"},
      {"https://host:80", true, "host", "80", "", "host:80"},
      {"http://127.0.0.1:1234", false, "127.0.0.1", "1234", "", "127.0.0.1:1234"},
      {"http://[::1]:1234/v1", false, "::1", "1234", "", "[::1]:1234"},
      {"https://host:/v1", true, "host", "443", "", "host"},
      {"HTTPS://host/v1", true, "host", "443", "", "host"},  // schemes know no case (RFC 3986 §3.1)
  };
  for (const auto& row : rows) {
    try {
      const auto url = base_url::parse(row.text);
      EXPECT_EQ(url.tls, row.tls) << row.text;
      EXPECT_EQ(url.host, row.host) << row.text;
      EXPECT_EQ(url.port, row.port) << row.text;
      EXPECT_EQ(url.prefix, row.prefix) << row.text;
      EXPECT_EQ(url.authority(), row.authority) << row.text;
      EXPECT_EQ(url.origin(), std::string(row.tls ? "https://" : "http://") + row.authority)
          << row.text;
    } catch (const fatal_error& fault) {
      ADD_FAILURE() << row.text << ": " << fault.what();
    }
  }
}

TEST(base_url, refuses_the_rest_and_names_the_form) {
  for (const char* text :
       {"", "host", "host/v1", "//host", "ftp://host", "https://", "https:///v1", "https://host:0",
        "https://host:99999", "https://host:port", "https://host?x=1", "https://host#x",
        "https://me@host", "https://me:secret@host/v1", "https://ho st", "https://host/v1?"}) {
    try {
      base_url::parse(text);
      ADD_FAILURE() << text;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::HasSubstr("--base-url")) << text;
      EXPECT_THAT(fault.what(), testing::HasSubstr("https://relay.example/v1")) << text;
    }
  }
}

TEST(base_url, a_refusal_shows_no_secret) {
  for (const char* text : {"https://me:sk-secret@host/v1", "https://sk-secret@host/",
                           "https://host/v1?key=sk-secret", "ftp://u:sk-secret@h?sk-secret"}) {
    try {
      base_url::parse(text);
      ADD_FAILURE() << text;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::Not(testing::HasSubstr("sk-secret"))) << text;
    }
  }
}

TEST(base_url, a_key_is_safe_under_tls_and_within_the_machine) {
  const struct {
    const char* url;
    bool in_the_clear;
  } rows[] = {
      {"https://relay.example/v1", false},
      {"http://relay.example/v1", true},
      {"http://127.0.0.1:8080", false},
      {"http://127.8.9.10", false},
      {"http://[::1]:8080/v1", false},
      {"http://localhost:8080", false},
      {"http://LOCALHOST", false},
      {"http://10.0.0.1", true},
      {"http://128.0.0.1", true},
      {"http://0.0.0.0", true},
      {"http://[::2]", true},
      {"http://127.relay.example", true},
      {"http://localhost.relay.example", true},
      {"http://127.1", true},  // a name, as URLs have it
  };
  for (const auto& row : rows) {
    EXPECT_EQ(base_url::parse(row.url).in_the_clear(), row.in_the_clear) << row.url;
  }
}

}  // namespace
}  // namespace sluice
