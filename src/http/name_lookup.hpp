#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/wait_queue.hpp"
#include "http/lookup_threads.hpp"
#include "sluice/clock.hpp"

namespace sluice {

/// Finds and caches the addresses of one host. Not thread safe: use it on the event loop's thread.
/// Lookups run on other threads, one at a time for all waiters, and may outlive this object.
///
/// The result of a lookup is valid for `lifetime`. Until `longest` it is still used at once, and a
/// new lookup starts in the background. After that, or if no connection could be made, find() waits
/// for the new lookup. If lookups fail or take too long, the last known addresses are used.
class name_lookup {
 public:
  using endpoint = boost::asio::ip::tcp::endpoint;

  /// Appends the addresses of a host to `found`; returns an error text, empty if it succeeded.
  /// Called on another thread.
  using resolver = std::function<std::string(const std::string& host, std::uint16_t port,
                                             std::vector<endpoint>& found)>;
  /// The error text for a name that does not exist.
  static std::string_view no_such_name() noexcept;
  static std::string system_resolver(const std::string& host, std::uint16_t port,
                                     std::vector<endpoint>& found);

  /// The same as in libcurl (CURLOPT_DNS_CACHE_TIMEOUT,
  /// https://curl.se/libcurl/c/CURLOPT_DNS_CACHE_TIMEOUT.html), since the system's resolver does
  /// not give the TTL of a record.
  static constexpr duration lifetime = std::chrono::seconds{60};
  static constexpr duration longest = 2 * lifetime;
  /// How long find() waits for a lookup before it uses old addresses (RFC 8767, section 5).
  static constexpr duration patience = std::chrono::milliseconds{1800};

  /// `host`: a name or an address; `port`: a number.
  name_lookup(boost::asio::any_io_executor loop, clock& time, std::string host,
              const std::string& port, resolver resolve, std::shared_ptr<lookup_threads> threads);
  ~name_lookup();
  name_lookup(const name_lookup&) = delete;
  name_lookup& operator=(const name_lookup&) = delete;

  /// Starts a lookup if needed, and returns when addresses() may be used. It waits on `line`, so it
  /// also returns when something else wakes `line`.
  boost::asio::awaitable<void> find(wait_queue& line);

  /// The result of the last successful lookup; the address that worked last comes first.
  std::vector<endpoint> addresses() const;
  /// Why there is no address; empty if there is one.
  const std::string& error() const noexcept { return error_; }
  /// Returns whether no lookup has ever found an address, and the last one reported that the name
  /// does not exist.
  bool is_unknown() const noexcept { return error_ == no_such_name(); }
  /// Number of lookups that have ended.
  std::uint64_t answers() const noexcept { return answers_; }
  /// A connection to this address was made.
  void served(const endpoint& address) { served_ = address; }
  /// No connection could be made to the addresses after lookup number `answer`: if it was the last
  /// one, the next find() waits for a new lookup.
  void doubt(std::uint64_t answer) noexcept { doubted_ = doubted_ || answer == answers_; }

 private:
  struct link;  // connects this object with a lookup that may outlive it

  void start();
  void ended(std::vector<endpoint> found, std::string error);

  boost::asio::any_io_executor loop_;
  clock& time_;
  const std::string host_;
  const std::uint16_t port_;
  const resolver resolve_;
  const std::shared_ptr<lookup_threads> threads_;
  bool is_address_ = false;  // the host is an address, so there is no lookup
  bool running_ = false;
  bool doubted_ = false;
  wait_queue waiting_;
  std::vector<endpoint> found_;
  time_point found_at_{};
  std::string error_;
  std::uint64_t answers_ = 0;
  endpoint served_;
  std::shared_ptr<link> link_;
};

}  // namespace sluice
