#pragma once

#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <vector>

namespace sluice::test {

/// A listener with a full queue: the kernel does not answer further connects.
class silent_address {
 public:
  explicit silent_address(boost::asio::io_context& loop) : acceptor_(loop, tcp::v4()) {
    acceptor_.bind(tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0));
    acceptor_.listen(0);
    for (int i = 0; i < 8; ++i) {
      auto& filler = fillers_.emplace_back(loop);
      filler.open(tcp::v4());
      filler.non_blocking(true);
      const auto address = acceptor_.local_endpoint();
      ::connect(filler.native_handle(), address.data(), static_cast<socklen_t>(address.size()));
    }
  }
  boost::asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  using tcp = boost::asio::ip::tcp;

  tcp::acceptor acceptor_;
  std::vector<tcp::socket> fillers_;
};

}  // namespace sluice::test
