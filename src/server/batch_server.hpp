#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "files/file_system.hpp"
#include "http/server/server.hpp"
#include "server/access_keys.hpp"
#include "server/access_log.hpp"
#include "server/batch_announcer.hpp"
#include "server/batch_runner.hpp"
#include "server/file_form.hpp"
#include "server/foreign_pages.hpp"
#include "server/pass_through.hpp"
#include "sluice/engine.hpp"
#include "sluice/observer.hpp"
#include "sluice/prices.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

struct batch_server_options {
  http_server::server_options http;
  std::string data;  ///< path of the data folder
  /// URL of a PostgreSQL store that several servers share; empty: SQLite in the data folder.
  std::string store;
  /// If `store` is set, the server chooses its own `server_name`.
  runner_options runner;
  file_limits files;
  webhook_options webhook;
  /// Models that the config names. The metrics count each of them separately, as they do for models
  /// with a price.
  std::set<std::string> models;
  pass_through_options calls;
  own_names names;          ///< names besides those of this machine
  bool is_open = false;     ///< other machines can connect
  std::size_t threads = 4;  ///< threads for disk and database; 0: none, for tests in virtual time
};

/// The objects that a batch_server needs. All of them must outlive it; `listener` may be null.
struct batch_server_needs {
  boost::asio::io_context& loop;
  engine& sender;
  const relay_prices& prices;
  /// The owner of the server may change the keys on the event loop's thread.
  const access_keys& keys;
  file_system& files;
  observer* listener = nullptr;
  access_log log = {};  ///< gets a line for each request; may be empty
};

/// `sluice serve`: OpenAI's Files and Batches API on a port, and a pass-through for interactive
/// calls. All its state is in one data folder, or also in a store that several servers share. So a
/// server that was killed continues after a restart. Not thread safe: use it on the event loop's
/// thread.
class batch_server {
 public:
  /// Opens the data folder and starts to listen. Throws fatal_error.
  batch_server(const batch_server_needs& needs, batch_server_options options);
  ~batch_server();
  batch_server(const batch_server&) = delete;
  batch_server& operator=(const batch_server&) = delete;

  std::uint16_t port() const noexcept;
  const std::string& data() const noexcept;
  /// Returns the shared store for display; empty if no other server shares it.
  std::string shared_store() const;
  /// Serves until stop() is called and all requests in flight have ended.
  boost::asio::awaitable<void> work();
  /// Call it after the keys have changed.
  void keys_changed();
  void stop();
  /// Like stop(), but cancels the requests in flight.
  void abort();

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace sluice::server
