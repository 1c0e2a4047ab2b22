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

// A thin layer over libpq. Every error is a store_error with one sentence that names the host and
// the database, and never a password. Statements are unnamed and no state outlives a transaction,
// so that a pooler between may give each transaction another connection (pgbouncer's transaction
// mode).

struct postgres_options {
  /// "postgresql://[user[:password]@][host[:port],…][/database][?parameter=value&…]". What it does
  /// not say comes from a service file, from PG* variables, or is libpq's default, as for psql.
  std::string url;
  /// For one host of the URL. The URL, a service file or PGCONNECT_TIMEOUT may name another.
  std::chrono::seconds connect_timeout{10};
  /// A statement that takes longer is ended, and so is the connection.
  std::chrono::milliseconds statement_timeout{30'000};
  /// PostgreSQL ends a transaction that waits for its client longer: a frozen process holds no
  /// lock.
  std::chrono::milliseconds idle_timeout{10'000};
  /// How long a call tries again while the database is away.
  std::chrono::milliseconds patience{10'000};
  /// Open connections, at most; a call waits for one to be free.
  std::size_t most_connections = 4;
};

/// PostgreSQL refused a statement.
class postgres_error : public store_error {
 public:
  postgres_error(const std::string& what, std::string state);
  /// SQLSTATE: five characters.
  const std::string& state() const noexcept { return state_; }

 private:
  std::string state_;
};

/// What an error says, after the server's name, when the server has no room.
inline constexpr std::string_view disk_is_full = "its disk is full; make room on it";

/// The connection could not be made, or ended. What had not been committed is lost.
class connection_lost : public store_error {
  using store_error::store_error;
};

/// COMMIT was sent, and its answer did not come: all of the transaction is stored, or nothing, or
/// it is still being stored.
class commit_unclear : public store_error {
  using store_error::store_error;
};

/// The values of $1, $2, … in a statement. Their types are those that the statement expects, unless
/// said otherwise.
class postgres_parameters {
 public:
  postgres_parameters& put(std::int64_t value);
  postgres_parameters& put(std::uint64_t value) { return put(static_cast<std::int64_t>(value)); }
  postgres_parameters& put(int value) { return put(static_cast<std::int64_t>(value)); }
  postgres_parameters& put(bool value);
  /// Valid UTF-8 without NUL characters.
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
    unsigned type = 0;  // OID; 0: what the statement expects
    bool binary = false;
    bool null = false;
  };
  postgres_parameters& put_array(unsigned array_type, unsigned type,
                                 std::span<const std::string_view> values);

  std::vector<bound> values_;
};

/// What a statement gave. Rows and columns count from 0.
class postgres_rows {
 public:
  explicit postgres_rows(void* result) : result_(result) {}

  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }
  /// Rows that an INSERT, UPDATE or DELETE changed.
  std::uint64_t changed() const;

  bool is_null(std::size_t row, std::size_t column) const noexcept;
  /// The bytes of a value as they came; empty for NULL. They live as long as this object.
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

/// How the values of a result come. Numbers, texts and flags read alike from both; the bytes of a
/// bytea are those of text() only in `binary`.
enum class result_format : std::uint8_t { text, binary };

/// One connection. Not thread safe; its calls block.
class postgres_connection {
 public:
  /// Connects. Throws connection_lost, and store_error if the URL is not one.
  explicit postgres_connection(const postgres_options& options);
  postgres_connection(const postgres_connection&) = delete;
  postgres_connection& operator=(const postgres_connection&) = delete;
  ~postgres_connection();

  /// One statement. Outside of a transaction it is one of its own, and if it writes, it is not
  /// known after connection_lost whether it did.
  postgres_rows run(const std::string& sql, const postgres_parameters& values = {},
                    result_format format = result_format::text);
  /// Any number of statements without values; rows are dropped. Together they are one transaction
  /// unless one is open.
  void run_all(const std::string& sql);

  void begin();
  /// When this returns, the transaction is stored. Throws commit_unclear; after any other error
  /// nothing of it is stored.
  void commit();
  void roll_back() noexcept;

  /// False: no call can succeed any more.
  bool usable() const noexcept;
  /// "PostgreSQL at HOST:PORT, database NAME".
  const std::string& name() const noexcept;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// What the work of a transaction runs its statements on.
class postgres_transaction {
 public:
  explicit postgres_transaction(postgres_connection& connection) : connection_(connection) {}
  postgres_rows run(const std::string& sql, const postgres_parameters& values = {},
                    result_format format = result_format::text) {
    return connection_.run(sql, values, format);
  }
  void run_all(const std::string& sql) { connection_.run_all(sql); }

 private:
  postgres_connection& connection_;
};

/// What to do when the answer to a COMMIT is lost.
enum class if_unclear : std::uint8_t {
  say_so,     ///< throw commit_unclear
  run_again,  ///< the work gives the same end where an earlier run of it was stored
};

/// A database: opens connections when they are needed, and again when they were lost. Thread safe;
/// its calls block, so do not call it on the event loop.
class postgres_database {
 public:
  /// Opens the first connection, so that a mistake is found at once. Throws store_error.
  explicit postgres_database(postgres_options options);
  postgres_database(const postgres_database&) = delete;
  postgres_database& operator=(const postgres_database&) = delete;
  ~postgres_database();

  /// Runs `work(postgres_transaction&)` in a transaction, commits, and returns what it returned.
  /// After a deadlock or a serialization failure, and when the connection was lost before COMMIT,
  /// the work runs again, so it must change nothing but the database. An exception of the work
  /// rolls back. The level is PostgreSQL's default, READ COMMITTED; the work may begin with SET
  /// TRANSACTION.
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
  /// One statement that only reads. It runs again when the connection was lost.
  postgres_rows read(const std::string& sql, const postgres_parameters& values = {},
                     result_format format = result_format::text);

  /// "PostgreSQL at HOST:PORT, database NAME".
  std::string name() const;

 private:
  void transact_erased(const std::function<void(postgres_transaction&)>& work, if_unclear unclear);

  struct parts;
  std::unique_ptr<parts> parts_;
};

/// Whether an option's value is meant as the URL of a PostgreSQL.
bool is_postgres_url(std::string_view text);

}  // namespace sluice::store
