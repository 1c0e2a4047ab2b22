#include "store/sqlite.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "store/batch_store.hpp"

namespace sluice::store {
namespace {

// In milliseconds. This program has only one connection, so it waits here only for other programs,
// such as a backup.
constexpr int longest_wait = 10'000;

// `error`: the errno after the failed call, which was 0 before the call. sqlite3_system_errno()
// does not report errors of a commit.
bool is_full(int code, int error) {
  const int kind = code & 0xff;
  if (kind == SQLITE_FULL) return true;
  return (kind == SQLITE_IOERR || kind == SQLITE_CANTOPEN) && (error == ENOSPC || error == EDQUOT);
}

[[noreturn]] void fail(const std::string& file, sqlite3* handle, int code) {
  if (is_full(code, errno)) {
    throw store_error(fmt::format("{}: the disk is full; make room on it", file), true);
  }
  const std::string why = handle == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle);
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw store_error(
          fmt::format("{}: is damaged, or is no database of this program ({}); restore a backup of "
                      "it, or move it away to begin without batches",
                      file, why));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw store_error(
          fmt::format("{}: another program has locked it for more than {} seconds; end that "
                      "program",
                      file, longest_wait / 1000));
    case SQLITE_CONSTRAINT:
      throw store_error(fmt::format("{}: does not take the record ({})", file, why));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      throw store_error(
          fmt::format("{}: cannot be opened to read and write ({}); correct the rights of the file "
                      "and of its folder, or choose another folder",
                      file, why));
    default:
      throw store_error(fmt::format("{}: cannot be used ({}); check the disk", file, why));
  }
}

}  // namespace

sqlite_database::sqlite_database(std::string file) : file_(std::move(file)) {
  sqlite3* opened = nullptr;
  errno = 0;
  const int code = sqlite3_open_v2(
      file_.c_str(), &opened,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  handle_.reset(opened);
  check(code);
  check(sqlite3_busy_timeout(handle(), longest_wait));
}

void sqlite_database::run(const std::string& sql) {
  errno = 0;
  check(sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr));
}

std::int64_t sqlite_database::changed_rows() const noexcept {
  return sqlite3_changes64(handle());
}

bool sqlite_database::in_transaction() const noexcept {
  return sqlite3_get_autocommit(handle()) == 0;
}

void sqlite_database::check(int code) const {
  if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) fail(file_, handle(), code);
}

void sqlite_database::damaged(std::string_view why) const {
  throw store_error(fmt::format(
      "{}: is damaged ({}); restore a backup of it, or move it away to begin without batches",
      file_, why));
}

sqlite_statement::sqlite_statement(const sqlite_database& database, std::string_view sql)
    : database_(database) {
  sqlite3_stmt* made = nullptr;
  errno = 0;
  const int code = sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()),
                                      &made, nullptr);
  statement_.reset(made);
  database_.check(code);
}

sqlite_statement& sqlite_statement::put(std::int64_t value) {
  database_.check(sqlite3_bind_int64(statement_.get(), ++parameter_, value));
  return *this;
}

sqlite_statement& sqlite_statement::put(std::string_view text) {
  // SQLite would bind a null pointer as NULL.
  const char* const data = text.data() == nullptr ? "" : text.data();
  database_.check(sqlite3_bind_text64(statement_.get(), ++parameter_, data, text.size(),
                                      SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

sqlite_statement& sqlite_statement::put_null() {
  database_.check(sqlite3_bind_null(statement_.get(), ++parameter_));
  return *this;
}

bool sqlite_statement::step() {
  column_ = 0;
  errno = 0;
  const int code = sqlite3_step(statement_.get());
  database_.check(code);
  return code == SQLITE_ROW;
}

void sqlite_statement::run() {
  while (step()) {
  }
}

bool sqlite_statement::is_null() const noexcept {
  return sqlite3_column_type(statement_.get(), column_) == SQLITE_NULL;
}

std::int64_t sqlite_statement::get_number() {
  return sqlite3_column_int64(statement_.get(), column_++);
}

std::string sqlite_statement::get_text() {
  const int column = column_++;
  const unsigned char* const text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

std::optional<std::int64_t> sqlite_statement::get_optional_number() {
  if (!is_null()) return get_number();
  ++column_;
  return std::nullopt;
}

std::optional<std::string> sqlite_statement::get_optional_text() {
  if (!is_null()) return get_text();
  ++column_;
  return std::nullopt;
}

sqlite_transaction::sqlite_transaction(sqlite_database& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

sqlite_transaction::~sqlite_transaction() {
  // Many errors, such as a full disk, end the transaction at once.
  if (!database_.in_transaction()) return;
  sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void sqlite_transaction::commit() {
  database_.run("COMMIT");
}

}  // namespace sluice::store
