#include "server/watched_call.hpp"

#include "server/request_id.hpp"

namespace sluice::server {

namespace asio = boost::asio;

watched_call::watched_call(http_server::exchange& call)
    : call_(call), id_(request_id_of(call.head().fields.last(request_id_field))) {}

// Sets this server's id, and removes the relay's: an answer that is passed on may contain one.
header_fields watched_call::with_id(const header_fields& fields) const {
  header_fields all;
  for (const auto& field : fields) {
    if (!same_name(field.name, request_id_field)) all.add(field.name, field.value);
  }
  all.add(request_id_field, id_);
  return all;
}

asio::awaitable<std::string_view> watched_call::read_piece() {
  const std::string_view piece = co_await call_.read_piece();
  bytes_in_ += piece.size();
  co_return piece;
}

asio::awaitable<bool> watched_call::send(int status, const header_fields& fields,
                                         std::string_view body) {
  status_ = status;
  const header_fields all = with_id(fields);
  const bool sent = co_await call_.send(status, all, body);
  if (sent && call_.head().method != "HEAD") bytes_out_ += body.size();
  co_return sent;
}

asio::awaitable<bool> watched_call::begin(int status, const header_fields& fields,
                                          std::optional<std::uint64_t> length) {
  status_ = status;
  const header_fields all = with_id(fields);
  const bool sent = co_await call_.begin(status, all, length);
  co_return sent;
}

asio::awaitable<bool> watched_call::write(std::string_view piece) {
  const bool sent = co_await call_.write(piece);
  if (sent && call_.head().method != "HEAD") bytes_out_ += piece.size();
  co_return sent;
}

}  // namespace sluice::server
