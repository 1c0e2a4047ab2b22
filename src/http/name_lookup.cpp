#include "http/name_lookup.hpp"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <mutex>
#include <utility>

#include "async/alarm.hpp"

namespace sluice {

std::string_view name_lookup::no_such_name() noexcept {
  return "there is no host of this name";
}

std::string name_lookup::system_resolver(const std::string& host, std::uint16_t port,
                                         std::vector<endpoint>& found) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error == EAI_NONAME) return std::string(no_such_name());
  if (error != 0) return ::gai_strerror(error);
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    endpoint address;
    if (each->ai_addrlen > address.capacity()) continue;
    std::memcpy(address.data(), each->ai_addr, each->ai_addrlen);
    address.resize(each->ai_addrlen);
    address.port(port);
    found.push_back(address);
  }
  ::freeaddrinfo(list);
  return found.empty() ? "no address" : "";
}

struct name_lookup::link {
  std::mutex mutex;
  bool abandoned = false;
};

name_lookup::name_lookup(boost::asio::any_io_executor loop, clock& time, std::string host,
                         const std::string& port, resolver resolve,
                         std::shared_ptr<lookup_threads> threads)
    : loop_(std::move(loop)),
      time_(time),
      host_(std::move(host)),
      port_(static_cast<std::uint16_t>(std::stoul(port))),
      resolve_(std::move(resolve)),
      threads_(std::move(threads)),
      link_(std::make_shared<link>()) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host_, error);
  is_address_ = !error;
  if (is_address_) found_ = {endpoint(address, port_)};
}

name_lookup::~name_lookup() {
  const std::lock_guard lock(link_->mutex);
  link_->abandoned = true;
}

boost::asio::awaitable<void> name_lookup::find(wait_queue& line) {
  if (is_address_) co_return;
  const bool has_addresses = !found_.empty();
  const bool waits = !has_addresses || doubted_ || time_.now() - found_at_ >= longest;
  if ((waits || time_.now() - found_at_ >= lifetime) && !running_) start();
  if (!waits || !running_) co_return;
  alarm enough(time_);
  if (has_addresses) enough.set(time_.now() + patience, [&line] { line.wake_all(); });
  co_await wait_queue::wait_in_both(waiting_, line);
}

void name_lookup::start() {
  running_ = threads_->run([this, shared = link_, resolve = resolve_, host = host_, port = port_] {
    {
      const std::lock_guard lock(shared->mutex);
      if (shared->abandoned) return;
    }
    std::vector<endpoint> found;
    std::string error = resolve(host, port, found);
    const std::lock_guard lock(shared->mutex);
    if (shared->abandoned) return;
    boost::asio::post(loop_, [this, shared, addresses = std::move(found), why = std::move(error)] {
      if (!shared->abandoned) ended(addresses, why);
    });
  });
  if (!running_) ended({}, "cannot start a thread for the lookup");
}

void name_lookup::ended(std::vector<endpoint> found, std::string error) {
  running_ = doubted_ = false;
  ++answers_;
  if (!found.empty()) {
    found_ = std::move(found);
    found_at_ = time_.now();
  }
  error_ = found_.empty() ? std::move(error) : std::string{};
  waiting_.wake_all();
}

std::vector<name_lookup::endpoint> name_lookup::addresses() const {
  std::vector<endpoint> ordered = found_;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [&](const endpoint& each) { return each == served_; });
  return ordered;
}

}  // namespace sluice
