#include "cli/settings/serve_settings.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "base/refuse.hpp"
#include "http/base_url.hpp"
#include "notify/message.hpp"
#include "store/postgres.hpp"

namespace sluice::cli {
namespace {

const std::set<std::string> shared_flags = {"base-url",
                                            "api-key-file",
                                            "header",
                                            "simulate",
                                            "relay",
                                            "insecure",
                                            "timeout",
                                            "rpm",
                                            "tpm",
                                            "concurrency",
                                            "pace",
                                            "max-attempts",
                                            "max-wait",
                                            "give-up-after",
                                            "grace",
                                            "no-stream",
                                            "max-tokens",
                                            "max-line-bytes",
                                            "prices",
                                            "price-multiplier",
                                            "price-group",
                                            "tier-default",
                                            "assume-max-tokens",
                                            "connect-timeout",
                                            "first-byte-timeout",
                                            "idle-timeout",
                                            "max-response-bytes",
                                            "no-include-usage",
                                            "quiet",
                                            "verbose",
                                            "log-file",
                                            "json-log"};

constexpr std::uint64_t most_count = std::numeric_limits<std::int64_t>::max();

struct listen_address {
  std::string host;
  std::uint16_t port = 0;
};

// "HOST:PORT", "[IPV6]:PORT" or "PORT".
std::optional<listen_address> read_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  listen_address address{"127.0.0.1", 0};
  std::string_view port = text;
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    port.remove_prefix(colon + 1);
    if (address.host.starts_with('[') && address.host.ends_with(']')) {
      address.host = address.host.substr(1, address.host.size() - 2);
    } else if (address.host.find(':') != std::string::npos) {
      return std::nullopt;
    }
  }
  const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const bool whole = error == std::errc{} && stop == port.data() + port.size() && !port.empty();
  return whole && !address.host.empty() ? std::optional(address) : std::nullopt;
}

std::string usual_data_folder() {
  const auto under = [](const char* variable, const char* rest) {
    const char* root = std::getenv(variable);
    return root == nullptr || *root != '/' ? std::string() : fmt::format("{}{}", root, rest);
  };
  std::string folder = under("XDG_DATA_HOME", "/sluice/serve");
  if (folder.empty()) folder = under("HOME", "/.local/share/sluice/serve");
  if (folder.empty()) refuse("there is no folder for the data of the server; name one with --data");
  return folder;
}

// Refuses a secret without whsec_, because receivers with OpenAI's SDK would use it as the key
// itself.
void check_webhook(const server::webhook_options& webhook) {
  if (!webhook.secret.starts_with("whsec_")) {
    refuse(fmt::format(
        "--webhook: {}; make one with 'echo whsec_$(openssl rand -base64 24)', and name its file "
        "with --webhook-secret-file",
        webhook.secret.empty() ? "it needs a secret that signs its events"
                               : "its secret does not begin with whsec_"));
  }
  notify::check_webhook(notify::webhook_form::standard, webhook.url, webhook.secret, "--webhook");
}

}  // namespace

std::vector<setting> serve_flags(serve_settings& target) {
  auto table = run_flags(target.run, shared_flags);
  const std::string group = "Server";
  const auto text = [](std::string& place) {
    return [&place](const std::string& value) { place = value; };
  };
  const auto positive = [](auto& place) {
    return [&place](const std::string& value) {
      const std::uint64_t number = parse_count(value, most_count);
      if (number == 0) throw bad_setting("0 would allow nothing; give 1 or more");
      place = static_cast<std::remove_reference_t<decltype(place)>>(number);
    };
  };
  std::vector<setting> own{
      {.name = "listen",
       .value = "ADDRESS",
       .group = group,
       .short_help = "Address and port to listen on",
       .long_help =
           "HOST:PORT, or a port alone for 127.0.0.1. Port 0 takes any free one, which the "
           "first line on the screen names. An address that other machines can reach needs "
           "--keys, and --tls-cert or --insecure-http.",
       .default_value = "127.0.0.1:8080",
       .apply =
           [&target](const std::string& value) {
             if (!read_address(value)) {
               throw bad_setting("give HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080");
             }
             target.listen = value;
           }},
      {.name = "data",
       .value = "DIR",
       .group = group,
       .short_help = "Folder of files, batches and database",
       .long_help = "Everything that the server keeps is in this folder. It is created if it is "
                    "missing. The default is sluice/serve under $XDG_DATA_HOME, or under "
                    "~/.local/share.",
       .apply = text(target.data)},
      {.name = "store",
       .value = "URL",
       .group = group,
       .short_help = "PostgreSQL that several servers share",
       .long_help =
           "postgresql://[USER@]HOST[:PORT]/DATABASE: any number of servers with the same store "
           "serve the same files and batches, and when one dies, the others go on with its "
           "batches. What the URL does not say comes from a service file and PG* variables, as for "
           "psql; keep the password in ~/.pgpass. The tables are made and migrated in a schema of "
           "their own, sluice. --data then only has copies, and each server needs its own; the "
           "default, sqlite, keeps all in --data, for one server alone.",
       .default_value = "sqlite",
       .apply = text(target.store)},
      {.name = "lease",
       .value = "TIME",
       .group = group,
       .short_help = "How long a silent server keeps its batches",
       .long_help = "Where servers share a --store, another one goes on after this time with the "
                    "batches of one that does not answer.",
       .default_value = "60s",
       .apply =
           [&target](const std::string& value) {
             target.lease = parse_duration(value);
             if (target.lease < std::chrono::seconds{3}) throw bad_setting("give 3s or more");
           }},
      {.name = "keys",
       .value = "FILE",
       .group = group,
       .short_help = "TOML file with the keys of the clients",
       .long_help =
           "One [[key]] table for each client, with name and key, and optionally rpm, tpm, "
           "budget and models. A client sees only its own files and batches. SIGHUP reads the file "
           "again. Without it, clients need no key.",
       .apply = text(target.keys)},
      {.name = "allow-host",
       .value = "NAME",
       .group = group,
       .short_help = "Answer under this name without a key, too",
       .long_help =
           "Without --keys, the server answers only requests for its address or for localhost, as "
           "a web page could otherwise reach it through a name of its own. Name here what a proxy "
           "in front of the server passes on as Host. May be repeated.",
       .apply =
           [&target](const std::string& value) {
             if (value.empty() || value.find_first_of("/@ \t") != std::string::npos) {
               throw bad_setting("give a name alone, such as sluice.example");
             }
             target.allowed_hosts.insert(server::host_name(value));
           },
       .repeatable = true},
      {.name = "tls-cert",
       .value = "FILE",
       .group = group,
       .short_help = "Certificate of the server, as PEM",
       .long_help = "The server then speaks HTTPS. The file holds the certificate and those of its "
                    "issuers, in this order. It needs --tls-key.",
       .apply = text(target.certificate)},
      {.name = "tls-key",
       .value = "FILE",
       .group = group,
       .short_help = "Private key of the certificate, as PEM",
       .long_help = "The key that belongs to --tls-cert.",
       .apply = text(target.certificate_key)},
      {.name = "insecure-http",
       .group = group,
       .short_help = "Allow HTTP on an address of other machines",
       .long_help =
           "Keys and prompts then travel in the clear. Use it behind a proxy that does TLS, "
           "or in a private network.",
       .apply = [&target](const std::string& value) { target.insecure_http = value == "true"; }},
      {.name = "interactive-reserve",
       .value = "N",
       .group = group,
       .short_help = "Requests that batches leave to interactive calls",
       .long_help =
           "Interactive calls go before batch work, but where batches have used up the minute or "
           "all of --concurrency, a call waits. Batches leave N requests of each relay's minute, "
           "and N of --concurrency, to calls. Give what your calls need in a minute.",
       .default_value = "0",
       .apply =
           [&target](const std::string& value) {
             target.run.engine.pace.interactive_reserve = static_cast<unsigned>(
                 parse_count(value, std::numeric_limits<std::int32_t>::max()));
           }},
      {.name = "access-log",
       .value = "FILE",
       .group = group,
       .short_help = "Append a line of JSON for each request of a client",
       .long_help =
           "Time, name of the key, method, route, status, bytes, duration and the request's id, "
           "never a key, a path or a body. '-' is standard output. SIGHUP opens the file again, "
           "for logrotate.",
       .apply = text(target.access_log)},
      {.name = "webhook",
       .value = "URL",
       .group = group,
       .short_help = "Post the end of each batch to this address",
       .long_help =
           "Posts OpenAI's webhook events batch.completed, batch.failed, batch.expired and "
           "batch.cancelled, signed as Standard Webhooks. A receiver that fails gets up to ten "
           "tries within three days, also after a restart. It needs a secret: "
           "--webhook-secret-file.",
       .apply = text(target.webhook.url),
       .secret = true},
      {.name = "webhook-secret",
       .value = "SECRET",
       .group = group,
       .short_help = "Secret that signs the events of --webhook",
       .long_help = "There is no flag for it, because every user of the machine can read the flags "
                    "of a process.",
       .apply = text(target.webhook.secret),
       .environment = "SLUICE_WEBHOOK_SECRET",
       .on_line = false,
       .secret = true},
      {.name = "webhook-secret-file",
       .value = "FILE",
       .group = group,
       .short_help = "File with the secret that signs the events",
       .long_help = "Reads the secret of --webhook from the first line of this file: whsec_ and "
                    "base64. It wins over SLUICE_WEBHOOK_SECRET.",
       .apply =
           [&target](const std::string& path) { target.webhook.secret = read_secret_file(path); }},
      {.name = "webhook-timeout",
       .value = "TIME",
       .group = group,
       .short_help = "Longest time of one try of --webhook",
       .long_help = "A receiver that answers later is tried again, so it may get an event twice.",
       .default_value = "15s",
       .apply =
           [&target](const std::string& value) {
             target.webhook.timeout = parse_duration(value);
             if (target.webhook.timeout <= duration::zero()) {
               throw bad_setting("no try could end in this time; give 1s or more");
             }
           }},
      {.name = "check-config",
       .group = group,
       .short_help = "Check the settings and files, and start nothing",
       .long_help =
           "Reads config, keys, certificate and prices, looks whether the data folder can be "
           "written, and says what the server would do. Exit status 0, or 2 with the first fault.",
       .apply = [&target](const std::string& value) { target.check_only = value == "true"; },
       .in_config = false},
      {.name = "batches-at-once",
       .value = "N",
       .group = group,
       .short_help = "Batches that share the limit at a time",
       .long_help = "Others wait, and the oldest of the highest priority comes next. Raise it if "
                    "small batches wait behind large ones.",
       .default_value = "16",
       .apply = positive(target.batches_at_once)},
      {.name = "max-batch-lines",
       .value = "N",
       .group = group,
       .short_help = "Most requests of a batch",
       .long_help = "A larger batch fails with too_many_tasks. The default is OpenAI's limit; ten "
                    "million lines are one batch here, too.",
       .default_value = "50000",
       .apply = positive(target.most_lines)},
      {.name = "max-batch-bytes",
       .value = "N",
       .group = group,
       .short_help = "Largest input file of a batch, in bytes",
       .long_help = "A larger upload with the purpose 'batch' is refused. The default, 200 MiB, is "
                    "OpenAI's limit.",
       .default_value = "209715200",
       .apply = positive(target.most_batch_bytes)},
      {.name = "max-file-bytes",
       .value = "N",
       .group = group,
       .short_help = "Largest file of any purpose, in bytes",
       .long_help = "A larger upload is refused. The default, 512 MiB, is OpenAI's limit.",
       .default_value = "536870912",
       .apply = positive(target.most_file_bytes)}};
  own.insert(own.end(), std::make_move_iterator(table.begin()),
             std::make_move_iterator(table.end()));
  return own;
}

server::batch_server_options server_options_of(const serve_settings& chosen) {
  const listen_address address = *read_address(chosen.listen);
  const bool tls = !chosen.certificate.empty();
  if (tls == chosen.certificate_key.empty()) {
    refuse(tls ? "--tls-cert needs --tls-key, the file of its private key"
               : "--tls-key needs --tls-cert, the file of its certificate");
  }
  if (!is_loopback(address.host)) {
    if (chosen.keys.empty()) {
      refuse(
          fmt::format("--listen {}: other machines can reach this address; name the keys of the "
                      "clients with --keys",
                      chosen.listen));
    }
    if (!tls && !chosen.insecure_http) {
      refuse(
          fmt::format("--listen {}: keys would travel in the clear; give --tls-cert and "
                      "--tls-key, or --insecure-http to allow it",
                      chosen.listen));
    }
  }
  if (!chosen.webhook.url.empty()) check_webhook(chosen.webhook);
  server::batch_server_options options;
  options.http.address = address.host;
  options.http.port = address.port;
  options.http.certificate_file = chosen.certificate;
  options.http.key_file = chosen.certificate_key;
  options.names.names = chosen.allowed_hosts;
  options.names.names.insert(server::host_name(address.host));
  options.is_open = !is_loopback(address.host);
  if (chosen.store != "sqlite") {
    // This is not a bad setting, because that message would show the value, which may contain a
    // password.
    if (!store::is_postgres_url(chosen.store)) {
      refuse("--store: give sqlite, or postgresql://HOST/DATABASE");
    }
    options.store = chosen.store;
  }
  options.runner.lease = chosen.lease;
  options.data = chosen.data.empty() ? usual_data_folder() : chosen.data;
  options.webhook = chosen.webhook;
  options.runner.announce_ends = !chosen.webhook.url.empty();
  options.files = {chosen.most_file_bytes, chosen.most_batch_bytes};
  const pace_options& pace = chosen.run.engine.pace;
  // Each call in flight has a connection. Clients that wait or poll have further ones.
  options.http.max_connections += pace.concurrency;
  options.calls.max_body_bytes = chosen.run.engine.job.max_line_bytes;
  options.calls.max_attempts = pace.max_attempts;
  options.calls.seed = std::random_device{}();
  options.calls.counts_tokens = pace.tokens_per_minute != 0;
  options.calls.defaults = {chosen.run.engine.output.assume_max_tokens,
                            chosen.run.engine.output.tier_default};
  options.runner.batches_at_once = chosen.batches_at_once;
  options.runner.most_lines = chosen.most_lines;
  options.runner.lines = chosen.run.engine.job;
  options.runner.lines.limit = 0;  // it may come from a config file that is also used for runs
  const output_options& kept = chosen.run.engine.output;
  options.runner.output.durable = kept.durable;
  options.runner.output.assume_max_tokens = kept.assume_max_tokens;
  options.runner.output.tier_default = kept.tier_default;
  options.runner.output.simulated = kept.simulated;
  return options;
}

}  // namespace sluice::cli
