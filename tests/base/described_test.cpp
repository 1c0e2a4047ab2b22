#include <gtest/gtest.h>

#include <string>

#include "sluice/error.hpp"

namespace sluice {
namespace {

std::string sentence(int status, const std::string& message, const std::string& model) {
  failure why;
  why.http_status = status;
  why.message = message;
  return described(why, model);
}

TEST(described, adds_the_status_and_the_model_that_the_message_lacks) {
  EXPECT_EQ(sentence(401, "Invalid token", "gpt-4o"), "HTTP 401 for gpt-4o: Invalid token");
  EXPECT_EQ(sentence(404, "no model gpt-4o", "gpt-4o"), "HTTP 404: no model gpt-4o");
  EXPECT_EQ(sentence(502, "HTTP 502 Bad Gateway: down", "gpt-4o"),
            "HTTP 502 Bad Gateway: down (gpt-4o)");
  EXPECT_EQ(sentence(502, "HTTP 502 Bad Gateway", ""), "HTTP 502 Bad Gateway");
  EXPECT_EQ(sentence(429, "slow down", ""), "HTTP 429: slow down");
}

TEST(described, is_the_message_alone_where_no_status_arrived) {
  EXPECT_EQ(sentence(0, "cannot connect", "gpt-4o"), "cannot connect");
}

}  // namespace
}  // namespace sluice
