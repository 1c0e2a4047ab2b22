#include "http/name_lookup.hpp"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

namespace sluice {

std::string name_lookup::system_resolver(const std::string& host, std::uint16_t port,
                                         std::vector<endpoint>& found) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
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

name_lookup::name_lookup(boost::asio::any_io_executor loop, std::string host,
                         const std::string& port, resolver resolve)
    : loop_(std::move(loop)),
      host_(std::move(host)),
      port_(static_cast<std::uint16_t>(std::stoul(port))),
      resolve_(std::move(resolve)),
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

void name_lookup::join(wait_queue& waiting) {
  waiters_.push_back(&waiting);
  if (!running_) start();
}

void name_lookup::start() {
  running_ = true;
  std::thread([this, shared = link_, resolve = resolve_, host = host_, port = port_] {
    std::vector<endpoint> found;
    std::string error = resolve(host, port, found);
    const std::lock_guard lock(shared->mutex);
    if (shared->abandoned) return;
    boost::asio::post(loop_, [this, shared, addresses = std::move(found), why = std::move(error)] {
      if (!shared->abandoned) ended(addresses, why);
    });
  }).detach();
}

void name_lookup::ended(std::vector<endpoint> found, std::string error) {
  running_ = false;
  if (!found.empty()) found_ = std::move(found);
  error_ = found_.empty() ? std::move(error) : std::string{};
  for (auto* waiting : std::exchange(waiters_, {})) waiting->wake_all();
}

std::vector<name_lookup::endpoint> name_lookup::addresses() const {
  std::vector<endpoint> ordered = found_;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [&](const endpoint& each) { return each == served_; });
  return ordered;
}

}  // namespace sluice
