// Tests of file locks between open files of this process, and between processes.
#include "files/locks.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "files/file_system.hpp"
#include "support/temp_dir.hpp"

namespace sluice {
namespace {

using state = file::lock_result::state;

// Another process. It runs a task, reports whether the task succeeded, and lives until this object
// is destroyed.
class other_process {
 public:
  explicit other_process(const std::function<bool()>& task) {
    std::array<int, 2> done{};
    std::array<int, 2> end{};
    if (::pipe2(done.data(), O_CLOEXEC) != 0 || ::pipe2(end.data(), O_CLOEXEC) != 0) return;
    id_ = ::fork();
    char byte = 0;
    if (id_ == 0) {
      ::close(end[1]);
      byte = task() ? 1 : 0;
      if (::write(done[1], &byte, 1) == 1) (void)!::read(end[0], &byte, 1);
      ::_exit(0);
    }
    ::close(done[1]);
    ::close(end[0]);
    end_ = end[1];
    did_ = ::read(done[0], &byte, 1) == 1 && byte == 1;
    ::close(done[0]);
  }
  other_process(const other_process&) = delete;
  other_process& operator=(const other_process&) = delete;
  ~other_process() {
    ::close(end_);
    ::waitpid(id_, nullptr, 0);
  }
  pid_t id() const noexcept { return id_; }
  bool did() const noexcept { return did_; }

 private:
  pid_t id_ = -1;
  int end_ = -1;
  bool did_ = false;
};

bool lock_as_a_process(const std::string& path) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return ::fcntl(::open(path.c_str(), O_RDWR | O_CLOEXEC), F_SETLK, &whole) == 0;
}

struct locks_test : testing::Test {
  test::temp_dir dir;
  std::string path = dir / "x.output.jsonl";
  std::unique_ptr<file_system> files = system_files();

  locks_test() { dir.write("x.output.jsonl", "a\n"); }
  std::unique_ptr<file> open(file_system::open_as how = file_system::open_as::existing) {
    std::error_code error;
    auto opened = files->open(path, how, error);
    EXPECT_FALSE(error) << error.message();
    return opened;
  }
};

TEST_F(locks_test, two_open_files_of_one_process_exclude_each_other) {
  const auto one = open();
  const auto other = open();
  EXPECT_EQ(one->lock().is, state::ours);
  EXPECT_EQ(one->lock().is, state::ours) << "its own lock does not conflict";
  const auto refused = other->lock();
  EXPECT_EQ(refused.is, state::held);
  EXPECT_EQ(refused.holder, ::getpid());
}

TEST_F(locks_test, closing_another_open_file_does_not_release_a_lock) {
  const auto one = open();
  EXPECT_EQ(one->lock().is, state::ours);
  open(file_system::open_as::read_only).reset();
  EXPECT_EQ(open()->lock().is, state::held);
}

TEST_F(locks_test, closing_the_file_releases_the_lock) {
  auto one = open();
  EXPECT_EQ(one->lock().is, state::ours);
  one.reset();
  EXPECT_EQ(open()->lock().is, state::ours);
}

TEST_F(locks_test, names_the_other_process_that_holds_the_lock) {
  const other_process holder([&] {
    static const auto kept = open();
    return kept->lock().is == state::ours;
  });
  EXPECT_TRUE(holder.did());
  const auto refused = open()->lock();
  EXPECT_EQ(refused.is, state::held);
  EXPECT_EQ(refused.holder, holder.id());
}

// Earlier versions of this program used process locks.
TEST_F(locks_test, process_locks_and_open_file_locks_exclude_each_other) {
  {
    const other_process holder([&] { return lock_as_a_process(path); });
    EXPECT_TRUE(holder.did());
    const auto refused = open()->lock();
    EXPECT_EQ(refused.is, state::held);
    EXPECT_EQ(refused.holder, holder.id());
  }
  const auto mine = open();
  EXPECT_EQ(mine->lock().is, state::ours);
  EXPECT_FALSE(other_process([&] { return lock_as_a_process(path); }).did());
}

// An open file that no process has while it is in a socket, like the files of a process that ends.
class file_in_a_socket {
 public:
  explicit file_in_a_socket(int sent) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_.data()), 0);
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &sent, sizeof(int));
    EXPECT_EQ(::sendmsg(ends_[0], &message, 0), 1);
    ::close(sent);
  }
  file_in_a_socket(const file_in_a_socket&) = delete;
  file_in_a_socket& operator=(const file_in_a_socket&) = delete;
  ~file_in_a_socket() { close(); }
  void close() {
    for (int& end : ends_) {
      if (end >= 0) ::close(end);
      end = -1;
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

struct hidden_holder_test : locks_test {
  int lockable() const { return ::open(path.c_str(), O_RDWR | O_CLOEXEC); }
  int locked() const {
    const int file = lockable();
    EXPECT_TRUE(lock_whole(file));
    return file;
  }
};

TEST_F(hidden_holder_test, a_holder_that_is_ending_is_waited_for) {
  file_in_a_socket holder(locked());
  const int file = lockable();
  ASSERT_FALSE(holder_of(file));
  std::optional<lock_holder> who;
  int pauses = 0;
  EXPECT_TRUE(lock_whole(file, who, [&] {
    if (++pauses == 3) holder.close();
  }));
  EXPECT_EQ(pauses, 3);
  ::close(file);
}

TEST_F(hidden_holder_test, a_holder_that_stays_is_not_waited_for_without_end) {
  const file_in_a_socket holder(locked());
  const int file = lockable();
  std::optional<lock_holder> who;
  int pauses = 0;
  EXPECT_FALSE(lock_whole(file, who, [&] { ++pauses; }));
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(who);
  EXPECT_EQ(pauses, 20);
  ::close(file);
  const auto refused = open()->lock();
  EXPECT_EQ(refused.is, state::held);
  EXPECT_EQ(refused.holder, 0);
}

TEST_F(hidden_holder_test, a_visible_holder_is_not_waited_for) {
  const int other = locked();
  const int file = lockable();
  std::optional<lock_holder> who;
  EXPECT_FALSE(lock_whole(file, who, [] { ADD_FAILURE() << "it must not wait"; }));
  ASSERT_TRUE(who);
  EXPECT_EQ(who->process, ::getpid());
  ::close(file);
  ::close(other);
}

TEST_F(locks_test, ranges_are_locked_independently) {
  const int one = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  const int other = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_TRUE(lock_bytes(one, 0, 1));
  EXPECT_FALSE(lock_bytes(other, 0, 1));
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_TRUE(lock_bytes(other, 1, 1));
  EXPECT_FALSE(lock_bytes(one, 0, 0)) << "length 0 reaches to the end, even if the file grows";
  EXPECT_TRUE(is_locked_elsewhere(one, 1, 5));
  EXPECT_FALSE(is_locked_elsewhere(one, 2, 5));
  EXPECT_FALSE(is_locked_elsewhere(one, 0, 1)) << "its own lock does not count";
  unlock_bytes(one, 0, 1);
  EXPECT_TRUE(lock_bytes(other, 0, 1));
  ASSERT_TRUE(find_lock_holder(one));
  EXPECT_EQ(find_lock_holder(one)->process, ::getpid());
  EXPECT_FALSE(find_lock_holder(one, 7));
  EXPECT_TRUE(lock_bytes(other, 5, 3));
  EXPECT_TRUE(find_lock_holder(one, 7));
  EXPECT_FALSE(find_lock_holder(one, 8));
  EXPECT_TRUE(share_bytes(one, 20, 0));
  EXPECT_TRUE(share_bytes(other, 20, 1)) << "shared";
  EXPECT_FALSE(lock_bytes(other, 20, 1));
  EXPECT_TRUE(find_lock_holder(one, 1'000'000)) << "it reaches to the end of the file";
  ::close(one);
  ::close(other);
}

// A child process has all open files of its parent, so each of the two can be the holder.
TEST_F(locks_test, another_holder_is_named_before_this_process) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_TRUE(lock_bytes(file, 0, 1));
  const other_process child([] { return true; });
  ASSERT_TRUE(child.did());
  const auto holder = find_lock_holder(file);
  ASSERT_TRUE(holder);
  EXPECT_NE(holder->process, ::getpid());
  EXPECT_FALSE(holder->name.empty());
  ::close(file);
}

}  // namespace
}  // namespace sluice
