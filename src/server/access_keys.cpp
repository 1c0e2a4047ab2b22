#include "server/access_keys.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <boost/algorithm/string/predicate.hpp>
#include <limits>

#include "base/refuse.hpp"

namespace sluice::server {
namespace {

constexpr std::size_t shortest_key = 16;

std::string sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

// The client of every request if there are no keys.
const client_key& everyone() {
  static const client_key one;
  return one;
}

// Reads one [[key]] table. `where` is its name in messages.
class key_table {
 public:
  key_table(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {
    for (const auto& [name, value] : table) {
      static const std::set<std::string_view> known = {"name", "key",    "rpm",
                                                       "tpm",  "budget", "models"};
      if (!known.contains(name.str())) {
        refuse(fmt::format(
            "{}: unknown setting '{}'; a key has name, key, rpm, tpm, budget and models", where_,
            name.str()));
      }
    }
  }

  std::string text(const char* name) const {
    const auto value = table_[name].value<std::string>();
    if (!value || value->empty()) {
      refuse(fmt::format("{}: give '{}' as a text in quotes", where_, name));
    }
    return *value;
  }

  // Reads a limit per minute; 0 means no limit.
  template <typename Number>
  Number limit(const char* name) const {
    if (!table_.contains(name)) return 0;
    const auto value = table_[name].value<std::int64_t>();
    if (!value || *value < 0 || *value > std::numeric_limits<std::int32_t>::max()) {
      refuse(fmt::format("{}: give '{}' as a whole number, 0 for no limit", where_, name));
    }
    return static_cast<Number>(*value);
  }

  std::optional<usd> budget() const {
    if (!table_.contains("budget")) return std::nullopt;
    const auto amount = usd::parse(table_["budget"].value_or<std::string>(""));
    if (!amount || *amount <= usd{}) {
      refuse(fmt::format("{}: give 'budget' as US dollars in quotes, such as \"12.50\"", where_));
    }
    return amount;
  }

  std::set<std::string> models() const {
    std::set<std::string> names;
    if (!table_.contains("models")) return names;
    const toml::array* list = table_["models"].as_array();
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
      const auto name = (*list)[i].value<std::string>();
      if (!name || name->empty()) {
        list = nullptr;
        break;
      }
      names.insert(*name);
    }
    if (list == nullptr || list->empty()) {
      refuse(
          fmt::format("{}: give 'models' as a list of names, such as [\"gpt-4o-mini\"]", where_));
    }
    return names;
  }

 private:
  const toml::table& table_;
  std::string where_;
};

// Parses the file. It does not repeat the parser's message, which may quote a line that contains a
// key.
toml::table parse(std::string_view text, const std::string& origin) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& fault) {
    refuse(fmt::format("{}: line {} is not TOML", origin, fault.source().begin.line));
  }
}

}  // namespace

access_keys::access_keys(std::string_view text, const std::string& origin) {
  const toml::table document = parse(text, origin);
  for (const auto& [name, value] : document) {
    if (name.str() != "key") {
      refuse(fmt::format("{}: unknown setting '{}'; the file has only [[key]] tables", origin,
                         name.str()));
    }
  }
  const toml::array* list = document["key"].as_array();
  if (list == nullptr || list->empty()) {
    refuse(origin + ": it has no key; add a [[key]] table with a name and a key");
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const toml::table* table = (*list)[i].as_table();
    const std::string where = fmt::format("{}: key {}", origin, i + 1);
    if (table == nullptr) refuse(where + ": write it as a [[key]] table");
    const key_table fields(*table, where);
    const std::string key = fields.text("key");
    if (key.size() < shortest_key) {
      refuse(
          fmt::format("{}: the key has fewer than {} characters; make a longer one with "
                      "'openssl rand -hex 24'",
                      where, shortest_key));
    }
    entry added{sha256(key),
                {.name = fields.text("name"),
                 .requests_per_minute = fields.limit<unsigned>("rpm"),
                 .tokens_per_minute = fields.limit<std::uint64_t>("tpm"),
                 .budget = fields.budget(),
                 .models = fields.models()}};
    for (const entry& other : clients_) {
      if (other.client.name == added.client.name) {
        refuse(fmt::format("{}: another key has the name '{}', too", where, added.client.name));
      }
      if (other.digest == added.digest) {
        refuse(fmt::format("{}: it is the same key as that of '{}'", where, other.client.name));
      }
    }
    clients_.push_back(std::move(added));
  }
}

const client_key* access_keys::find(std::string_view authorization) const {
  if (clients_.empty()) return &everyone();
  constexpr std::string_view scheme = "Bearer ";
  if (!boost::algorithm::istarts_with(authorization, scheme)) return nullptr;
  authorization.remove_prefix(scheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  const std::string digest = sha256(authorization);
  const client_key* found = nullptr;
  for (const entry& client : clients_) {
    if (CRYPTO_memcmp(client.digest.data(), digest.data(), digest.size()) == 0) {
      found = &client.client;
    }
  }
  return found;
}

std::vector<std::string> access_keys::owners() const {
  std::vector<std::string> names{everyone().name};
  for (const entry& key : clients_) names.push_back(key.client.name);
  return names;
}

const client_key* access_keys::named(std::string_view name) const {
  if (clients_.empty()) return name.empty() ? &everyone() : nullptr;
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&](const entry& key) { return key.client.name == name; });
  return found == clients_.end() ? nullptr : &found->client;
}

}  // namespace sluice::server
