#include "notify/message.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ctime>

#include "base/printable.hpp"
#include "base/refuse.hpp"
#include "http/base_url.hpp"
#include "json/object.hpp"
#include "json/text.hpp"
#include "notify/signature.hpp"
#include "sluice/error.hpp"

namespace sluice::notify {
namespace {

constexpr std::size_t longest_text = 2000;  // bytes; WeCom takes 2048
constexpr std::size_t shown_answer = 200;
constexpr std::array<std::chrono::seconds, 3> pauses{
    std::chrono::seconds{1}, std::chrono::seconds{3}, std::chrono::seconds{8}};

// The address of a webhook must be used unchanged. A # at its end makes base_url do that.
base_url parsed(const std::string& url) {
  return base_url::parse(url + "#");
}

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string text_for_chat(const run_end& end) {
  const std::string text =
      fmt::format("sluice: {} (exit status {})", end.sentence, end.exit_status);
  return json_quote(utf8_prefix(text, longest_text));
}

std::string standard_body(const run_end& end, std::int64_t unix_time) {
  std::string jobs;
  for (const auto& totals : end.jobs) {
    if (!jobs.empty()) jobs += ',';
    jobs += json_compact(totals);
  }
  return fmt::format(
      R"({{"type":"run.{}","timestamp":"{:%Y-%m-%dT%H:%M:%SZ}","data":{{"run":{},"status":"{}",)"
      R"("exit_status":{},"text":{},"jobs":[{}]}}}})",
      end.status, fmt::gmtime(static_cast<std::time_t>(unix_time)), json_quote(end.run), end.status,
      end.exit_status, json_quote(end.sentence), jobs);
}

// The status code in the answer of a chat robot; empty: none.
std::string_view code_of(webhook_form form, const json_object& answer) {
  switch (form) {
    case webhook_form::feishu:
      return answer.has("code") ? answer.value("code") : answer.value("StatusCode");
    case webhook_form::dingtalk:
    case webhook_form::wecom:
      return answer.value("errcode");
    case webhook_form::standard:
    case webhook_form::slack:
      break;
  }
  return {};
}

}  // namespace

void check_webhook(webhook_form form, const std::string& url, const std::string& secret,
                   std::string_view flag) {
  constexpr std::string_view example = "write it like https://hooks.example/sluice";
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    refuse(fmt::format("{}: the address has no https:// in front; {}", flag, example));
  }
  if (url.find('#') != std::string::npos) {
    refuse(fmt::format("{}: the address has a #, which is never sent; leave it and the rest out",
                       flag));
  }
  try {
    parsed(url);
  } catch (const fatal_error&) {
    refuse(fmt::format("{}: this is not an address; {}", flag, example));
  }
  if (form == webhook_form::standard && !secret.empty() && !standard_key(secret)) {
    refuse(
        fmt::format("the secret of {} is not base64, as Standard Webhooks wants it; make one with "
                    "'echo whsec_$(openssl rand -base64 24)'",
                    flag));
  }
}

message compose(webhook_form form, const std::string& url, const std::string& secret,
                const run_end& end, double unix_now) {
  const auto seconds = static_cast<std::int64_t>(std::floor(unix_now));
  message made{url, {}, {}};
  switch (form) {
    case webhook_form::standard: {
      made.body = standard_body(end, seconds);
      const std::string id = "msg_" + end.run;
      made.headers = {{"webhook-id", id}, {"webhook-timestamp", std::to_string(seconds)}};
      if (const auto key = standard_key(secret)) {
        made.headers.emplace_back("webhook-signature",
                                  standard_signature(*key, id, seconds, made.body));
      }
      break;
    }
    case webhook_form::feishu:
      made.body =
          fmt::format(R"({{"msg_type":"text","content":{{"text":{}}}{}}})", text_for_chat(end),
                      secret.empty() ? std::string()
                                     : fmt::format(R"(,"timestamp":"{}","sign":"{}")", seconds,
                                                   feishu_signature(secret, seconds)));
      break;
    case webhook_form::dingtalk: {
      made.body =
          fmt::format(R"({{"msgtype":"text","text":{{"content":{}}}}})", text_for_chat(end));
      if (secret.empty()) break;
      const std::int64_t ms = seconds * 1000;
      made.url +=
          fmt::format("{}timestamp={}&sign={}", url.find('?') == std::string::npos ? '?' : '&', ms,
                      percent_encoded(dingtalk_signature(secret, ms)));
      break;
    }
    case webhook_form::wecom:
      made.body =
          fmt::format(R"({{"msgtype":"text","text":{{"content":{}}}}})", text_for_chat(end));
      break;
    case webhook_form::slack:
      made.body = fmt::format(R"({{"text":{}}})", text_for_chat(end));
      break;
  }
  return made;
}

verdict judge(webhook_form form, int http_status, std::string_view body) {
  using enum verdict::kind;
  const std::string words =
      body.empty() ? std::string()
                   : ": " + printable_text(std::string(utf8_prefix(body, shown_answer)));
  if (http_status < 200 || http_status >= 300) {
    const bool passing = http_status == 408 || http_status == 429 || http_status >= 500;
    return {passing ? try_again : refused, fmt::format("HTTP {}{}", http_status, words)};
  }
  const std::string text(body);
  const auto answer = json_object::parse(text);
  const std::string_view code = code_of(form, answer);
  if (!code.empty() && code != "0") return {refused, fmt::format("code {}{}", code, words)};
  return {};
}

std::optional<std::chrono::seconds> pause_after(unsigned tries) {
  if (tries == 0 || tries > pauses.size()) return std::nullopt;
  return pauses[tries - 1];
}

std::string shown_host(const std::string& url) {
  return parsed(url).origin();
}

}  // namespace sluice::notify
