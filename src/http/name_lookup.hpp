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

/// The addresses of one host. Belongs to the event loop's thread; lookups run on others, one at a
/// time, shared by all who wait for it, and left to itself when the object goes.
///
/// What a lookup found holds for `lifetime`. After that it still serves at once, until `longest`,
/// and a new lookup runs beside it. Later, and when no connection to it could be made, the new
/// lookup is waited for. While lookups fail or take long, the last addresses that were found serve.
class name_lookup {
 public:
  using endpoint = boost::asio::ip::tcp::endpoint;

  /// Appends the addresses of a host; its error as text, empty when there is none. Called on
  /// another thread.
  using resolver = std::function<std::string(const std::string& host, std::uint16_t port,
                                             std::vector<endpoint>& found)>;
  static std::string system_resolver(const std::string& host, std::uint16_t port,
                                     std::vector<endpoint>& found);

  /// The system's resolver tells nothing of a record's own lifetime. This is libcurl's
  /// (CURLOPT_DNS_CACHE_TIMEOUT, https://curl.se/libcurl/c/CURLOPT_DNS_CACHE_TIMEOUT.html).
  static constexpr duration lifetime = std::chrono::seconds{60};
  static constexpr duration longest = 2 * lifetime;
  /// How long a lookup may hold up whoever has old addresses (RFC 8767, section 5).
  static constexpr duration patience = std::chrono::milliseconds{1800};

  /// `host`: a name or an address; `port`: a number.
  name_lookup(boost::asio::any_io_executor loop, clock& time, std::string host,
              const std::string& port, resolver resolve, std::shared_ptr<lookup_threads> threads);
  ~name_lookup();
  name_lookup(const name_lookup&) = delete;
  name_lookup& operator=(const name_lookup&) = delete;

  /// Looks the name up where that is due, and returns when addresses() may be used; or when `line`,
  /// on which it waits, is woken by another.
  boost::asio::awaitable<void> find(wait_queue& line);

  /// What the last lookup that found any found, the address that served last in front.
  std::vector<endpoint> addresses() const;
  /// Why none has been found; empty when there are some.
  const std::string& error() const noexcept { return error_; }
  /// Counts the lookups that have ended.
  std::uint64_t answers() const noexcept { return answers_; }
  /// A connection to that address was made.
  void served(const endpoint& address) { served_ = address; }
  /// No connection could be made to the addresses that were there after so many lookups: if there
  /// was none since, the next find() waits for one.
  void doubt(std::uint64_t answer) noexcept { doubted_ = doubted_ || answer == answers_; }

 private:
  struct link;  // between the object and a thread that may outlive it

  void start();
  void ended(std::vector<endpoint> found, std::string error);

  boost::asio::any_io_executor loop_;
  clock& time_;
  const std::string host_;
  const std::uint16_t port_;
  const resolver resolve_;
  const std::shared_ptr<lookup_threads> threads_;
  bool is_address_ = false;  // there is nothing to look up
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
