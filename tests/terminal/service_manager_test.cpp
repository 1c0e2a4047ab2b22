#include "terminal/service_manager.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "support/temp_dir.hpp"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;

// The socket of a service manager. The name is a path, or an abstract name that begins with an @.
class manager_socket {
 public:
  explicit manager_socket(const std::string& name)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto length = offsetof(sockaddr_un, sun_path) + name.size();
    bound_ = ::bind(socket_, reinterpret_cast<const sockaddr*>(&address),
                    static_cast<socklen_t>(length)) == 0;
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  manager_socket(const manager_socket&) = delete;
  manager_socket& operator=(const manager_socket&) = delete;
  ~manager_socket() {
    ::close(socket_);
    ::unsetenv("NOTIFY_SOCKET");
  }

  bool bound() const { return bound_; }
  // The next datagram; empty if there is none.
  std::string next() const {
    std::array<char, 512> text{};
    const ssize_t n = ::recv(socket_, text.data(), text.size(), 0);
    return n < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(n));
  }

 private:
  int socket_;
  bool bound_ = false;
};

TEST(service_manager, without_a_socket_nothing_happens) {
  ::unsetenv("NOTIFY_SOCKET");
  ::setenv("WATCHDOG_USEC", "1000000", 1);
  const service_manager none;
  none.tell("READY=1");
  EXPECT_FALSE(none.is_there());
  EXPECT_FALSE(none.watchdog_interval());
  ::unsetenv("WATCHDOG_USEC");
}

TEST(service_manager, messages_reach_a_path_and_an_abstract_name) {
  const test::temp_dir dir;
  for (const std::string& name : {dir / "notify", "@sluice-test-" + std::to_string(::getpid())}) {
    const manager_socket manager(name);
    ASSERT_TRUE(manager.bound()) << name;
    const service_manager told;
    EXPECT_TRUE(told.is_there());
    told.tell("READY=1");
    told.show("1/2 done\nEXTRA=1");
    EXPECT_EQ(manager.next(), "READY=1") << name;
    EXPECT_EQ(manager.next(), "STATUS=1/2 done EXTRA=1")
        << "one line, so that no text is a command";
    EXPECT_EQ(manager.next(), "");
  }
}

TEST(service_manager, a_manager_that_takes_nothing_is_not_waited_for) {
  const test::temp_dir dir;
  const manager_socket manager(dir / "notify");
  const service_manager told;
  for (int i = 0; i < 10'000; ++i) told.tell("WATCHDOG=1");  // more than the socket holds
  EXPECT_EQ(manager.next(), "WATCHDOG=1");
}

TEST(service_manager, a_name_that_is_no_socket_is_none) {
  for (const std::string& name :
       {std::string("relative"), std::string("/"), std::string(200, '/')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    EXPECT_FALSE(service_manager().is_there()) << name;
  }
  ::unsetenv("NOTIFY_SOCKET");
}

TEST(service_manager, the_watchdog_is_fed_at_half_of_its_patience) {
  EXPECT_EQ(read_watchdog("30000000", nullptr, 7), 15s);
  EXPECT_EQ(read_watchdog("30000000", "7", 7), 15s);
  EXPECT_EQ(read_watchdog("1", nullptr, 7), 1us);
  EXPECT_FALSE(read_watchdog("30000000", "8", 7)) << "it watches another process";
  EXPECT_FALSE(read_watchdog("30000000", "x", 7));
  for (const char* text : {"", "0", "-5", "5s"}) EXPECT_FALSE(read_watchdog(text, nullptr, 7));
  EXPECT_FALSE(read_watchdog(nullptr, nullptr, 7));
}

}  // namespace
}  // namespace sluice::cli
