#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::server {

/// An error answer to a request, in the form of OpenAI's API.
struct api_error {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::optional<std::string> param = {};  ///< the parameter that is wrong
  std::optional<std::string> code = {};

  /// Returns the class under which the error is counted: the code, or the status.
  std::string kind() const;
  /// Returns the body: {"error":{"message","type","param","code"}}.
  std::string to_json() const;
};

/// Returns the beginning of a client's text, short enough for a message.
std::string shortened(std::string_view text);
api_error missing_parameter(std::string_view name);
api_error invalid_parameter(std::string_view name, std::string message);
/// The key has no such object: the object does not exist, or it belongs to another key.
api_error not_found(std::string_view kind, std::string_view id);
api_error unknown_route(std::string_view method, std::string_view path);
api_error disk_full();
api_error internal_fault();

}  // namespace sluice::server
