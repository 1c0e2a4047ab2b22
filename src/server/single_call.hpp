#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>

#include "base/header_fields.hpp"
#include "server/api_error.hpp"
#include "sluice/config.hpp"
#include "sluice/job.hpp"
#include "upstream/secrets.hpp"

namespace sluice::server {

/// An interactive call of a client, as it is passed on.
struct single_call {
  request asked;          ///< its body is that of the client, byte for byte
  std::string path;       ///< "/v1/chat/completions"
  bool messages = false;  ///< Anthropic's Messages: asked.target is only for prices then
  bool flex = false;      ///< `service_tier` is "flex": it waits behind other calls
};

/// Reads what the server must know of a body. The error: the body is no JSON object, or it names no
/// model. Pure.
boost::system::result<single_call, api_error> read_call(std::string_view path, std::string body);

/// The client's header fields that go to the relay: not those of its connection, and not those that
/// are for this server (its key, cookies). Pure.
header_fields fields_for_relay(const header_fields& came, const single_call& call,
                               const relay_options& relay);

/// The relay's header fields that go to the client: not those of its connection, nor what holds for
/// the relay's host alone. The relay's key is removed from the values. Pure.
header_fields fields_for_client(const header_fields& came, const secrets& hidden);

}  // namespace sluice::server
