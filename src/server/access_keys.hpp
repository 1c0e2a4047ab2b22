#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/money.hpp"

namespace sluice::server {

/// A client of the server, and its limits.
struct client_key {
  std::string name;                     ///< owner of its files and batches; shown in the log
  unsigned requests_per_minute = 0;     ///< limit for its calls and batches together; 0: no limit
  std::uint64_t tokens_per_minute = 0;  ///< the same for tokens
  std::optional<usd> budget;     ///< limit for its calls and batches together; nothing: no limit
  std::set<std::string> models;  ///< the models that it may use; empty: all
  bool may_use(std::string_view model) const {
    return models.empty() || models.contains(std::string(model));
  }
};

/// The clients of the server and their keys, read from a TOML file with one `[[key]]` table for
/// each. Immutable; safe to read from any thread. It stores only hashes of the keys.
class access_keys {
 public:
  /// Without keys, every client is the same owner, with an empty name.
  access_keys() = default;
  /// Reads the text of a keys file. Throws fatal_error. Its message is a sentence that names
  /// `origin` and the fault, and never contains a key.
  access_keys(std::string_view toml, const std::string& origin);

  bool empty() const noexcept { return clients_.empty(); }
  std::size_t size() const noexcept { return clients_.size(); }
  /// Returns the client of an Authorization header ("Bearer KEY"); null if no client has the key.
  /// The time that it takes does not depend on how many characters of a key are right. Without keys
  /// it returns the same client for every header.
  const client_key* find(std::string_view authorization) const;
  /// Returns the names of all clients that may own something: also the empty name of the only
  /// client without keys.
  std::vector<std::string> owners() const;
  /// Returns the client with this name; null if the keys file no longer has it.
  const client_key* named(std::string_view name) const;

 private:
  struct entry {
    std::string digest;  // SHA-256 of the key
    client_key client;
  };
  std::vector<entry> clients_;
};

}  // namespace sluice::server
