#include "notify/signature.hpp"

#include <gtest/gtest.h>

#include <string>

namespace sluice::notify {
namespace {

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    constexpr const char* digits = "0123456789abcdef";
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

TEST(signature, base64_of_rfc_4648) {
  const std::pair<const char*, const char*> rows[] = {
      {"f", "Zg=="},        {"fo", "Zm8="},        {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : rows) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
  for (const char* text : {"", "Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm-v", "Z=9v", "Zm9vZ"}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
}

TEST(signature, hmac_of_rfc_4231) {
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(signature, the_secret_of_standard_webhooks_is_base64_behind_a_prefix) {
  EXPECT_EQ(standard_key("whsec_Zm9v"), "foo");
  EXPECT_EQ(standard_key("Zm9v"), "foo");
  EXPECT_FALSE(standard_key("whsec_"));
  EXPECT_FALSE(standard_key("my secret"));
}

// The example from the specification's own libraries.
TEST(signature, the_example_of_standard_webhooks) {
  const auto key = standard_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  ASSERT_TRUE(key);
  EXPECT_EQ(standard_signature(*key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                               R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

}  // namespace
}  // namespace sluice::notify
