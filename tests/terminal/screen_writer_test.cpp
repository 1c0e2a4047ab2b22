#include "terminal/screen_writer.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::chrono::minutes patience{1};  // the longest wait for an expected result

// A pipe of one page.
class small_pipe {
 public:
  small_pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    ::fcntl(ends_[1], F_SETPIPE_SZ, 4096);
  }
  small_pipe(const small_pipe&) = delete;
  small_pipe& operator=(const small_pipe&) = delete;
  // Closes only the reading end, so a waiting writer gets EPIPE. The writing end stays open, like
  // standard error.
  ~small_pipe() { ::close(ends_[0]); }

  int writing_end() const { return ends_[1]; }
  void fill() const {
    const std::string page(4096, '.');
    EXPECT_EQ(::write(ends_[1], page.data(), page.size()), 4096);
  }
  // Number of bytes in the pipe.
  int filled() const {
    int bytes = -1;
    ::ioctl(ends_[0], FIONREAD, &bytes);
    return bytes;
  }
  // Reads from the pipe until the result contains the text.
  std::string read_until(const std::string& text) const {
    std::string all;
    std::array<char, 4096> part{};
    while (all.find(text) == std::string::npos) {
      const ssize_t n = ::read(ends_[0], part.data(), part.size());
      if (n <= 0) break;
      all.append(part.data(), static_cast<std::size_t>(n));
    }
    return all;
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(screen_writer, writes_lines_in_their_order) {
  const small_pipe pipe;
  screen_writer writer(pipe.writing_end());
  writer.line("one");
  writer.line("two\nand more");
  EXPECT_TRUE(writer.settle(patience));
  EXPECT_EQ(pipe.read_until("more\n"), "one\ntwo\nand more\n");
}

TEST(screen_writer, nobody_waits_for_a_reader_that_does_not_read) {
  const small_pipe pipe;
  pipe.fill();
  screen_writer writer(pipe.writing_end());
  for (int i = 0; i < 10'000; ++i) writer.line("line " + std::to_string(i));
  EXPECT_FALSE(writer.settle(1ms));
  EXPECT_FALSE(writer.settle_unless_stuck(1min)) << "nothing has moved, so it does not wait";
}

TEST(screen_writer, the_newest_lines_are_kept_whole_and_the_others_counted) {
  const small_pipe pipe;
  pipe.fill();
  screen_writer writer(pipe.writing_end());
  const std::string padding(100, 'x');
  for (int i = 0; i < 10'000; ++i) writer.line(std::to_string(i) + " " + padding);
  writer.line("the summary");
  const std::string all = pipe.read_until("the summary\n").substr(4096);
  EXPECT_TRUE(writer.settle(patience));
  EXPECT_THAT(all, EndsWith("\n9999 " + padding + "\nthe summary\n"));
  EXPECT_THAT(all, HasSubstr(" line(s) are not shown: nobody read them in time\n"));
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    const bool whole =
        line.ends_with(" " + padding) || line.starts_with("sluice: ") || line == "the summary";
    EXPECT_TRUE(whole) << line;
  }
}

TEST(screen_writer, one_long_text_is_kept_whatever_its_size) {
  const small_pipe pipe;
  pipe.fill();
  screen_writer writer(pipe.writing_end());
  writer.line(std::string(1'000'000, 'x') + "end");
  EXPECT_THAT(pipe.read_until("end\n"), HasSubstr(std::string(1'000'000, 'x')));
}

TEST(screen_writer, the_live_line_stands_below_the_lines) {
  const small_pipe pipe;
  screen_writer writer(pipe.writing_end());
  const auto after = [&](const auto& act) {
    act();
    EXPECT_TRUE(writer.settle(patience));
  };
  after([&] { writer.live("1/9 done"); });
  after([&] { writer.line("a line"); });
  after([&] { writer.live("2/9 done"); });
  after([&] { writer.live(""); });
  after([&] { writer.line("the end"); });
  EXPECT_EQ(pipe.read_until("the end\n"),
            "1/9 done\r\x1b[K"
            "a line\n1/9 done\r\x1b[K"
            "2/9 done\r\x1b[K"
            "the end\n");
}

TEST(screen_writer, only_the_newest_live_line_waits) {
  const small_pipe pipe;
  pipe.fill();
  screen_writer writer(pipe.writing_end());
  // The thread waits until it can write this line, perhaps together with a live line.
  writer.line("first");
  for (int i = 0; i < 100; ++i) writer.live(std::to_string(i) + "/100 done");
  writer.line("last");
  const std::string all = pipe.read_until("last\n99/100 done");
  EXPECT_LT(all.find("first\n"), all.find("last\n"));
  EXPECT_LE(std::count(all.begin(), all.end(), '\x1b'), 2);
}

TEST(screen_writer, the_live_line_fits_the_terminal) {
  int ours = -1;
  int theirs = -1;
  winsize size{24, 11, 0, 0};
  ASSERT_EQ(::openpty(&ours, &theirs, nullptr, nullptr, &size), 0);
  {
    screen_writer writer(theirs);
    writer.live("0123456789ABCDEF");
    EXPECT_TRUE(writer.settle(patience));
  }
  std::array<char, 64> text{};
  const ssize_t n = ::read(ours, text.data(), text.size());
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(n)), "0123456789");
  ::close(ours);
  ::close(theirs);
}

TEST(screen_writer, goes_on_where_another_program_has_set_nonblock) {
  const small_pipe pipe;
  pipe.fill();
  ::fcntl(pipe.writing_end(), F_SETFL, O_WRONLY | O_NONBLOCK);
  screen_writer writer(pipe.writing_end());
  writer.line("late");
  EXPECT_FALSE(writer.settle(1ms));
  EXPECT_THAT(pipe.read_until("late\n"), EndsWith("late\n"));
  EXPECT_TRUE(writer.settle(patience));
}

TEST(screen_writer, a_reader_that_is_gone_is_no_trouble) {
  int end = -1;
  {
    const small_pipe pipe;
    end = pipe.writing_end();
  }
  screen_writer writer(end);
  writer.line("to nobody");
  EXPECT_TRUE(writer.settle(patience));
}

// Stands for a thread that the system does not run.
void never_run(const std::function<void()>&) {}

TEST(screen_writer, writes_the_text_even_if_its_thread_never_runs) {
  const small_pipe pipe;
  screen_writer writer(pipe.writing_end(), never_run);
  writer.line("sluice: why it ends");
  writer.line(std::string(3000, 'x'));
  ASSERT_TRUE(writer.settle(1ms));
  EXPECT_EQ(pipe.read_until("x\n"), "sluice: why it ends\n" + std::string(3000, 'x') + "\n");
  writer.line("more");
  ASSERT_TRUE(writer.settle(1ms));
  EXPECT_EQ(pipe.read_until("more\n"), "more\n");
}

TEST(screen_writer, does_not_block_if_its_thread_never_runs) {
  const small_pipe pipe;
  screen_writer writer(pipe.writing_end(), never_run);
  writer.line(std::string(100'000, 'x'));
  EXPECT_FALSE(writer.settle(1ms)) << "the pipe is full after its first page";
  ASSERT_EQ(pipe.filled(), 4096);
  EXPECT_EQ(pipe.read_until("x").size(), 4096U);
  EXPECT_FALSE(writer.settle(1ms));
  ASSERT_EQ(pipe.filled(), 4096) << "it goes on where it was";
}

}  // namespace
}  // namespace sluice::cli
