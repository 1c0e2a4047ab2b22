#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/temp_dir.hpp"

namespace sluice::test {

/// A private PostgreSQL server, on a free TCP port of this machine and on a socket in its folder.
/// The server ends with this object, or with the process. PostgreSQL refuses to run as root, so for
/// root this class runs it as `postgres` or `nobody`. Clients need the password for TCP
/// connections.
class postgres_server {
 public:
  static constexpr const char* password = "p'w/ 1";
  static constexpr const char* password_in_url = "p%27w%2F%201";

  explicit postgres_server(std::vector<std::string> settings = {})
      : settings_(std::move(settings)) {
    if (::geteuid() == 0) {
      const passwd* user = ::getpwnam("postgres");
      if (user == nullptr) user = ::getpwnam("nobody");
      if (user == nullptr) throw std::runtime_error("no user to run PostgreSQL as");
      uid_ = user->pw_uid;
      gid_ = user->pw_gid;
      if (::chown(dir_.path().c_str(), uid_, gid_) != 0) {
        throw std::runtime_error("cannot give the folder to " + std::string(user->pw_name));
      }
    }
    const std::string pass = dir_.write("password", std::string(password) + "\n");
    std::filesystem::permissions(pass, std::filesystem::perms::owner_read |
                                           std::filesystem::perms::group_read |
                                           std::filesystem::perms::others_read);
    const pid_t made = run({"initdb", "--no-sync", "--username=postgres", "--encoding=UTF8",
                            "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256",
                            "--pwfile=" + pass, "--pgdata=" + data()});
    int status = 0;
    ::waitpid(made, &status, 0);
    if (status != 0) throw std::runtime_error("initdb failed: " + dir_.read("log"));
    port_ = free_port();
    start();
  }
  postgres_server(const postgres_server&) = delete;
  postgres_server& operator=(const postgres_server&) = delete;
  ~postgres_server() {
    if (running_ > 0) kill();
  }

  /// The server that all tests of this binary share.
  static postgres_server& shared() {
    static postgres_server one;
    return one;
  }

  std::uint16_t port() const noexcept { return port_; }
  /// The URL for a connection over TCP.
  std::string url(const std::string& database = "postgres") const {
    return "postgresql://postgres:" + std::string(password_in_url) +
           "@127.0.0.1:" + std::to_string(port_) + "/" + database;
  }
  /// The URL for a connection over the socket in its folder.
  std::string socket_url(const std::string& database = "postgres") const {
    return "postgresql:///" + database + "?user=postgres&host=" + dir_.path() +
           "&port=" + std::to_string(port_);
  }

  void start() {
    std::vector<std::string> command{"postgres",
                                     "-D",
                                     data(),
                                     "-p",
                                     std::to_string(port_),
                                     "-c",
                                     "listen_addresses=127.0.0.1",
                                     "-c",
                                     "unix_socket_directories=" + dir_.path()};
    for (const std::string& setting : settings_) {
      command.emplace_back("-c");
      command.push_back(setting);
    }
    running_ = run(command);
    wait_until([this] {
      if (::waitpid(running_, nullptr, WNOHANG) != 0) {
        throw std::runtime_error("PostgreSQL did not start: " + dir_.read("log"));
      }
      const auto lines = dir_.lines("data/postmaster.pid");
      return lines.size() >= 8 && lines[0] == std::to_string(running_) &&
             lines[7].starts_with("ready");
    });
  }
  /// Ends the server as a power failure would: without a checkpoint, and without a message to its
  /// clients.
  void kill() { end(SIGQUIT); }
  /// Ends the server as an administrator would: the server rolls back open transactions.
  void stop() { end(SIGINT); }

 private:
  std::string data() const { return dir_ / "data"; }

  static std::string program(const std::string& name) {
    std::optional<std::filesystem::path> newest;
    std::error_code error;
    for (const auto& each : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
      const auto path = each.path() / "bin" / name;
      if (std::filesystem::exists(path) && (!newest || path > *newest)) newest = path;
    }
    return newest ? newest->string() : name;
  }

  pid_t run(std::vector<std::string> command) const {
    const std::string path = program(command.front());
    std::vector<char*> words;
    for (std::string& word : command) words.push_back(word.data());
    words.push_back(nullptr);
    const std::string log = dir_ / "log";
    const std::string folder = dir_.path();
    const pid_t child = ::fork();
    if (child != 0) return child;
    if (uid_ != 0 && (::setgid(gid_) != 0 || ::setuid(uid_) != 0)) ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    const int to = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    ::dup2(to, 1);
    ::dup2(to, 2);
    if (::chdir(folder.c_str()) == 0) ::execvp(path.c_str(), words.data());
    ::_exit(127);
  }

  void end(int signal) {
    ::kill(running_, signal);
    ::waitpid(running_, nullptr, 0);
    running_ = 0;
  }

  static void wait_until(const std::function<bool()>& done) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes{1};
    while (!done()) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("no PostgreSQL");
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
  }

  static std::uint16_t free_port() {
    const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool bound = ::bind(probe, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                       ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(probe);
    if (!bound) throw std::runtime_error("no free port");
    return ntohs(address.sin_port);
  }

  std::vector<std::string> settings_;
  temp_dir dir_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::uint16_t port_ = 0;
  pid_t running_ = 0;
};

}  // namespace sluice::test
