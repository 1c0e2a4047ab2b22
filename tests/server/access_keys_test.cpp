#include "server/access_keys.hpp"

#include <gtest/gtest.h>

#include <string>

#include "sluice/error.hpp"

namespace sluice::server {
namespace {

constexpr const char* alice_key = "sk-alice-0123456789";
constexpr const char* bob_key = "sk-bob-0123456789abc";

std::string two_keys() {
  return std::string("[[key]]\nname = \"alice\"\nkey = \"") + alice_key +
         "\"\nbudget = \"12.50\"\nmodels = [\"gpt-4o-mini\", \"gpt-4o\"]\n" +
         "[[key]]\nname = \"bob\"\nkey = \"" + bob_key + "\"\n";
}

// The message with which the text is refused.
std::string refusal(const std::string& toml) {
  try {
    const access_keys keys(toml, "keys.toml");
  } catch (const fatal_error& fault) {
    return fault.what();
  }
  ADD_FAILURE() << "accepted: " << toml;
  return {};
}

TEST(AccessKeys, AKeyFindsItsClient) {
  const access_keys keys(two_keys(), "keys.toml");
  const client_key* alice = keys.find(std::string("Bearer ") + alice_key);
  ASSERT_NE(alice, nullptr);
  EXPECT_EQ(alice->name, "alice");
  EXPECT_EQ(alice->budget, usd::parse("12.50"));
  EXPECT_TRUE(alice->may_use("gpt-4o"));
  EXPECT_FALSE(alice->may_use("gpt-5"));
  const client_key* bob = keys.find(std::string("bearer  ") + bob_key);
  ASSERT_NE(bob, nullptr);
  EXPECT_EQ(bob->name, "bob");
  EXPECT_EQ(bob->budget, std::nullopt);
  EXPECT_TRUE(bob->may_use("any-model"));
}

TEST(AccessKeys, AnythingElseFindsNobody) {
  const access_keys keys(two_keys(), "keys.toml");
  for (const std::string& header :
       {std::string(), std::string("Bearer "), std::string("Bearer wrong"), std::string(alice_key),
        std::string("Basic ") + alice_key, std::string("Bearer ") + alice_key + "x",
        std::string("Bearer sk-alice-012345678"), std::string("Bearer ") + alice_key + " "}) {
    EXPECT_EQ(keys.find(header), nullptr) << header;
  }
}

TEST(AccessKeys, WithoutKeysEveryoneIsTheSameClient) {
  const access_keys keys;
  const client_key* anyone = keys.find("");
  ASSERT_NE(anyone, nullptr);
  EXPECT_EQ(anyone->name, "");
  EXPECT_EQ(keys.find("Bearer whatever"), anyone);
  EXPECT_EQ(keys.named(""), anyone);
}

TEST(AccessKeys, AClientThatWasRemovedIsNotFoundByName) {
  const access_keys keys(two_keys(), "keys.toml");
  ASSERT_NE(keys.named("bob"), nullptr);
  EXPECT_EQ(keys.named("carol"), nullptr);
  EXPECT_EQ(keys.named(""), nullptr);
}

TEST(AccessKeys, EachFaultOfTheFileIsOneSentenceThatNamesThePlace) {
  const std::string head = "[[key]]\nname = \"a\"\n";
  const std::string good = head + "key = \"0123456789abcdef\"\n";
  EXPECT_EQ(refusal(""), "keys.toml: it has no key; add a [[key]] table with a name and a key");
  EXPECT_EQ(refusal("key = \"x\"\n"), refusal(""));
  EXPECT_EQ(refusal(head), "keys.toml: key 1: give 'key' as a text in quotes");
  EXPECT_EQ(refusal("[[key]]\nkey = \"0123456789abcdef\"\n"),
            "keys.toml: key 1: give 'name' as a text in quotes");
  EXPECT_NE(refusal(head + "key = \"short\"\n").find("fewer than 16 characters"),
            std::string::npos);
  EXPECT_NE(refusal(good + "rpms = 3\n").find("unknown setting 'rpms'"), std::string::npos);
  EXPECT_NE(refusal(good + "budget = 5\n").find("give 'budget' as US dollars"), std::string::npos);
  EXPECT_NE(refusal(good + "budget = \"0\"\n").find("give 'budget'"), std::string::npos);
  EXPECT_NE(refusal(good + "models = []\n").find("give 'models' as a list"), std::string::npos);
  EXPECT_NE(refusal(good + "models = [1]\n").find("give 'models' as a list"), std::string::npos);
  EXPECT_NE(refusal(good + good).find("another key has the name 'a'"), std::string::npos);
  EXPECT_NE(refusal(good + "[[key]]\nname = \"b\"\nkey = \"0123456789abcdef\"\n")
                .find("the same key as that of 'a'"),
            std::string::npos);
  EXPECT_NE(refusal("other = 1\n" + good).find("unknown setting 'other'"), std::string::npos);
}

TEST(AccessKeys, NoSentenceShowsAKey) {
  const std::string secret = "sk-very-secret-0123456789";
  for (const std::string& text :
       {"[[key]]\nname = \"a\"\nkey = \"" + secret + "\" junk\n",
        "[[key]]\nname = \"a\"\nkey = \"" + secret + "\nx",
        "[[key]]\nname = \"a\"\nkey = [\"" + secret + "\"]\n",
        "[[key]]\nname = \"a\"\nkey = \"" + secret + "\"\nmodels = 3\n"}) {
    EXPECT_EQ(refusal(text).find("secret"), std::string::npos) << refusal(text);
  }
}

}  // namespace
}  // namespace sluice::server
