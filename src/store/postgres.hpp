#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "store/batch_record.hpp"

namespace sluice::store {

// A thin layer over libpq. Every error is a store_error with one sentence. The sentence names the
// host and the database, and never contains a password. Statements are unnamed, and no state
// outlives a transaction. So a pooler may use another connection for each transaction (pgbouncer's
// transaction mode).

struct postgres_options {
  /// "postgresql://[user[:password]@][host[:port],…][/database][?parameter=value&…]". Missing parts
  /// come from a service file, from PG* variables, or are libpq's defaults, as with psql. This
  /// program has its own connect_timeout, tcp_user_timeout and target_session_attrs (read-write).
  /// They come after those of the URL and before those of a service file. If PGCONNECT_TIMEOUT or
  /// PGTARGETSESSIONATTRS is set, this program sets no value of its own. client_encoding is always
  /// UTF8.
  std::string url;
  /// Time limit for each host of the URL. The URL or PGCONNECT_TIMEOUT may set another limit; a
  /// service file cannot.
  std::chrono::seconds connect_timeout{10};
  /// If a statement takes longer, it is ended together with its connection.
  std::chrono::milliseconds statement_timeout{30'000};
  /// If a transaction waits longer for its client, PostgreSQL ends it. So a frozen process does not
  /// hold locks.
  std::chrono::milliseconds idle_timeout{10'000};
  /// How long a call retries while the database cannot be reached, from its first failure on.
  std::chrono::milliseconds patience{10'000};
  /// Maximum number of open connections. If all are in use, a call waits for a free one.
  std::size_t most_connections = 4;
};

/// PostgreSQL has refused a statement.
class postgres_error : public store_error {
 public:
  postgres_error(const std::string& what, std::string state);
  /// The SQLSTATE code: five characters.
  const std::string& state() const noexcept { return state_; }

 private:
  std::string state_;
};

/// If the server's disk is full, the error message has this text after the server's name.
inline constexpr std::string_view disk_is_full = "its disk is full; make room on it";

/// The connection could not be made, or it ended. Changes that were not committed are lost.
class connection_lost : public store_error {
  using store_error::store_error;
};

/// COMMIT was sent, but its answer did not arrive. The whole transaction is stored, nothing of it
/// is stored, or it is still being stored.
class commit_unclear : public store_error {
  using store_error::store_error;
};

/// The values of $1, $2, … in a statement. They have the types that the statement expects, unless
/// noted otherwise.
class postgres_parameters {
 public:
  postgres_parameters& put(std::int64_t value);
  postgres_parameters& put(std::uint64_t value) { return put(static_cast<std::int64_t>(value)); }
  postgres_parameters& put(int value) { return put(static_cast<std::int64_t>(value)); }
  postgres_parameters& put(bool value);
  /// The text must be valid UTF-8 without NUL characters.
  postgres_parameters& put(std::string_view text);
  postgres_parameters& put(const char* text) { return put(std::string_view(text)); }
  template <typename Value>
  postgres_parameters& put(const std::optional<Value>& value) {
    return value ? put(*value) : put_null();
  }
  postgres_parameters& put_null();
  postgres_parameters& put_bytes(std::string_view bytes);                        ///< type bytea
  postgres_parameters& put_numbers(std::span<const std::int64_t> values);        ///< bigint[]
  postgres_parameters& put_texts(std::span<const std::string> values);           ///< text[]
  postgres_parameters& put_all_bytes(std::span<const std::string_view> values);  ///< bytea[]

 private:
  friend class postgres_connection;
  struct bound {
    std::string bytes;
    unsigned type = 0;  // OID of the type; 0: the type that the statement expects
    bool binary = false;
    bool null = false;
  };
  postgres_parameters& put_array(unsigned array_type, unsigned type,
                                 std::span<const std::string_view> values);

  std::vector<bound> values_;
};

/// The result of a statement. Rows and columns count from 0.
class postgres_rows {
 public:
  explicit postgres_rows(void* result) : result_(result) {}

  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }
  /// The number of rows that an INSERT, UPDATE or DELETE changed.
  std::uint64_t changed() const;

  bool is_null(std::size_t row, std::size_t column) const noexcept;
  /// The bytes of a value as received; empty for NULL. They are valid as long as this object.
  std::string_view text(std::size_t row, std::size_t column) const noexcept;
  /// A whole number; 0 for NULL.
  std::int64_t number(std::size_t row, std::size_t column) const;
  bool flag(std::size_t row, std::size_t column) const;
  std::optional<std::string> optional_text(std::size_t row, std::size_t column) const;
  std::optional<std::int64_t> optional_number(std::size_t row, std::size_t column) const;

 private:
  struct clearer {
    void operator()(void* result) const noexcept;
  };
  std::unique_ptr<void, clearer> result_;
};

/// The format in which PostgreSQL sends the values of a result. Numbers, texts and flags can be
/// read from both formats. For a bytea, text() returns the bytes only in `binary`.
enum class result_format : std::uint8_t { text, binary };

/// One connection. Not thread safe. Its calls block.
class postgres_connection {
 public:
  /// Connects. Throws connection_lost, or store_error if the URL is not valid.
  explicit postgres_connection(const postgres_options& options);
  postgres_connection(const postgres_connection&) = delete;
  postgres_connection& operator=(const postgres_connection&) = delete;
  ~postgres_connection();

  /// Runs one statement. Outside of a transaction it is its own transaction. If it writes and
  /// connection_lost is thrown, it is unknown whether the change was stored.
  postgres_rows run(const std::string& sql, const postgres_parameters& values = {},
                    result_format format = result_format::text);
  /// Runs any number of statements without values; their rows are ignored. Together they are one
  /// transaction, unless a transaction is already open.
  void run_all(const std::string& sql);

  void begin();
  /// Commits: when it returns, the transaction is stored. Throws commit_unclear. After any other
  /// error nothing of the transaction is stored.
  void commit();
  void roll_back() noexcept;
  /// Replaces the statement_timeout of the options until the end of the transaction.
  void allow(std::chrono::milliseconds statement_timeout);

  /// Returns false if no call can succeed any more.
  bool usable() const noexcept;
  /// "PostgreSQL at HOST:PORT, database NAME".
  const std::string& name() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// The interface through which the work of a transaction runs its statements.
class postgres_transaction {
 public:
  explicit postgres_transaction(postgres_connection& connection) : connection_(connection) {}
  postgres_rows run(const std::string& sql, const postgres_parameters& values = {},
                    result_format format = result_format::text) {
    return connection_.run(sql, values, format);
  }
  void run_all(const std::string& sql) { connection_.run_all(sql); }
  /// From now on, the statements of this transaction have this time limit.
  void allow(std::chrono::milliseconds statement_timeout) { connection_.allow(statement_timeout); }

 private:
  postgres_connection& connection_;
};

/// What to do if the answer to a COMMIT is lost.
enum class if_unclear : std::uint8_t {
  say_so,  ///< throw commit_unclear
  /// Run the work again. Its result must be the same if an earlier run was stored.
  run_again,
};

/// A database. Thread safe. It opens connections when they are needed, and replaces lost ones. Its
/// calls block, so do not call it on the event loop.
class postgres_database {
 public:
  /// Opens the first connection, so that a wrong setting is found at once. Throws store_error.
  explicit postgres_database(postgres_options options);
  postgres_database(const postgres_database&) = delete;
  postgres_database& operator=(const postgres_database&) = delete;
  ~postgres_database();

  /// Runs `work(postgres_transaction&)` in a transaction, commits, and returns the result of the
  /// work. After a deadlock, after a serialization failure, and if the connection was lost before
  /// COMMIT, the work runs again. So it must change nothing but the database. If the work throws,
  /// the transaction is rolled back. The isolation level is PostgreSQL's default, READ COMMITTED;
  /// the work may begin with SET TRANSACTION.
  template <typename Work>
  std::invoke_result_t<Work&, postgres_transaction&> transact(
      Work work, if_unclear unclear = if_unclear::say_so) {
    using result = std::invoke_result_t<Work&, postgres_transaction&>;
    if constexpr (std::is_void_v<result>) {
      transact_erased([&work](postgres_transaction& in) { work(in); }, unclear);
    } else {
      std::optional<result> value;
      transact_erased([&](postgres_transaction& in) { value.emplace(work(in)); }, unclear);
      return *std::move(value);
    }
  }
  /// Runs one statement that only reads. If the connection was lost, it runs the statement again.
  postgres_rows read(const std::string& sql, const postgres_parameters& values = {},
                     result_format format = result_format::text);

  /// "PostgreSQL at HOST:PORT, database NAME".
  std::string name() const;

 private:
  void transact_erased(const std::function<void(postgres_transaction&)>& work, if_unclear unclear);

  struct parts;
  std::unique_ptr<parts> parts_;
};

/// Returns whether the text is meant as the URL of a PostgreSQL.
bool is_postgres_url(std::string_view text);

}  // namespace sluice::store
