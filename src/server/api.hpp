#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "async/background.hpp"
#include "http/server/server.hpp"
#include "server/access_keys.hpp"
#include "server/api_error.hpp"
#include "server/batch_runner.hpp"
#include "server/batch_sums.hpp"
#include "server/data_folder.hpp"
#include "server/file_form.hpp"
#include "server/foreign_pages.hpp"
#include "server/pass_through.hpp"
#include "server/server_figures.hpp"
#include "server/server_watch.hpp"
#include "server/watched_call.hpp"
#include "sluice/clock.hpp"
#include "sluice/engine.hpp"
#include "sluice/observer.hpp"
#include "store/batch_store.hpp"

namespace sluice::server {

/// The objects that the routes use. All of them outlive the routes.
struct api_parts {
  background& disk;
  clock& time;
  store::batch_store& records;
  data_folder& folder;
  file_system& files;
  batch_runner& runner;
  pass_through& calls;
  const access_keys& keys;
  own_names names;  ///< see refuse_foreign_page()
  /// Other machines can connect. Then clients need keys, and the routes that need no key are open
  /// to all.
  bool is_open = false;
  file_limits limits;
  /// Returns what the requests of a job will cost, as JSON text; empty if unknown. Blocks.
  std::function<std::string(const std::string& path)> estimate;
  observer* listener = nullptr;
  // The following members are for the page.
  engine& sender;
  server_figures& figures;
  kept_sums& sums;
  server_watch& watch;

  std::int64_t unix_now() const { return static_cast<std::int64_t>(time.unix_now()); }
};

/// One request of a client that is authenticated.
struct api_call {
  http_server::exchange& exchange;
  const client_key& client;
  std::string_view id;  ///< the id in the path; empty if it has none

  boost::asio::awaitable<bool> answer(int status, std::string_view json) const;
  boost::asio::awaitable<bool> refuse(const api_error& why) const;
  /// Returns a parameter of the query, decoded; nothing if the query does not have it.
  std::optional<std::string> parameter(std::string_view name) const;
};

/// Answers the requests of clients: authenticates them, finds the route, and turns exceptions into
/// answers. Not thread safe: use it on the event loop's thread.
class api {
 public:
  explicit api(api_parts parts) : parts_(std::move(parts)) {}
  boost::asio::awaitable<void> serve(watched_call& call);

 private:
  boost::asio::awaitable<void> dispatch(watched_call& call);
  /// Returns whether the path needs no key although its answer is not public.
  bool is_unprotected(std::string_view path) const;

  api_parts parts_;
};

/// The body of a refusal that the HTTP server itself sends.
std::string refusal_json(int status, std::string_view message);

}  // namespace sluice::server
