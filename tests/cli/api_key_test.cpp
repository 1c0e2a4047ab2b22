#include "cli/settings/api_key.hpp"

#include <gtest/gtest.h>

#include <string>

#include "settings/setting.hpp"

namespace sluice::cli {
namespace {

TEST(api_key, what_a_person_copied_around_it_is_left_out) {
  for (const char* text :
       {"sk-1", " sk-1 ", "\"sk-1\"", "'sk-1'", "Bearer sk-1", "bearer  sk-1", "\"Bearer sk-1\"",
        "Authorization: Bearer sk-1", "OPENAI_API_KEY=sk-1", "export OPENAI_API_KEY=\"sk-1\"",
        "MY_TOKEN = 'sk-1'", "sk-1\r", "\xEF\xBB\xBFsk-1", "Bearer \"sk-1\""}) {
    EXPECT_EQ(key_in(text), "sk-1") << text;
  }
}

TEST(api_key, a_key_that_only_looks_like_more_stays_as_it_is) {
  for (const char* key : {"bearer", "c2stMQ==", "KEYS", "abc=def", "QUJD=", "sk-\"1", "sk 1"}) {
    EXPECT_EQ(key_in(key), key) << "config::check_relays() refuses what cannot be sent";
  }
}

TEST(api_key, a_file_has_it_in_its_first_line) {
  EXPECT_EQ(key_in_file("sk-1\nother\n"), "sk-1");
  EXPECT_EQ(key_in_file("\xEF\xBB\xBFsk-1\r\n"), "sk-1");
  EXPECT_EQ(key_in_file(
                "# of the night\n\nDEBUG=1\nOPENAI_BASE_URL=https://h/v1\nOPENAI_API_KEY='sk-1'\n"),
            "sk-1");
}

std::string refused(const char* content) {
  try {
    return "(taken: " + key_in_file(content) + ")";
  } catch (const bad_setting& thrown) {
    return thrown.what();
  }
}

TEST(api_key, a_file_without_one_is_refused_in_a_sentence) {
  EXPECT_EQ(refused(""), "has no key in its first line; write the key there");
  EXPECT_EQ(refused("\nsk-1\n"), "has no key in its first line; write the key there");
  EXPECT_EQ(refused("# nothing\nsk-1\n"), "has no key in its first line; write the key there");
  EXPECT_EQ(refused("OPENAI_API_KEY=\n"), "has no key in its first line; write the key there");
  EXPECT_EQ(refused("OPENAI_BASE_URL=https://h/v1\n"),
            "sets OPENAI_BASE_URL, and no name with KEY in it; write the key alone into its first "
            "line");
}

}  // namespace
}  // namespace sluice::cli
