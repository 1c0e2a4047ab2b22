#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "async/wait_queue.hpp"

namespace sluice {

/// Finds the addresses of one host. A lookup runs on a thread of its own, shared by all who wait
/// for it, and is left to itself when nobody does any more: the system's resolver cannot be
/// interrupted and may take many seconds. Belongs to the event loop's thread.
class name_lookup {
 public:
  using endpoint = boost::asio::ip::tcp::endpoint;

  /// Appends the addresses of a host; its error as text, empty when there is none. Called on a
  /// thread of its own.
  using resolver = std::function<std::string(const std::string& host, std::uint16_t port,
                                             std::vector<endpoint>& found)>;
  static std::string system_resolver(const std::string& host, std::uint16_t port,
                                     std::vector<endpoint>& found);

  /// `host`: a name or an address; `port`: a number.
  name_lookup(boost::asio::any_io_executor loop, std::string host, const std::string& port,
              resolver resolve = system_resolver);
  ~name_lookup();
  name_lookup(const name_lookup&) = delete;
  name_lookup& operator=(const name_lookup&) = delete;

  /// An address was given: there is nothing to look up.
  bool is_address() const noexcept { return is_address_; }
  /// Wakes `waiting` once a lookup has ended: the one that runs, or a new one.
  void join(wait_queue& waiting);
  void leave(wait_queue& waiting) noexcept { waiters_.remove(&waiting); }

  /// What the last lookup that found any found, the address that served last in front: while the
  /// resolver fails, what it said before still holds.
  std::vector<endpoint> addresses() const;
  /// Why none has been found; empty when there are some.
  const std::string& error() const noexcept { return error_; }
  /// A connection to that address was made.
  void served(const endpoint& address) { served_ = address; }

 private:
  struct link;  // between the object and a thread that may outlive it

  void start();
  void ended(std::vector<endpoint> found, std::string error);

  boost::asio::any_io_executor loop_;
  const std::string host_;
  const std::uint16_t port_;
  const resolver resolve_;
  bool is_address_ = false;
  bool running_ = false;
  std::list<wait_queue*> waiters_;
  std::vector<endpoint> found_;
  std::string error_;
  endpoint served_;
  std::shared_ptr<link> link_;
};

}  // namespace sluice
