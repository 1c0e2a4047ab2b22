#include "base/header_fields.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using list = std::vector<std::pair<std::string, std::string>>;

list all_of(const header_fields& fields) {
  list all;
  for (const auto field : fields) all.emplace_back(field.name, field.value);
  return all;
}

TEST(header_fields_test, keeps_order_spelling_and_each_value_of_a_name) {
  const list sent{{"Content-Type", "text/event-stream"},
                  {"set-cookie", "a=1"},
                  {"X-Empty", ""},
                  {"Set-Cookie", "b=2; Path=/"},
                  {"", "no name"},
                  {"X-Bytes", std::string("\0: \r\n\xFF", 6)},
                  {"x-long", std::string(100'000, 'x')}};
  header_fields fields;
  EXPECT_TRUE(fields.empty());
  EXPECT_EQ(all_of(fields), list{});
  for (const auto& [name, value] : sent) fields.add(name, value);
  EXPECT_FALSE(fields.empty());
  EXPECT_EQ(all_of(fields), sent);
  const header_fields moved = std::move(fields);
  EXPECT_EQ(all_of(moved), sent) << "after a move";
}

TEST(header_fields_test, finds_the_last_value_and_ignores_the_case_of_the_name) {
  header_fields fields;
  fields.add("Retry-After", "1");
  fields.add("retry-after-ms", "2");
  fields.add("RETRY-AFTER", "3");
  fields.add("X-Empty", "");
  EXPECT_EQ(fields.last("retry-after"), "3");
  EXPECT_EQ(fields.last("Retry-After-Ms"), "2");
  EXPECT_EQ(fields.last("x-empty"), "") << "the name exists";
  EXPECT_EQ(fields.last("retry"), std::nullopt) << "only part of a name";
  EXPECT_EQ(fields.last("retry-after-ms-x"), std::nullopt);
  EXPECT_EQ(header_fields().last(""), std::nullopt);
}

TEST(header_fields_test, only_the_case_of_letters_is_ignored) {
  EXPECT_TRUE(same_name("x-request-ID", "X-Request-Id"));
  EXPECT_TRUE(same_name("", ""));
  EXPECT_FALSE(same_name("x-request", "x-request-id"));
  EXPECT_FALSE(same_name("x_a", "x-a"));
  EXPECT_FALSE(same_name("x[", "x{")) << "not letters, although they differ in the same bit";
  EXPECT_FALSE(same_name("\xC4", "\xE4")) << "only ASCII letters have a case here";
}

}  // namespace
}  // namespace sluice
