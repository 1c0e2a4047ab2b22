#include "views/fitted_line.hpp"

#include <gtest/gtest.h>

#include "base/display_width.hpp"

namespace sluice::cli {
namespace {

fitted_line three_parts() {
  fitted_line line;
  line.add({.text = "12/40 done", .brief = "12/40", .weight = 90});
  line.add({.text = "$0.0001", .weight = 10});
  line.add(
      {.text = "waiting for the limit", .brief = "limit", .weight = 100, .meaning = tone::waiting});
  return line;
}

TEST(fitted_line, what_weighs_least_goes_first) {
  const std::pair<std::size_t, const char*> rows[] = {
      {0, "12/40 done | $0.0001 | waiting for the limit"},
      {44, "12/40 done | $0.0001 | waiting for the limit"},
      {43, "12/40 done | waiting for the limit"},
      {33, "12/40 | waiting for the limit"},
      {28, "12/40 | limit"},
      {13, "12/40 | limit"},
      {12, "limit"},
      {3, "limit"},
  };
  for (const auto& [columns, text] : rows) {
    EXPECT_EQ(three_parts().in({.columns = columns}), text) << columns;
  }
}

TEST(fitted_line, colours_take_no_room) {
  const std::string line = three_parts().in({.columns = 44, .colour = true});
  EXPECT_EQ(line, "12/40 done | $0.0001 | \x1b[33mwaiting for the limit\x1b[0m");
  EXPECT_EQ(display_width(line), 44U);
}

TEST(fitted_line, an_empty_part_is_none) {
  fitted_line line;
  line.add({.text = ""});
  line.add({.text = "a", .before = ", "});
  line.add({.text = "b", .before = ", "});
  EXPECT_EQ(line.in({}), "a, b");
}

}  // namespace
}  // namespace sluice::cli
