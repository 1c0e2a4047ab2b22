#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_client.hpp"
#include "support/manual_clock.hpp"
#include "upstream/relay_inquiry.hpp"

namespace sluice::test {

/// A relay that answers each GET by its path, and answers unknown paths with 404.
struct asked_site {
  asked_site() {
    options.api_key = "sk-asked-0123456789abcdef";
    client.plan = [this](const exchange_call& call) {
      EXPECT_EQ(call.method, http_client::verb::get);
      EXPECT_EQ(call.path.find(options.api_key), std::string::npos);
      asked.push_back(call.path.substr(0, call.path.find('?')));
      const auto found = answers.find(asked.back());
      return found != answers.end() ? found->second
                                    : refusal_plan(404, "Invalid URL (GET /somewhere)");
    };
  }

  void has(const std::string& path, const std::string& body, int status = 200) {
    exchange_plan planned;
    planned.head.status = status;
    planned.body = {{duration{}, body}};
    answers[path] = planned;
  }

  /// Runs the coroutine to its end and returns its value.
  template <typename Value>
  Value run(boost::asio::awaitable<Value> coroutine) {
    std::optional<Value> result;
    boost::asio::co_spawn(loop, std::move(coroutine), [&](std::exception_ptr fault, Value value) {
      if (fault) std::rethrow_exception(fault);
      result = std::move(value);
    });
    run_virtual(loop, time, [&] { return result.has_value(); });
    return std::move(result.value());
  }

  boost::asio::io_context loop{1};
  manual_clock time;
  fake_client client{time};
  relay_options options;
  std::map<std::string, exchange_plan> answers;
  std::vector<std::string> asked;  ///< requested paths, in order
};

}  // namespace sluice::test
