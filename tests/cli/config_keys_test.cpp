#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "cli/commands/all_commands.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

TEST(config_keys, of_one_command_do_not_stop_another) {
  const std::vector<std::string> line{"sluice"};
  const auto commands = all_commands(line);
  std::set<std::string> keys;
  for (const auto& one : commands) {
    for (const auto& entry : one.flags->table()) {
      if (entry.in_config) keys.insert(entry.name);
    }
  }
  for (const auto& reader : commands) {
    std::set<std::string> others = keys;
    for (const auto& own : reader.flags->table()) {
      if (own.in_config) others.erase(own.name);
    }
    std::string text;
    for (const auto& key : others) text += key + " = \"x\"\n";
    EXPECT_NO_THROW(reader.flags->apply(config_file{"c.toml", text})) << reader.name;
    EXPECT_THROW(reader.flags->apply(config_file{"c.toml", "nosuch = 1\n"}), fatal_error)
        << reader.name;
  }
}

}  // namespace
}  // namespace sluice::cli
