#include "simulator/options.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace sluice::simulator {
namespace {

using namespace std::chrono_literals;

TEST(ProfileOptions, KnowsItsThreeProfiles) {
  EXPECT_FALSE(profile_options("clean").faults.any());
  EXPECT_TRUE(profile_options("faulty").faults.any());
  EXPECT_EQ(profile_options("slow").ttft, 2s);
  EXPECT_EQ(profile_options("clean").rpm, 200);
  EXPECT_THROW(profile_options("fast"), std::invalid_argument);
}

class KeysFile : public testing::Test {
 protected:
  KeysFile()
      : path_(std::filesystem::temp_directory_path() /
              ("simulator_keys_" + std::to_string(::getpid()))) {}
  ~KeysFile() override { std::filesystem::remove(path_); }

  std::vector<key> read(const std::string& text) {
    std::ofstream(path_) << text;
    options defaults;
    defaults.rpm = 77;
    return read_keys(path_, defaults);
  }

  std::filesystem::path path_;
};

TEST_F(KeysFile, GivesEachKeyItsLimitAndBalance) {
  const auto keys = read("# customers\nsk-a\n\nsk-b 10\r\nsk-c 0 0.25\n");
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys[0].secret, "sk-a");
  EXPECT_EQ(keys[0].rpm, 77);
  EXPECT_FALSE(keys[0].balance);
  EXPECT_EQ(keys[1].rpm, 10);
  EXPECT_EQ(keys[2].rpm, 0);
  EXPECT_EQ(keys[2].balance->to_string(), "0.25");
}

TEST_F(KeysFile, MayBeginWithAByteOrderMark) {
  const auto keys = read("\xEF\xBB\xBFsk-a 10\nsk-b\n");
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_EQ(keys[0].secret, "sk-a");
  EXPECT_THROW(read("\xEF\xBB\xBF# none\n"), std::runtime_error);
}

TEST_F(KeysFile, ErrorsNameTheBadLineButNoKey) {
  for (const auto* text :
       {"sk-a\nsk-secret ten\n", "sk-a\nsk-secret 10 lots\n", "sk-a\nsk-secret -1\n",
        "sk-secret\nsk-secret\n", "sk-a\nsk-secret 1 1 1\n"}) {
    try {
      read(text);
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find("sk-secret"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(read("# none\n"), std::runtime_error);
  EXPECT_THROW(read_keys("/nowhere/keys", {}), std::runtime_error);
}

}  // namespace
}  // namespace sluice::simulator
