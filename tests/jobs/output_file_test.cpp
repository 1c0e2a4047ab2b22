#include "jobs/output_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "sluice/error.hpp"
#include "support/faulty_files.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

file_system& disk() {
  static const auto files = system_files();
  return *files;
}

using testing::HasSubstr;

struct line_seen {
  std::string text;
  std::uint64_t end;
  bool whole;
  friend bool operator==(const line_seen&, const line_seen&) = default;
};

bool is_nobodys(std::string_view) {
  return false;
}

std::vector<line_seen> lines_of(const output_file& file) {
  std::vector<line_seen> all;
  file.for_each_line([&](std::string_view text, std::uint64_t end, bool whole) {
    all.push_back({std::string(text), end, whole});
  });
  return all;
}

void append(output_file& file, std::string lines) {
  file.append(lines);
  EXPECT_EQ(lines, "");
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const fatal_error& thrown) {
    return thrown.what();
  }
  return {};
}

TEST(output_file, keeps_what_fits_on_a_full_disk_in_whole_lines) {
  const test::temp_dir dir;
  std::string lines = "one\ntwo\nthree\nfour\n";
  const pid_t child = ::fork();
  // In a separate process, because its files may not grow beyond 10 bytes.
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{10, 10};
    ::setrlimit(RLIMIT_FSIZE, &small);
    output_file file(disk(), dir / "x");
    file.create();
    try {
      file.append(lines);
    } catch (const fatal_error& thrown) {
      const bool right = thrown.why() == fatal_error::kind::cannot_write &&
                         lines == "three\nfour\n" && file.size() == 8;
      ::_exit(right ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(dir.read("x"), "one\ntwo\n");
}

TEST(output_file, appends_nothing_to_half_a_line_that_cannot_be_cut_off) {
  const test::temp_dir dir;
  test::faulty_files faulty;
  output_file file(faulty, dir / "x");
  file.create();
  append(file, "one\n");
  faulty.fault = [](std::string_view what, const std::string&) {
    return what == "append" || what == "truncate" ? test::faulty_files::broken()
                                                  : std::error_code();
  };
  std::string lines = "two\n";
  EXPECT_THAT(refusal([&] { file.append(lines); }), HasSubstr(dir / "x"));
  ASSERT_EQ(dir.read("x"), "one\ntw");
  faulty.fault = [](std::string_view what, const std::string&) {
    return what == "truncate" ? test::faulty_files::broken() : std::error_code();
  };
  EXPECT_THAT(refusal([&] { file.append(lines); }), HasSubstr(dir / "x"));
  EXPECT_EQ(dir.read("x"), "one\ntw");
  faulty.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  file.append(lines);
  EXPECT_EQ(dir.read("x"), "one\ntwo\n");
  EXPECT_EQ(file.size(), 8U);
}

TEST(output_file, is_made_appended_to_and_read_again) {
  const test::temp_dir dir;
  output_file file(disk(), dir / "x");
  EXPECT_FALSE(file.open_existing());
  EXPECT_FALSE(dir.has("x"));
  file.create();
  EXPECT_EQ(file.size(), 0U);
  append(file, "one\ntwo\n");
  append(file, "three\n");
  file.sync();
  EXPECT_EQ(file.size(), 14U);
  EXPECT_EQ(dir.read("x"), "one\ntwo\nthree\n");
  EXPECT_EQ(lines_of(file),
            (std::vector<line_seen>{{"one", 4, true}, {"two", 8, true}, {"three", 14, true}}));
}

TEST(output_file, does_not_make_what_is_there_already) {
  const test::temp_dir dir;
  dir.write("x", "old\n");
  output_file file(disk(), dir / "x");
  EXPECT_THAT(refusal([&] { file.create(); }), HasSubstr(dir / "x"));
  EXPECT_EQ(dir.read("x"), "old\n");
}

TEST(output_file, tells_a_torn_tail_and_can_cut_it_off) {
  const test::temp_dir dir;
  dir.write("x", "one\n\ntw");
  output_file file(disk(), dir / "x");
  ASSERT_TRUE(file.open_existing());
  EXPECT_EQ(lines_of(file),
            (std::vector<line_seen>{{"one", 4, true}, {"", 5, true}, {"tw", 7, false}}));
  file.truncate(5);
  append(file, "three\n");
  EXPECT_EQ(dir.read("x"), "one\n\nthree\n");
}

TEST(output_file, reads_lines_longer_than_its_buffer) {
  const test::temp_dir dir;
  const std::string large(3'000'000, 'x');
  std::string content;
  for (int i = 0; i < 200; ++i)
    content += std::string(static_cast<std::size_t>(i * 97), 'y') + "\n";
  content += large + "\n" + "end\n" + large;
  dir.write("x", content);
  output_file file(disk(), dir / "x");
  file.open_existing();
  std::string again;
  std::uint64_t last_end = 0;
  file.for_each_line([&](std::string_view text, std::uint64_t end, bool whole) {
    again += text;
    if (whole) again += '\n';
    EXPECT_EQ(end, again.size());
    EXPECT_GT(end, last_end);
    last_end = end;
  });
  EXPECT_EQ(again, content);
}

TEST(output_file, rewrites_itself_and_keeps_only_what_is_wanted) {
  const test::temp_dir dir;
  dir.write("x", "a\nb\nc\nd");
  output_file file(disk(), dir / "x");
  file.open_existing();
  file.rewrite([](std::string_view line, std::uint64_t) { return line != "b"; });
  EXPECT_EQ(dir.read("x"), "a\nc\nd\n");
  EXPECT_EQ(file.size(), 6U);
  append(file, "e\n");
  EXPECT_EQ(dir.read("x"), "a\nc\nd\ne\n");
  file.rewrite([](std::string_view, std::uint64_t) { return false; });
  EXPECT_EQ(dir.read("x"), "");
  EXPECT_EQ(dir.entries(), 1U) << "nothing is left beside it";
}

std::uint64_t number_in(std::string_view line) {
  return std::stoull(std::string(line.substr(0, line.find(' '))));
}

std::string shuffled_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    lines += std::to_string(i * 37 % count / 2) + " " + std::to_string(i) +
             std::string(static_cast<std::size_t>(i % 7) * 100, '.') + "\n";
  }
  return lines;
}

std::vector<std::string> texts_of(const output_file& file) {
  std::vector<std::string> all;
  for (const auto& line : lines_of(file)) all.push_back(line.text);
  return all;
}

TEST(output_file, sorts_itself_as_a_stable_sort_in_memory_would_with_any_memory) {
  constexpr int count = 1000;
  for (const std::size_t in_memory : {1U, 3U, 100U, 999U, 1000U, 5000U}) {
    const test::temp_dir dir;
    output_file file(disk(), dir / "x");
    file.create();
    append(file, shuffled_lines(count));
    auto expected = texts_of(file);
    std::stable_sort(expected.begin(), expected.end(),
                     [](const auto& a, const auto& b) { return number_in(a) < number_in(b); });
    file.sort(number_in, in_memory);
    EXPECT_EQ(texts_of(file), expected) << in_memory;
    EXPECT_TRUE(file.is_intact());
    append(file, "7 more\n");
    EXPECT_EQ(texts_of(file).back(), "7 more");
    EXPECT_EQ(dir.entries(), 1U) << "nothing is left beside it";
  }
}

TEST(output_file, sorts_lines_that_are_longer_than_what_is_copied_at_a_time) {
  const test::temp_dir dir;
  output_file file(disk(), dir / "x");
  file.create();
  append(file, "3 c\n2 " + std::string(20'000'000, 'b') + "\n1 a\n");
  file.sort(number_in, 1);
  const auto sorted = texts_of(file);
  ASSERT_EQ(sorted.size(), 3U);
  EXPECT_EQ(sorted[0], "1 a");
  EXPECT_EQ(sorted[1].size(), 20'000'002U);
  EXPECT_EQ(sorted[2], "3 c");
}

TEST(output_file, sorting_what_is_in_order_touches_no_file) {
  const test::temp_dir dir;
  test::faulty_files files;
  output_file file(files, dir / "x");
  file.create();
  append(file, "1 a\n1 b\n2 c\n");
  files.fault = [](std::string_view what, const std::string&) {
    ADD_FAILURE() << what;
    return std::error_code();
  };
  file.sort(number_in, 2);
}

// The disk is full from operation `at` on, for each operation of the sort.
TEST(output_file, a_sort_that_fails_at_any_operation_leaves_the_file_whole_and_can_be_done_again) {
  bool failed = true;
  for (int at = 0; failed; ++at) {
    const test::temp_dir dir;
    test::faulty_files files;
    output_file file(files, dir / "x");
    file.create();
    append(file, shuffled_lines(20));
    const std::string unsorted = dir.read("x");
    int operation = 0;
    failed = false;
    std::string met;
    files.fault = [&](std::string_view what, const std::string& path) {
      if (operation++ < at) return std::error_code();
      if (what == "remove" && path.ends_with("x.sluice-new")) return std::error_code();
      if (what == "sync folder") return std::error_code();  // the file is sorted by then
      met += std::string(what) + " " + path.substr(path.rfind('/') + 1) + "; ";
      failed = true;
      return std::make_error_code(std::errc::no_space_on_device);
    };
    std::string words;
    try {
      file.sort(number_in, 6);
    } catch (const fatal_error& thrown) {
      EXPECT_EQ(thrown.why(), fatal_error::kind::cannot_write);
      words = thrown.what();
    }
    SCOPED_TRACE(met);
    if (!failed) {
      EXPECT_GT(at, 5) << "runs are written, then the file, its sync and its new name";
      EXPECT_EQ(words, "");
      break;
    }
    EXPECT_THAT(words, HasSubstr("x: cannot be brought into job order (No space left on device)"));
    EXPECT_THAT(words, HasSubstr("make room for another 1 MB, and run the same command again"));
    EXPECT_EQ(dir.read("x"), unsorted);
    EXPECT_EQ(file.size(), unsorted.size());
    files.fault = [](std::string_view, const std::string&) { return std::error_code(); };
    file.sort(number_in, 6);
    EXPECT_EQ(dir.read("x").size(), unsorted.size());
    EXPECT_NE(dir.read("x"), unsorted);
    line_order::remove_stale(files, dir / "x");
    EXPECT_EQ(dir.entries(), 1U);
  }
}

TEST(output_file, sorts_in_memory_that_does_not_grow_with_the_file) {
  const test::temp_dir dir;
  constexpr std::uint64_t count = 400'000;
  {
    std::ofstream written(dir / "x", std::ios::binary);
    const std::string filling(400, '.');
    for (std::uint64_t i = 0; i < count; ++i) {
      written << i * 7919 % count << ' ' << filling << '\n';
    }
  }
  const pid_t child = ::fork();
  if (child == 0) {
    output_file file(disk(), dir / "x");
    file.open_existing();
    rusage before{};
    ::getrusage(RUSAGE_SELF, &before);
    file.sort(number_in, 100'000);
    rusage after{};
    ::getrusage(RUSAGE_SELF, &after);
    constexpr long most_kib = 64 << 10;  // the file has 160 MB
    ::_exit(after.ru_maxrss - before.ru_maxrss < most_kib ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(status, 0);
#endif
  std::uint64_t number = 0;
  output_file file(disk(), dir / "x");
  ASSERT_TRUE(file.open_existing());
  file.for_each_line([&](std::string_view line, std::uint64_t, bool) {
    EXPECT_EQ(number_in(line), number);
    ++number;
  });
  EXPECT_EQ(number, count);
}

TEST(output_file, a_link_to_a_file_that_is_sorted_stays_a_link) {
  const test::temp_dir dir;
  dir.write("behind", "2 b\n1 a\n");
  std::filesystem::create_symlink("behind", dir / "x");
  output_file file(disk(), dir / "x");
  ASSERT_TRUE(file.open_existing());
  file.sort(number_in);
  EXPECT_TRUE(std::filesystem::is_symlink(dir / "x"));
  EXPECT_EQ(dir.read("behind"), "1 a\n2 b\n");
  output_file other(disk(), dir / "x");
  EXPECT_THAT(refusal([&] { other.open_existing(); }), HasSubstr("another run, "))
      << "the lock is on the new file";
}

TEST(output_file, rewriting_tells_where_lines_end) {
  const test::temp_dir dir;
  dir.write("x", "aa\nb\n");
  output_file file(disk(), dir / "x");
  file.open_existing();
  std::vector<std::uint64_t> ends;
  file.rewrite([&](std::string_view, std::uint64_t end) {
    ends.push_back(end);
    return true;
  });
  EXPECT_EQ(ends, (std::vector<std::uint64_t>{3, 5}));
}

// The message that another process gets when it opens or creates the file.
std::string told_to_another_process(const std::string& path, bool to_make = false) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    std::string told = "opened";
    try {
      output_file file(disk(), path);
      if (to_make) {
        file.create();
      } else if (!file.open_existing()) {
        told = "missing";
      }
    } catch (const fatal_error& fault) {
      told = fault.what();
    }
    if (::write(ends[1], told.data(), told.size()) < 0) ::_exit(1);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string told(4096, '\0');
  const ssize_t n = ::read(ends[0], told.data(), told.size());
  told.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return told;
}

TEST(output_file, knows_when_others_have_touched_it_and_puts_its_lines_aside) {
  const struct {
    const char* what;
    void (*harm)(const test::temp_dir& dir);
    const char* lines_are_in;
    const char* lines;
  } rows[] = {
      {"removed", [](const test::temp_dir& dir) { std::filesystem::remove(dir / "x"); },
       "x.rescued-1", "one\ntwo\nthree\nfour\n"},
      {"replaced",
       [](const test::temp_dir& dir) {
         dir.write("y", "theirs\n");
         std::filesystem::rename(dir / "y", dir / "x");
       },
       "x.rescued-1", "one\ntwo\nthree\nfour\n"},
      {"moved",
       [](const test::temp_dir& dir) { std::filesystem::rename(dir / "x", dir / "elsewhere"); },
       "elsewhere", "one\ntwo\nthree\nfour\n"},
      {"cut short, and what was in mind is all that is known",
       [](const test::temp_dir& dir) { std::filesystem::resize_file(dir / "x", 2); }, "x.rescued-1",
       "two\nthree\nfour\n"},
      {"written to",
       [](const test::temp_dir& dir) { std::ofstream(dir / "x", std::ios::app) << "theirs\n"; },
       "x.rescued-1", "two\nthree\nfour\n"},
  };
  for (const auto& row : rows) {
    const test::temp_dir dir;
    output_file file(disk(), dir / "x");
    file.create();
    append(file, "one\n");
    EXPECT_TRUE(file.is_intact()) << row.what;
    append(file, "two\nthree\n");
    row.harm(dir);
    EXPECT_FALSE(file.is_intact()) << row.what;
    const std::string theirs = dir.has("x") ? dir.read("x") : "";
    std::string unwritten = "four\n";
    EXPECT_THAT(file.rescue(unwritten), HasSubstr(dir / row.lines_are_in)) << row.what;
    EXPECT_EQ(unwritten, "");
    EXPECT_EQ(dir.read(row.lines_are_in), row.lines) << row.what;
    EXPECT_EQ(dir.has("x") ? dir.read("x") : "", theirs) << row.what;
  }
}

TEST(output_file, gives_back_what_a_run_that_was_killed_kept) {
  const test::temp_dir dir;
  const std::string path = dir / "out.jsonl";
  {
    output_file killed(disk(), path);
    killed.create();
    killed.keep_room(std::uint64_t{1} << 20);
    append(killed, "{}\n");
  }
  const auto blocks = [&] {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_blocks * 512;
  };
  if (blocks() < 1 << 20) GTEST_SKIP() << "this file system sets no room aside";
  output_file next(disk(), path);
  ASSERT_TRUE(next.open_existing());
  next.give_back_earlier_room();
  EXPECT_LT(blocks(), 1 << 16);
  EXPECT_EQ(next.size(), 3U);
}

TEST(output_file, room_that_was_set_aside_takes_lines_on_a_full_disk_and_says_so) {
  const test::temp_dir dir;
  test::faulty_files faulty;
  output_file file(faulty, dir / "x");
  file.create();
  file.keep_room(std::uint64_t{1} << 20);
  append(file, "one\n");
  EXPECT_EQ(std::filesystem::file_size(dir / "x"), 4U);
  faulty.fault = [](std::string_view what, const std::string&) {
    return what == "reserve" ? std::make_error_code(std::errc::no_space_on_device)
                             : std::error_code();
  };
  append(file, "two\n");  // the reserved space is still large enough
  std::string lines(std::size_t{600} << 10, 'x');
  lines += '\n';
  EXPECT_THAT(refusal([&] { file.append(lines); }), HasSubstr("No space left"));
  EXPECT_EQ(lines, "") << "they are written all the same";
  faulty.fault = [](std::string_view, const std::string&) { return std::error_code(); };
  append(file, "three\n");
  file.give_back_room();
  EXPECT_EQ(std::filesystem::file_size(dir / "x"), file.size());
}

TEST(output_file, is_locked_and_says_by_whom) {
  const test::temp_dir dir;
  const std::string path = dir.write("x", "a\nb\n");
  {
    output_file file(disk(), path);
    file.open_existing();
    EXPECT_THAT(told_to_another_process(path), HasSubstr("process " + std::to_string(::getpid())));
    file.rewrite([](std::string_view line, std::uint64_t) { return line == "a"; });
    EXPECT_THAT(told_to_another_process(path), HasSubstr(std::to_string(::getpid())))
        << "the new file is locked too";
  }
  EXPECT_EQ(told_to_another_process(path), "opened");
  output_file fresh(disk(), dir / "y");
  fresh.create();
  EXPECT_THAT(told_to_another_process(dir / "y"), HasSubstr(std::to_string(::getpid())));
}

TEST(output_file, that_another_run_makes_meanwhile_says_so) {
  const test::temp_dir dir;
  {
    output_file file(disk(), dir / "x");
    file.create();
    EXPECT_THAT(told_to_another_process(dir / "x", true),
                HasSubstr("process " + std::to_string(::getpid())));
  }
  EXPECT_THAT(told_to_another_process(dir / "x", true), HasSubstr("another run has made it"));
  EXPECT_EQ(told_to_another_process(dir / "y", true), "opened");
}

TEST(output_file, refuses_what_is_no_file) {
  const test::temp_dir dir;
  output_file directory(disk(), dir.path());
  EXPECT_THAT(refusal([&] { directory.open_existing(); }), HasSubstr(dir.path()));
  output_file nowhere(disk(), dir / "none/x");
  EXPECT_FALSE(nowhere.open_existing());
  EXPECT_THAT(refusal([&] { nowhere.create(); }), HasSubstr("none/x"));
}

TEST(output_file, a_full_disk_is_told_as_lost_results) {
  output_file file(disk(), "/dev/full");
  try {
    replace_file(disk(), "/dev/full/x", "content", is_nobodys);
    ADD_FAILURE();
  } catch (const fatal_error& fault) {
    EXPECT_EQ(fault.why(), fatal_error::kind::cannot_write);
  }
}

// The system reports bytes that it could not write once, and takes them for written after that.
TEST(output_file, that_could_not_be_synced_is_not_synced_before_its_lines_are_in_a_new_file) {
  const test::temp_dir dir;
  test::faulty_files files;
  output_file file(files, dir / "x");
  file.create();
  std::string lines = "1 a\n2 b\n";
  file.append(lines);
  bool failed = false;
  files.fault = [&](std::string_view what, const std::string&) {
    return what == "sync" && !std::exchange(failed, true) ? test::faulty_files::broken()
                                                          : std::error_code();
  };
  EXPECT_FALSE(file.lacks_sync());
  EXPECT_THROW(file.sync(), fatal_error);
  EXPECT_THROW(file.sync(), fatal_error);
  lines = "3 c\n";
  file.append(lines);
  EXPECT_THROW(file.sync(), fatal_error);
  EXPECT_TRUE(file.lacks_sync());
  file.rewrite([](std::string_view, std::uint64_t) { return true; });
  EXPECT_FALSE(file.lacks_sync());
  file.sync();
  EXPECT_EQ(dir.read("x"), "1 a\n2 b\n3 c\n");
}

TEST(output_file, that_keeps_its_unsynced_bytes_is_synced_by_the_next_call) {
  const test::temp_dir dir;
  test::faulty_files files;
  files.keeps_unsynced = true;
  output_file file(files, dir / "x");
  file.create();
  std::string lines = "1 a\n";
  file.append(lines);
  int syncs = 0;
  std::string_view faulty = "sync";
  files.fault = [&](std::string_view what, const std::string&) {
    if (what == "sync") ++syncs;
    if (what != faulty) return std::error_code();
    faulty = "";
    return test::faulty_files::broken();
  };
  EXPECT_THROW(file.sync(), fatal_error);
  EXPECT_FALSE(file.lacks_sync());
  file.sync();
  EXPECT_EQ(syncs, 2);
  file.sync();
  EXPECT_EQ(syncs, 2) << "everything is synced";
  faulty = "sync folder";
  EXPECT_THROW(file.rewrite([](std::string_view, std::uint64_t) { return true; }), fatal_error);
  EXPECT_FALSE(file.lacks_sync());
  file.sync();
  EXPECT_EQ(syncs, 4) << "the new file, and again because of its folder";
}

TEST(output_file, that_was_replaced_in_a_folder_that_could_not_be_synced_is_not_synced) {
  const test::temp_dir dir;
  dir.write("x", "1 a\n2 b\n");
  test::faulty_files files;
  output_file file(files, dir / "x");
  ASSERT_TRUE(file.open_existing());
  bool failed = false;
  files.fault = [&](std::string_view what, const std::string&) {
    return what == "sync folder" && !std::exchange(failed, true) ? test::faulty_files::broken()
                                                                 : std::error_code();
  };
  const auto keep_all = [](std::string_view, std::uint64_t) { return true; };
  EXPECT_THROW(file.rewrite(keep_all), fatal_error);
  EXPECT_THROW(file.sync(), fatal_error);
  file.rewrite(keep_all);
  file.sync();
}

TEST(small_files, are_replaced_whole) {
  const test::temp_dir dir;
  EXPECT_EQ(read_file(disk(), dir / "x"), std::nullopt);
  replace_file(disk(), dir / "x", "one", is_nobodys);
  replace_file(disk(), dir / "x", "a longer two", is_nobodys);
  EXPECT_EQ(read_file(disk(), dir / "x"), "a longer two");
  replace_file(disk(), dir / "x", "", is_nobodys);
  EXPECT_EQ(read_file(disk(), dir / "x"), "");
  EXPECT_EQ(dir.entries(), 1U);
}

}  // namespace
}  // namespace sluice
