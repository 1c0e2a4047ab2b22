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
  EXPECT_EQ(all_of(moved), sent) << "moved elsewhere";
}

TEST(header_fields_test, finds_the_last_value_in_any_case_of_the_name) {
  header_fields fields;
  fields.add("Retry-After", "1");
  fields.add("retry-after-ms", "2");
  fields.add("RETRY-AFTER", "3");
  fields.add("X-Empty", "");
  EXPECT_EQ(fields.last("retry-after"), "3");
  EXPECT_EQ(fields.last("Retry-After-Ms"), "2");
  EXPECT_EQ(fields.last("x-empty"), "") << "it is there";
  EXPECT_EQ(fields.last("retry"), std::nullopt) << "a part of a name";
  EXPECT_EQ(fields.last("retry-after-ms-x"), std::nullopt);
  EXPECT_EQ(header_fields().last(""), std::nullopt);
}

TEST(header_fields_test, the_case_of_letters_alone_does_not_count) {
  EXPECT_TRUE(same_name("x-request-ID", "X-Request-Id"));
  EXPECT_TRUE(same_name("", ""));
  EXPECT_FALSE(same_name("x-request", "x-request-id"));
  EXPECT_FALSE(same_name("x_a", "x-a"));
  EXPECT_FALSE(same_name("x[", "x{")) << "no letters, though a bit apart as those are";
  EXPECT_FALSE(same_name("\xC4", "\xE4")) << "only ASCII has a case";
}

}  // namespace
}  // namespace sluice
