#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::store {

// A thin layer over SQLite's C interface. Not thread safe: one call at a time. Every error is a
// store_error with a sentence that names the file.

/// An open database.
class sqlite_database {
 public:
  /// Opens the file, or creates it.
  explicit sqlite_database(std::string file);

  /// Runs SQL text with any number of statements; their rows are ignored.
  void run(const std::string& sql);
  /// The number of rows that the last INSERT, UPDATE or DELETE changed.
  std::int64_t changed_rows() const noexcept;
  /// Returns whether a transaction is open.
  bool in_transaction() const noexcept;

  const std::string& file() const noexcept { return file_; }
  sqlite3* handle() const noexcept { return handle_.get(); }
  /// Throws if SQLite's result code is an error.
  void check(int code) const;
  /// Throws an error that says that this program did not write the content of the file.
  [[noreturn]] void damaged(std::string_view why) const;

 private:
  struct closer {
    void operator()(sqlite3* open) const noexcept { sqlite3_close_v2(open); }
  };

  std::string file_;
  std::unique_ptr<sqlite3, closer> handle_;
};

/// A statement and its current row. put() binds the next parameter; get…() reads the next column.
class sqlite_statement {
 public:
  sqlite_statement(const sqlite_database& database, std::string_view sql);

  sqlite_statement& put(std::int64_t value);
  sqlite_statement& put(std::uint64_t value) { return put(static_cast<std::int64_t>(value)); }
  sqlite_statement& put(int value) { return put(static_cast<std::int64_t>(value)); }
  sqlite_statement& put(std::string_view text);
  template <typename Value>
  sqlite_statement& put(const std::optional<Value>& value) {
    return value ? put(*value) : put_null();
  }
  sqlite_statement& put_null();

  /// Goes to the next row. Returns false if there is none.
  bool step();
  /// Runs a statement that returns no rows.
  void run();

  std::int64_t get_number();
  std::string get_text();
  std::optional<std::int64_t> get_optional_number();
  std::optional<std::string> get_optional_text();
  /// Throws an error that says that this program did not write the row.
  [[noreturn]] void damaged(std::string_view why) const { database_.damaged(why); }

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };

  bool is_null() const noexcept;  // of the next column

  const sqlite_database& database_;
  std::unique_ptr<sqlite3_stmt, finalizer> statement_;
  int parameter_ = 0;  // number of the last bound parameter
  int column_ = 0;     // number of the next column to read
};

/// A transaction that writes. No other connection can write while it is open. Without commit() it
/// is rolled back.
class sqlite_transaction {
 public:
  explicit sqlite_transaction(sqlite_database& database);
  sqlite_transaction(const sqlite_transaction&) = delete;
  sqlite_transaction& operator=(const sqlite_transaction&) = delete;
  ~sqlite_transaction();

  /// Commits: when it returns, the changes are on disk.
  void commit();

 private:
  sqlite_database& database_;
};

}  // namespace sluice::store
