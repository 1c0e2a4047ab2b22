#include "http/tunnel.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <utility>

#include "http/as_result.hpp"
#include "sluice/version.hpp"

namespace sluice {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t longest_head = std::size_t{64} * 1024;

// Reads the head of an HTTP answer including its empty line. Reads byte by byte, so that the bytes
// after it stay in the socket.
asio::awaitable<std::pair<error_code, std::string>> read_head(tcp::socket& socket) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte = 0;
    auto [error, n] = co_await asio::async_read(socket, asio::buffer(&byte, 1), as_result);
    if (error) co_return std::pair{error, std::move(head)};
    head += byte;
    if (head.size() > longest_head) {
      co_return std::pair{error_code(asio::error::message_size), std::move(head)};
    }
  }
  co_return std::pair{error_code{}, std::move(head)};
}

tunnel_end broken(const error_code& error) {
  return {error == asio::error::eof ? "it closed the connection" : error.message()};
}

asio::awaitable<tunnel_end> connect(tcp::socket& socket, const proxy& through,
                                    const base_url& relay) {
  const std::string target = fmt::format("{}:{}", host_in_url(relay.host), relay.port);
  std::string wish = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nUser-Agent: sluice/{1}\r\n",
                                 target, SLUICE_VERSION);
  if (!through.user.empty()) {
    wish += fmt::format("Proxy-Authorization: {}\r\n", basic_credentials(through));
  }
  wish += "\r\n";
  auto [error, n] = co_await asio::async_write(socket, asio::buffer(wish), as_result);
  if (error) co_return broken(error);
  const auto [cut, head] = co_await read_head(socket);
  if (cut) co_return broken(cut);

  // HTTP/1.1 200 Connection established
  const std::string_view line = std::string_view(head).substr(0, head.find('\r'));
  const std::size_t space = line.find(' ');
  int status = 0;
  if (line.starts_with("HTTP/1.") && space != std::string_view::npos) {
    std::from_chars(line.data() + space + 1, line.data() + line.size(), status);
  }
  if (status == 0) co_return tunnel_end{"its answer is not HTTP"};
  if (status >= 200 && status < 300) co_return tunnel_end{};
  co_return tunnel_end{fmt::format("it answered {}", line.substr(space + 1)), status == 407};
}

std::string_view socks_refusal(std::uint8_t code) {
  constexpr std::array<std::string_view, 9> reasons{"",
                                                    "general failure",
                                                    "not allowed by its rules",
                                                    "network unreachable",
                                                    "host unreachable",
                                                    "connection refused",
                                                    "time to live expired",
                                                    "command not supported",
                                                    "address type not supported"};
  return code < reasons.size() ? reasons[code] : "unknown failure";
}

template <std::size_t Size>
asio::awaitable<error_code> read_exactly(tcp::socket& socket, std::array<std::uint8_t, Size>& into,
                                         std::size_t size = Size) {
  auto [error, n] = co_await asio::async_read(socket, asio::buffer(into.data(), size), as_result);
  co_return error;
}

asio::awaitable<error_code> write_all(tcp::socket& socket, std::string bytes) {
  auto [error, n] = co_await asio::async_write(socket, asio::buffer(bytes), as_result);
  co_return error;
}

void append_short_text(std::string& out, std::string_view text) {
  out += static_cast<char>(text.size());
  out += text;
}

// The relay's address in SOCKS 5 form: type, name or address, port.
std::string socks_address(const base_url& relay) {
  constexpr char v4 = 1;
  constexpr char name = 3;
  constexpr char v6 = 4;
  std::string bytes;
  error_code is_name;
  const auto address = asio::ip::make_address(relay.host, is_name);
  if (is_name) {
    bytes.push_back(name);
    append_short_text(bytes, relay.host);
  } else if (address.is_v4()) {
    bytes.push_back(v4);
    for (const auto byte : address.to_v4().to_bytes()) bytes += static_cast<char>(byte);
  } else {
    bytes.push_back(v6);
    for (const auto byte : address.to_v6().to_bytes()) bytes += static_cast<char>(byte);
  }
  const auto port = static_cast<std::uint16_t>(std::stoul(relay.port));
  bytes += static_cast<char>(port >> 8);
  bytes += static_cast<char>(port & 0xFF);
  return bytes;
}

asio::awaitable<tunnel_end> socks(tcp::socket& socket, const proxy& through,
                                  const base_url& relay) {
  enum : std::uint8_t { version = 5, no_credentials = 0, password = 2, none_will_do = 0xFF };
  constexpr std::size_t longest_name = 255;
  if (relay.host.size() > longest_name) co_return tunnel_end{"the host name is too long for SOCKS"};
  using namespace std::string_literals;
  std::array<std::uint8_t, 2> answer{};
  const bool has_credentials = !through.user.empty();
  const std::string methods = has_credentials ? "\x05\x02\x00\x02"s : "\x05\x01\x00"s;
  if (const auto error = co_await write_all(socket, methods)) co_return broken(error);
  if (const auto error = co_await read_exactly(socket, answer)) co_return broken(error);
  if (answer[0] != version) co_return tunnel_end{"its answer is not SOCKS 5"};
  if (answer[1] == none_will_do) {
    co_return tunnel_end{has_credentials ? "it does not accept a user and password"
                                         : "it requires a user and password",
                         true};
  }
  if (answer[1] == password && has_credentials) {
    std::string credentials = "\x01";
    append_short_text(credentials, through.user);
    append_short_text(credentials, through.password);
    if (const auto error = co_await write_all(socket, credentials)) co_return broken(error);
    if (const auto error = co_await read_exactly(socket, answer)) {
      if (error != asio::error::eof) co_return broken(error);
      answer[1] = none_will_do;  // a proxy that closes without an answer has refused too
    }
    if (answer[1] != 0) co_return tunnel_end{"it refused the user and password", true};
  } else if (answer[1] != no_credentials) {
    co_return tunnel_end{"it requires a type of credentials that is not supported", true};
  }

  const std::string wish = "\x05\x01\x00"s + socks_address(relay);
  if (const auto error = co_await write_all(socket, wish)) co_return broken(error);
  // Version, outcome, reserved, address type; then an address, which is not needed.
  std::array<std::uint8_t, 4> outcome{};
  if (const auto error = co_await read_exactly(socket, outcome)) co_return broken(error);
  if (outcome[1] != 0) {
    co_return tunnel_end{fmt::format("it answered: {}", socks_refusal(outcome[1]))};
  }
  std::array<std::uint8_t, 256 + 2> bound{};
  std::size_t length = outcome[3] == 1 ? 4 : 16;
  if (outcome[3] == 3) {
    if (const auto error = co_await read_exactly(socket, bound, 1)) co_return broken(error);
    length = bound[0];
  }
  if (const auto error = co_await read_exactly(socket, bound, length + 2)) co_return broken(error);
  co_return tunnel_end{};
}

}  // namespace

asio::awaitable<tunnel_end> open_tunnel(tcp::socket& socket, const proxy& through,
                                        const base_url& relay) {
  // No conditional expression: GCC 12 would start both.
  if (through.kind == proxy::protocol::http) co_return co_await connect(socket, through, relay);
  co_return co_await socks(socket, through, relay);
}

std::string basic_credentials(const proxy& through) {
  const std::string plain = through.user + ":" + through.password;
  std::string encoded((plain.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL also writes a final zero
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                                     reinterpret_cast<const unsigned char*>(plain.data()),
                                     static_cast<int>(plain.size()));
  encoded.resize(static_cast<std::size_t>(length));
  return "Basic " + encoded;
}

}  // namespace sluice
