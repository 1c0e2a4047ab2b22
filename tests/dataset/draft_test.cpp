#include "dataset/draft.hpp"

#include <gmock/gmock.h>

#include <optional>

#include "dataset/reading.hpp"
#include "support/faulty_files.hpp"

namespace sluice::dataset {
namespace {

using testing::HasSubstr;

bool is_ours(std::string_view begin) {
  return begin.starts_with("ours");
}

TEST(drafts, take_their_name_when_they_are_complete) {
  const test::temp_dir dir;
  const auto files = system_files();
  dir.write("out", "ours, old");
  draft made(*files, dir / "out", is_ours);
  made.append(std::string(600'000, 'x'));
  EXPECT_EQ(dir.read("out"), "ours, old");
  made.append("end");
  made.publish();
  EXPECT_EQ(dir.read("out"), std::string(600'000, 'x') + "end");
  EXPECT_EQ(dir.entries(), 1U);
}

TEST(drafts, leave_nothing_where_they_are_given_up) {
  const test::temp_dir dir;
  const auto files = system_files();
  { draft(*files, dir / "out", is_ours).append("x"); }
  EXPECT_EQ(dir.entries(), 0U);
}

TEST(drafts, remove_what_a_crash_left_only_where_it_is_theirs) {
  const test::temp_dir dir;
  const auto files = system_files();
  dir.write("out.sluice-new", "ours, torn");
  draft(*files, dir / "out", is_ours).publish();
  EXPECT_FALSE(dir.has("out.sluice-new"));
  dir.write("out.sluice-new", "foreign");
  draft(*files, dir / "out", is_ours).publish();
  EXPECT_EQ(dir.read("out.sluice-new"), "foreign");
}

TEST(drafts, are_written_one_at_a_time) {
  const test::temp_dir dir;
  const auto files = system_files();
  draft first(*files, dir / "out", is_ours);
  first.append("ours, first" + std::string(600'000, 'x'));
  EXPECT_THAT(refusal_of([&] { draft(*files, dir / "out", is_ours); }),
              HasSubstr("another process is writing it"));
  first.publish();
  draft(*files, dir / "out", is_ours).publish();
  EXPECT_EQ(dir.entries(), 1U);
}

TEST(drafts, take_no_name_that_another_file_has_got) {
  const test::temp_dir dir;
  const auto files = system_files();
  draft made(*files, dir / "out", is_ours);
  (void)files->remove(dir / "out.sluice-new");
  dir.write("out.sluice-new", "foreign");
  EXPECT_THAT(refusal_of([&] { made.publish(); }), HasSubstr("cannot be written"));
  EXPECT_FALSE(dir.has("out"));
}

TEST(drafts, are_refused_where_there_is_no_folder) {
  const test::temp_dir dir;
  const auto files = system_files();
  EXPECT_THAT(refusal_of([&] { draft(*files, dir / "none/out", is_ours); }),
              HasSubstr("cannot be created (No such file or directory)"));
}

TEST(drafts, compare_themselves_with_the_file_that_is_there) {
  const test::temp_dir dir;
  const auto files = system_files();
  const std::string content(700'000, 'y');
  const auto equals = [&](const std::string& written) {
    draft made(*files, dir / "out", is_ours);
    made.append(written);
    return made.equals_target();
  };
  EXPECT_FALSE(equals(content));
  dir.write("out", content);
  EXPECT_TRUE(equals(content));
  EXPECT_FALSE(equals(content + "y"));
  EXPECT_FALSE(equals(content.substr(1) + "z"));
}

TEST(drafts, keep_the_old_file_at_any_fault) {
  for (const char* broken : {"append", "sync", "rename"}) {
    const test::temp_dir dir;
    test::faulty_files files;
    dir.write("out", "old");
    files.fault = [&](std::string_view what, const std::string&) {
      return what == broken ? test::faulty_files::broken() : std::error_code();
    };
    EXPECT_THAT(refusal_of([&] {
                  draft made(files, dir / "out", is_ours);
                  made.append("new");
                  made.publish();
                }),
                HasSubstr("cannot be written (Input/output error)"))
        << broken;
    EXPECT_EQ(dir.read("out"), "old") << broken;
    EXPECT_EQ(dir.entries(), 1U) << broken;
  }
}

TEST(replaceable_files, are_absent_or_empty_or_ours) {
  const test::temp_dir dir;
  const auto files = system_files();
  const auto check = [&](const char* name) {
    return refusal_of([&] { require_replaceable(*files, dir / name, is_ours); });
  };
  dir.write("empty", "");
  dir.write("own", "ours");
  dir.write("foreign", "foreign");
  EXPECT_EQ(check("absent"), "");
  EXPECT_EQ(check("empty"), "");
  EXPECT_EQ(check("own"), "");
  EXPECT_THAT(check("foreign"), HasSubstr("is there already, and not as this command writes it"));
  EXPECT_THAT(check(""), HasSubstr("is not replaced"));
}

}  // namespace
}  // namespace sluice::dataset
