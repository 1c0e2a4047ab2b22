#include "upstream/relay_inquiry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "http/kept_response.hpp"
#include "openai/error_body.hpp"

namespace sluice {
namespace {

constexpr std::uint64_t largest_answer = std::uint64_t{16} << 20;
constexpr std::size_t longest_words = 300;

// Relays append a request id to their messages, which is of no use to the user.
std::string_view without_id(std::string_view words) {
  return words.substr(0, words.rfind(" (request id: "));
}

}  // namespace

bool relay_answer::is_hopeless() const noexcept {
  using enum exchange_end::how;
  return end == unreachable || end == wrong_server || end == bad_certificate ||
         end == refused_by_proxy || end == timed_out;
}

std::string said(const relay_answer& answer) {
  if (!answer.trouble.empty()) return answer.trouble;
  if (!answer.location.empty() && answer.status >= 300 && answer.status < 400) {
    return fmt::format("{}, a redirect to {}, which is not followed", answer.status,
                       openai::one_line(answer.location, longest_words));
  }
  const auto error = openai::read_error_body(answer.body);
  const bool nothing_there = answer.status == 404 || answer.status == 405;
  const std::string words =
      nothing_there ? std::string() : openai::one_line(without_id(error.message), longest_words);
  const std::string_view page = error.page ? ", a web page" : "";
  if (!words.empty()) return fmt::format("{}{} ({})", answer.status, page, words);
  const bool success = answer.succeeded() && !error.page;
  return fmt::format("{}{}", answer.status, success ? ", without the expected content" : page);
}

relay_inquiry::relay_inquiry(http_client& client, const relay_options& relay, observer* listener)
    : client_(client),
      observer_(listener),
      url_(base_url::parse(relay.base_url)),
      hidden_(relay),
      most_bytes_(std::min(largest_answer, relay.max_response_bytes)) {}

boost::asio::awaitable<relay_answer> relay_inquiry::get(std::string path) {
  kept_response response(most_bytes_);
  http_client::outgoing request;
  request.path = path;
  request.method = http_client::verb::get;
  const exchange_end end = co_await client_.exchange(request, response);
  relay_answer answer;
  answer.status = response.head.status;
  answer.url = url_.shown(path, true);
  answer.location = response.head.fields.last("Location").value_or("");
  answer.body = std::move(response.body);
  if (answer.body.starts_with("\xEF\xBB\xBF")) answer.body.erase(0, 3);
  answer.end = end.end;
  if (response.too_large) {
    answer.trouble = fmt::format("more than {} bytes", most_bytes_);
  } else if (end.end != exchange_end::how::complete) {
    answer.trouble = openai::one_line(end.message, longest_words);
    if (answer.trouble.empty()) answer.trouble = "no answer";
  }
  hidden_.redact(answer.url);
  hidden_.redact(answer.location);
  hidden_.redact(answer.body);
  hidden_.redact(answer.trouble);
  if (observer_ != nullptr && observer_->wants(severity::debug)) {
    const auto sentence = fmt::format(
        "GET {}: {}", answer.url,
        answer.succeeded() ? fmt::format("{}, {} bytes", answer.status, answer.body.size())
                           : said(answer));
    observer_->on_notice({severity::debug, {}, sentence});
  }
  co_return answer;
}

}  // namespace sluice
