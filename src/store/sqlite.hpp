#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::store {

// A thin layer over SQLite's C interface. Every error is a store_error with a sentence that names
// the file. Not thread safe: one call at a time.

/// An open database.
class sqlite_database {
 public:
  /// Opens the file, or creates it.
  explicit sqlite_database(std::string file);

  /// Runs SQL text of any number of statements; rows are dropped.
  void run(const std::string& sql);
  /// Rows that the last INSERT, UPDATE or DELETE changed.
  std::int64_t changed_rows() const noexcept;
  /// Whether a transaction is open.
  bool in_transaction() const noexcept;

  const std::string& file() const noexcept { return file_; }
  sqlite3* handle() const noexcept { return handle_.get(); }
  /// Throws what a result code of SQLite means, if it means an error.
  void check(int code) const;
  /// Throws: the file does not hold what this program wrote.
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

  /// Goes to the next row. False: there is none.
  bool step();
  /// For a statement without rows.
  void run();

  std::int64_t get_number();
  std::string get_text();
  std::optional<std::int64_t> get_optional_number();
  std::optional<std::string> get_optional_text();
  /// Throws: the row does not hold what this program wrote.
  [[noreturn]] void damaged(std::string_view why) const { database_.damaged(why); }

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };

  bool is_null() const noexcept;  // the next column

  const sqlite_database& database_;
  std::unique_ptr<sqlite3_stmt, finalizer> statement_;
  int parameter_ = 0;  // last one that was bound
  int column_ = 0;     // next one to read
};

/// A transaction that writes: no other connection can write while it lasts. Without a commit() it
/// is rolled back.
class sqlite_transaction {
 public:
  explicit sqlite_transaction(sqlite_database& database);
  sqlite_transaction(const sqlite_transaction&) = delete;
  sqlite_transaction& operator=(const sqlite_transaction&) = delete;
  ~sqlite_transaction();

  /// When this returns, the changes are on disk.
  void commit();

 private:
  sqlite_database& database_;
};

}  // namespace sluice::store
