#pragma once

#include <string>

#include "cli/settings/prepared_relays.hpp"
#include "cli/settings/serve_settings.hpp"
#include "files/file_system.hpp"
#include "server/access_keys.hpp"
#include "server/batch_server.hpp"
#include "terminal/exit_status.hpp"

namespace sluice::cli {

/// The keys in the file of --keys; none without a file. Throws fatal_error.
server::access_keys read_client_keys(const std::string& file, file_system& disk);

/// `serve --check-config`: checks everything that the server would read at its start, and prints
/// what the server would do. Starts nothing and changes nothing. Throws fatal_error with the first
/// error.
exit_status check_serve(const serve_settings& chosen, const server::batch_server_options& options,
                        prepared_relays& relays);

/// The URL of the server's API, for the user.
std::string serve_url(const serve_settings& chosen, std::uint16_t port);

}  // namespace sluice::cli
