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

/// An interactive call, in the form in which it is passed on.
struct single_call {
  request asked;     ///< its body is the client's body, byte for byte
  std::string path;  ///< "/v1/chat/completions"
  /// Anthropic's Messages API; then `asked.target` is used only for prices.
  bool messages = false;
  bool flex = false;  ///< `service_tier` is "flex": it waits behind other calls
};

/// Reads what the server needs from a body. Returns an error if the body is not a JSON object or
/// names no model that the server takes. Pure.
boost::system::result<single_call, api_error> read_call(std::string_view path, std::string body);

/// Returns the client's header fields for the relay. It leaves out the fields of the client's
/// connection, and the fields for this server (its key, cookies). Pure.
header_fields fields_for_relay(const header_fields& came, const single_call& call,
                               const relay_options& relay);

/// Returns the relay's header fields for the client. It leaves out the fields of the relay's
/// connection, and the fields that apply only to the relay's host. It removes the relay's key from
/// the values. Pure.
header_fields fields_for_client(const header_fields& came, const secrets& hidden);

}  // namespace sluice::server
