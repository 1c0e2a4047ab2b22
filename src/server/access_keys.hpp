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

/// A client of the server, and what it may do.
struct client_key {
  std::string name;                     ///< owns its files and batches; shown in the log
  unsigned requests_per_minute = 0;     ///< for its calls and batches together; 0: no limit
  std::uint64_t tokens_per_minute = 0;  ///< the same for tokens
  std::optional<usd> budget;            ///< for its calls and batches together; nothing: no limit
  std::set<std::string> models;         ///< the only models that it may use; empty: all
  bool may_use(std::string_view model) const {
    return models.empty() || models.contains(std::string(model));
  }
};

/// The keys that clients of the server send, from a TOML file with one `[[key]]` table for each.
/// Immutable; safe to read from any thread. It keeps only hashes of the keys.
class access_keys {
 public:
  /// No keys: every client is the same owner, whose name is empty.
  access_keys() = default;
  /// Reads the text of a keys file. Throws fatal_error with a sentence that names `origin` and what
  /// is wrong; it never contains a key.
  access_keys(std::string_view toml, const std::string& origin);

  bool empty() const noexcept { return clients_.empty(); }
  std::size_t size() const noexcept { return clients_.size(); }
  /// The client of an Authorization header ("Bearer KEY"); null: none has the key. The time it
  /// takes does not depend on how much of a key is right. Without keys everyone is the same client.
  const client_key* find(std::string_view authorization) const;
  /// The client of this name; null: the keys file has it no more.
  const client_key* named(std::string_view name) const;

 private:
  struct entry {
    std::string digest;  // SHA-256 of the key
    client_key client;
  };
  std::vector<entry> clients_;
};

}  // namespace sluice::server
