#include "cli/serve_check.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/refuse.hpp"
#include "cli/settings/price_lists.hpp"
#include "http/base_url.hpp"
#include "http/server/server.hpp"
#include "notify/message.hpp"
#include "terminal/standard_output.hpp"

namespace sluice::cli {
namespace {

// Describes what the server would do with the folder. A missing folder would be created in the
// first parent that exists.
std::string checked_folder(const std::string& path, file_system& disk) {
  if (disk.exists(path)) {
    if (!disk.is_folder(path)) refuse(fmt::format("--data {}: it is not a folder", path));
    if (!disk.is_writable_folder(path)) {
      refuse(fmt::format("--data {}: the folder cannot be written; change its rights", path));
    }
    return path;
  }
  std::filesystem::path parent = std::filesystem::absolute(path).parent_path();
  while (!disk.exists(parent.string()) && parent != parent.root_path()) {
    parent = parent.parent_path();
  }
  if (!disk.is_writable_folder(parent.string())) {
    refuse(fmt::format("--data {}: it cannot be created, since {} cannot be written", path,
                       parent.string()));
  }
  return path + " (will be created)";
}

std::string relay_text(const relay_member& member, unsigned usual_limit) {
  const unsigned limit = member.requests_per_minute.value_or(usual_limit);
  return fmt::format("{}{}, {}, {}", member.name.empty() ? "" : member.name + " ",
                     base_url::parse(member.relay.base_url).origin(),
                     member.relay.api_key.empty() ? "no key" : "with a key",
                     limit == 0 ? "no limit" : fmt::format("{} requests in any 60 s", limit));
}

}  // namespace

server::access_keys read_client_keys(const std::string& file, file_system& disk) {
  if (file.empty()) return {};
  const auto text = read_file(disk, file);
  if (!text) refuse(fmt::format("--keys {}: there is no such file", file));
  return {*text, file};
}

std::string serve_url(const serve_settings& chosen, std::uint16_t port) {
  std::string host = chosen.listen.substr(0, chosen.listen.rfind(':'));
  if (chosen.listen.find(':') == std::string::npos) host = "127.0.0.1";
  return fmt::format("{}://{}:{}/v1", chosen.certificate.empty() ? "http" : "https", host, port);
}

exit_status check_serve(const serve_settings& chosen, const server::batch_server_options& options,
                        prepared_relays& relays) {
  const auto disk = system_files();
  std::string text;
  const auto row = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{:<11}{}\n", name, value);
  };
  const auto keys = read_client_keys(chosen.keys, *disk);
  http_server::check_certificate(options.http);
  row("serves", serve_url(chosen, options.http.port));
  row("clients", chosen.keys.empty()
                     ? "need no key; only this machine can connect"
                     : fmt::format("need one of {} key(s) in {}", keys.size(), chosen.keys));
  if (chosen.insecure_http && chosen.certificate.empty()) {
    row("warning", "HTTP without TLS: keys and prompts travel in the clear");
  }
  for (const auto& member : relays.members()) {
    row(relays.simulated() ? "simulates" : "relay",
        relay_text(member, chosen.run.engine.pace.requests_per_minute));
  }
  // The relay's own price list is not requested, because this check sends nothing over the network.
  if (asks_for_prices(chosen.run)) {
    row("prices", "are asked of the relay at the start");
  } else {
    (void)relays.prices();
  }
  row("data", checked_folder(options.data, *disk));
  if (!chosen.access_log.empty()) {
    if (chosen.access_log != "-") {
      const auto folder = std::filesystem::absolute(chosen.access_log).parent_path().string();
      if (!disk->is_writable_folder(folder)) {
        refuse(fmt::format("--access-log {}: its folder cannot be written", chosen.access_log));
      }
    }
    row("access log", chosen.access_log == "-" ? "standard output" : chosen.access_log);
  }
  if (!chosen.webhook.url.empty()) {
    row("webhook", notify::shown_host(chosen.webhook.url) + ", signed");
  }
  print(text + "The settings are good; nothing was started.\n");
  return success;
}

}  // namespace sluice::cli
