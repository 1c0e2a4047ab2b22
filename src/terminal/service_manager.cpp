#include "terminal/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace sluice::cli {
namespace {

// The address of a socket, from its path or from its abstract name after an @; empty: it is
// neither.
std::string socket_address(std::string_view name) {
  sockaddr_un address{};
  const bool usable = name.size() > 1 && name.size() < sizeof address.sun_path &&
                      (name.front() == '/' || name.front() == '@');
  if (!usable) return {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  const bool abstract = name.front() == '@';
  if (abstract) address.sun_path[0] = '\0';
  const std::size_t length = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
  return {reinterpret_cast<const char*>(&address), length};
}

std::optional<std::int64_t> number_in(const char* text) {
  if (text == nullptr) return std::nullopt;
  const char* end = text + std::strlen(text);
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text, end, number);
  if (error != std::errc() || stop != end || number <= 0) return std::nullopt;
  return number;
}

}  // namespace

service_manager::service_manager() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  address_ = socket_address(name == nullptr ? "" : name);
  if (address_.empty()) return;
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return;
  interval_ = read_watchdog(std::getenv("WATCHDOG_USEC"), std::getenv("WATCHDOG_PID"), ::getpid());
}

service_manager::~service_manager() {
  if (socket_ >= 0) ::close(socket_);
}

void service_manager::tell(std::string_view state) const {
  if (socket_ < 0) return;
  (void)::sendto(socket_, state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(address_.data()),
                 static_cast<socklen_t>(address_.size()));
}

// The service manager needs the time of the monotonic clock to know which READY=1 belongs to this
// message.
void service_manager::reloading() const {
  if (socket_ < 0) return;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto microseconds = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

void service_manager::show(std::string_view text) const {
  if (socket_ < 0) return;
  std::string line = "STATUS=" + std::string(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  tell(line);
}

std::optional<std::chrono::microseconds> read_watchdog(const char* microseconds, const char* pid,
                                                       long own_pid) {
  const auto patience = number_in(microseconds);
  if (!patience || (pid != nullptr && number_in(pid) != own_pid)) return std::nullopt;
  return std::chrono::microseconds{std::max<std::int64_t>(*patience / 2, 1)};
}

}  // namespace sluice::cli
