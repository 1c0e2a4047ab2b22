#include "http/base_url.hpp"

#include <gmock/gmock.h>

#include <initializer_list>

#include "sluice/error.hpp"

namespace sluice {
namespace {

TEST(base_url, accepts_every_usual_form) {
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
      {"https://host/api/v3", true, "host", "443", "/api", "host"},
      {"https://host/apiv1", true, "host", "443", "/apiv1", "host"},
      {"http://host:8080/v1", false, "host", "8080", "", "host:8080"},
      {"http://host:80", false, "host", "80", "", "host"},
      {"https://host:443", true, "host", "443", "", "host"},
      {"https://host:80", true, "host", "80", "", "host:80"},
      {"http://127.0.0.1:1234", false, "127.0.0.1", "1234", "", "127.0.0.1:1234"},
      {"http://[::1]:1234/v1", false, "::1", "1234", "", "[::1]:1234"},
      {"https://host:/v1", true, "host", "443", "", "host"},
      // Schemes are case-insensitive (RFC 3986 §3.1).
      {"HTTPS://host/v1", true, "host", "443", "", "host"},
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

struct sent_to {
  const char* base;
  const char* chat;
};

void expect_chat_at(const sent_to& row) {
  try {
    const auto url = base_url::parse(row.base);
    EXPECT_EQ(url.origin() + url.target("/v1/chat/completions"), row.chat) << row.base;
  } catch (const fatal_error& fault) {
    ADD_FAILURE() << row.base << ": " << fault.what();
  }
}

TEST(base_url, a_request_has_one_v1_or_the_version_in_the_path) {
  for (const sent_to& row : std::initializer_list<sent_to>{
           {"https://host", "https://host/v1/chat/completions"},
           {"https://host/", "https://host/v1/chat/completions"},
           {"https://host/v1", "https://host/v1/chat/completions"},
           {"https://host/v1/v1/v1/", "https://host/v1/chat/completions"},
           {"https://host/prefix", "https://host/prefix/v1/chat/completions"},
           {"https://host/prefix/v1/", "https://host/prefix/v1/chat/completions"},
           {"https://host/v1/prefix", "https://host/v1/prefix/chat/completions"},
           {"https://host/v2", "https://host/v2/chat/completions"},
           {"https://host/api/v3/", "https://host/api/v3/chat/completions"},
           {"https://host/v10", "https://host/v10/chat/completions"},
           {"https://host/v1.0", "https://host/v1.0/chat/completions"},
           {"https://host/v1alpha", "https://host/v1alpha/chat/completions"},
           {"https://host/v1beta2/x", "https://host/v1beta2/x/chat/completions"},
           {"https://host/v2-preview", "https://host/v2-preview/v1/chat/completions"},
           {"https://host/v2ray", "https://host/v2ray/v1/chat/completions"},
           {"https://host/vip", "https://host/vip/v1/chat/completions"},
           {"https://host/v", "https://host/v/v1/chat/completions"},
           {"https://host/openai", "https://host/openai/chat/completions"},
           {"https://host/myopenai", "https://host/myopenai/v1/chat/completions"},
           {"https://host/openai/prefix", "https://host/openai/prefix/v1/chat/completions"},
           {"http://[::1]:8080/api/v3", "http://[::1]:8080/api/v3/chat/completions"},
       }) {
    expect_chat_at(row);
  }
}

// Addresses from the documentation of each vendor.
TEST(base_url, the_documented_address_of_every_vendor_leads_to_its_endpoint) {
  for (const sent_to& row : std::initializer_list<sent_to>{
           {"https://api.anthropic.com/v1/messages",
            "https://api.anthropic.com/v1/chat/completions"},
           {"https://ark.cn-beijing.volces.com/api/v3",
            "https://ark.cn-beijing.volces.com/api/v3/chat/completions"},
           {"https://ark.cn-beijing.volces.com/api/coding/v3",
            "https://ark.cn-beijing.volces.com/api/coding/v3/chat/completions"},
           {"https://open.bigmodel.cn/api/paas/v4/",
            "https://open.bigmodel.cn/api/paas/v4/chat/completions"},
           {"https://api.z.ai/api/coding/paas/v4",
            "https://api.z.ai/api/coding/paas/v4/chat/completions"},
           {"https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
           {"https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi",
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi/"
            "chat/"
            "completions"},
           {"https://dashscope.aliyuncs.com/compatible-mode/v1",
            "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions"},
           {"https://gateway.ai.cloudflare.com/v1/account/gateway/compat",
            "https://gateway.ai.cloudflare.com/v1/account/gateway/compat/chat/completions"},
           {"https://gateway.ai.cloudflare.com/v1/account/gateway/openai",
            "https://gateway.ai.cloudflare.com/v1/account/gateway/openai/chat/completions"},
           {"https://gateway.ai.cloudflare.com/v1/account/gateway/workers-ai/v1",
            "https://gateway.ai.cloudflare.com/v1/account/gateway/workers-ai/v1/chat/completions"},
           {"https://api.cloudflare.com/client/v4/accounts/account/ai/v1",
            "https://api.cloudflare.com/client/v4/accounts/account/ai/v1/chat/completions"},
           {"https://api.fireworks.ai/inference/v1",
            "https://api.fireworks.ai/inference/v1/chat/completions"},
           {"https://api.deepinfra.com/v1/openai",
            "https://api.deepinfra.com/v1/openai/chat/completions"},
           {"https://models.github.ai/inference",
            "https://models.github.ai/inference/chat/completions"},
           {"https://models.github.ai/orgs/acme/inference",
            "https://models.github.ai/orgs/acme/inference/chat/completions"},
           {"https://models.inference.ai.azure.com",
            "https://models.inference.ai.azure.com/chat/completions"},
           {"https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1/chat/completions"},
           {"https://api.perplexity.ai", "https://api.perplexity.ai/chat/completions"},
           {"https://api.perplexity.ai/v1", "https://api.perplexity.ai/v1/chat/completions"},
           {"https://api.cohere.ai/compatibility/v1",
            "https://api.cohere.ai/compatibility/v1/chat/completions"},
           {"https://name.openai.azure.com/openai/v1/",
            "https://name.openai.azure.com/openai/v1/chat/completions"},
           {"https://name.openai.azure.com/openai/deployments/gpt-4o",
            "https://name.openai.azure.com/openai/deployments/gpt-4o/chat/completions"},
           {"https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
            "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions"},
           {"https://work.cloud.databricks.com/serving-endpoints/",
            "https://work.cloud.databricks.com/serving-endpoints/chat/completions"},
           {"https://api.studio.nebius.com/v1",
            "https://api.studio.nebius.com/v1/chat/completions"},
           {"https://api.novita.ai/v3/openai", "https://api.novita.ai/v3/openai/chat/completions"},
           {"https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/chat/completions"},
           {"https://glhf.chat/api/openai/v1", "https://glhf.chat/api/openai/v1/chat/completions"},
           {"https://api.minimax.io/v1", "https://api.minimax.io/v1/chat/completions"},
           {"https://api.moonshot.cn/v1", "https://api.moonshot.cn/v1/chat/completions"},
           {"https://api.siliconflow.cn/v1", "https://api.siliconflow.cn/v1/chat/completions"},
           {"https://qianfan.baidubce.com/v2", "https://qianfan.baidubce.com/v2/chat/completions"},
           {"https://api.hunyuan.cloud.tencent.com/v1",
            "https://api.hunyuan.cloud.tencent.com/v1/chat/completions"},
           {"https://api.stepfun.com/v1", "https://api.stepfun.com/v1/chat/completions"},
           {"https://spark-api-open.xf-yun.com/v2",
            "https://spark-api-open.xf-yun.com/v2/chat/completions"},
           {"https://cloud.infini-ai.com/maas/v1",
            "https://cloud.infini-ai.com/maas/v1/chat/completions"},
           {"https://modelslab.com/api/v6", "https://modelslab.com/api/v6/chat/completions"},
           {"https://api.deepseek.com", "https://api.deepseek.com/v1/chat/completions"},
           {"http://localhost:11434", "http://localhost:11434/v1/chat/completions"},
           {"http://localhost:1234/api/v0", "http://localhost:1234/api/v0/chat/completions"},
       }) {
    expect_chat_at(row);
  }
}

TEST(base_url, the_end_of_an_endpoint_url_is_removed) {
  for (const sent_to& row : std::initializer_list<sent_to>{
           {"https://host/v1/chat/completions", "https://host/v1/chat/completions"},
           {"https://host/v1/chat/completions//", "https://host/v1/chat/completions"},
           {"https://host/v1/completions", "https://host/v1/chat/completions"},
           {"https://host/v1/embeddings", "https://host/v1/chat/completions"},
           {"https://host/v1/responses/", "https://host/v1/chat/completions"},
           {"https://host/v1/models", "https://host/v1/chat/completions"},
           {"https://host/prefix/v1/models/", "https://host/prefix/v1/chat/completions"},
           {"https://host/api/v3/chat/completions", "https://host/api/v3/chat/completions"},
           {"https://host/api/v3/embeddings", "https://host/api/v3/chat/completions"},
           {"https://host/v1beta/openai/chat/completions",
            "https://host/v1beta/openai/chat/completions"},
           {"https://host/compat/chat/completions", "https://host/compat/chat/completions"},
           {"https://host/chat/completions", "https://host/v1/chat/completions"},
           {"https://api.perplexity.ai/chat/completions",
            "https://api.perplexity.ai/chat/completions"},
       }) {
    expect_chat_at(row);
  }
}

TEST(base_url, an_address_that_ends_with_a_number_sign_is_used_exactly) {
  for (const sent_to& row : std::initializer_list<sent_to>{
           {"https://host/chat/completions#", "https://host/chat/completions"},
           {"https://host/run/me/#", "https://host/run/me/"},
           {"https://host/api/v3#", "https://host/api/v3"},
           {"https://host#", "https://host/"},
           {"https://host/d/x/chat/completions?api-version=2024-06-01#",
            "https://host/d/x/chat/completions?api-version=2024-06-01"},
       }) {
    expect_chat_at(row);
  }
  const auto url = base_url::parse("https://host/api/v3/chat/completions?key=sk-secret#");
  EXPECT_EQ(url.target("/v1/embeddings"), "/api/v3/chat/completions?key=sk-secret");
  EXPECT_EQ(url.target("/v1/models", true), "/api/v3/models")
      << "a request that is not a completion";
  EXPECT_EQ(url.target("/api/status", true), "/api/api/status");
  EXPECT_EQ(url.shown("/v1/embeddings"), "https://host/api/v3/chat/completions?...");
}

TEST(base_url, paths_that_are_not_endpoints_get_no_version) {
  const struct {
    const char* base;
    const char* path;
    const char* target;
  } rows[] = {
      {"https://host", "/api/status", "/api/status"},
      {"https://host/v1", "/api/status", "/api/status"},
      {"https://host/prefix/v1", "/api/status", "/prefix/api/status"},
      {"https://host/prefix", "/api/status", "/prefix/api/status"},
      {"https://host/api/v3", "/api/status", "/api/api/status"},
      {"https://host/v1beta/openai", "/api/status", "/api/status"},
      {"https://host/openai", "/api/status", "/api/status"},
      {"https://host/prefix/v1/chat/completions", "/api/status", "/prefix/api/status"},
      {"https://host/v1", "/v1/models", "/v1/models"},
      {"https://host/api/v3", "/v1/models", "/api/v3/models"},
      {"https://host/v1", "/v1beta/models", "/v1beta/models"},
      {"https://host/v1", "/dashboard/billing/usage?a=b", "/dashboard/billing/usage?a=b"},
      {"https://host/api/v3", "/v1/dashboard/billing/usage", "/api/v3/dashboard/billing/usage"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(base_url::parse(row.base).target(row.path, true), row.target) << row.base;
  }
}

TEST(base_url, a_shown_url_has_no_query) {
  const auto url = base_url::parse("http://host:8080/prefix");
  EXPECT_EQ(url.shown("/v1/chat/completions"), "http://host:8080/prefix/v1/chat/completions");
  EXPECT_EQ(url.shown("/api/log?key=sk-secret", true), "http://host:8080/prefix/api/log?...");
}

TEST(base_url, refuses_everything_else_and_gives_an_example) {
  for (const char* text :
       {"", "host", "host/v1", "//host", "ftp://host", "https://", "https:///v1", "https://host:0",
        "https://host:99999", "https://host:port", "https://host?x=1", "https://host#x",
        "https://host##", "https://me@host", "https://me:secret@host/v1", "https://ho st",
        "https://host/v1?"}) {
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
  for (const char* text :
       {"https://me:sk-secret@host/v1", "https://sk-secret@host/", "https://host/v1?key=sk-secret",
        "ftp://u:sk-secret@h?sk-secret", "ftp://host/?key=sk-secret#"}) {
    try {
      base_url::parse(text);
      ADD_FAILURE() << text;
    } catch (const fatal_error& fault) {
      EXPECT_THAT(fault.what(), testing::Not(testing::HasSubstr("sk-secret"))) << text;
    }
  }
}

TEST(base_url, a_key_is_safe_with_tls_and_on_loopback) {
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
      {"http://127.1", true},  // in a URL, this is a name
  };
  for (const auto& row : rows) {
    EXPECT_EQ(base_url::parse(row.url).in_the_clear(), row.in_the_clear) << row.url;
  }
}

}  // namespace
}  // namespace sluice
