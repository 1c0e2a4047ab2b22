#include "store/postgres.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "store/libpq.hpp"

namespace sluice::store {
namespace {

using clock_type = std::chrono::steady_clock;

constexpr unsigned bool_type = 16;
constexpr unsigned bytea_type = 17;
constexpr unsigned bigint_type = 20;
constexpr unsigned text_type = 25;
constexpr unsigned bytea_array = 1001;
constexpr unsigned text_array = 1009;
constexpr unsigned bigint_array = 1016;

void add_number(std::string& to, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    to += static_cast<char>(value >> static_cast<unsigned>(shift));
  }
}

template <typename Deleter>
const PGresult* native(const std::unique_ptr<void, Deleter>& result) {
  return static_cast<const PGresult*>(result.get());
}

// Joins a message of libpq into one line. Such messages have several lines and end with a newline.
std::string in_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

std::string_view field(const PGresult* result, int which) {
  const char* const text = libpq().PQresultErrorField(result, which);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

// Returns whether the error means that the server ends the connection, or is about to end it.
bool ends_connection(std::string_view state) {
  return state.starts_with("57P") || state.starts_with("08") || state == "25P03" ||
         // The server has become a standby; another server accepts writes now.
         state == "25006";
}

// Returns whether a COMMIT with this error has stored nothing of the transaction.
bool refuses_commit(std::string_view state) {
  return state.starts_with("23") || state.starts_with("40") || state.starts_with("25");
}

[[noreturn]] void refuse_url(std::string_view why) {
  // The message leaves out the URL, because it may contain a password.
  throw store_error(
      fmt::format("--store: {}; write postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE, with "
                  "special characters of the password as %XX",
                  why));
}

// The parts of a URL, as libpq reads it: the user and the password end at the first '@', unless a
// '/' comes before it.
struct url_parts {
  std::string_view user;  // with the password
  std::string_view hosts;
  std::string_view path;
  std::string_view query;
};
url_parts parts_of(std::string_view url) {
  url_parts parts;
  url.remove_prefix(url.find("://") + 3);
  if (const auto at = url.find_first_of("@/"); at != url.npos && url[at] == '@') {
    parts.user = url.substr(0, at);
    url.remove_prefix(at + 1);
  }
  parts.hosts = url.substr(0, url.find_first_of("/?"));
  url.remove_prefix(parts.hosts.size());
  parts.path = url.substr(0, url.find('?'));
  url.remove_prefix(parts.path.size());
  parts.query = url.substr(std::min<std::size_t>(1, url.size()));
  return parts;
}

// Checks the URL before libpq does. With these faults, the rest of a password with special
// characters would be in a message of libpq or in the name of the database.
void check_url(std::string_view url) {
  if (!is_postgres_url(url)) refuse_url("is not the URL of a PostgreSQL");
  for (auto at = url.find('%'); at != url.npos; at = url.find('%', at + 1)) {
    constexpr std::string_view digits = "0123456789abcdefABCDEF";
    const std::string_view code = url.substr(at + 1, 2);
    if (code.size() < 2 || code.find_first_not_of(digits) != code.npos || code == "00") {
      refuse_url("the URL has a '%' without two hexadecimal digits");
    }
  }
  const url_parts parts = parts_of(url);
  std::string_view hosts = parts.hosts;
  if (hosts.find('@') != hosts.npos) refuse_url("the URL has a second '@'");
  if (parts.path.find('@') != url.npos) refuse_url("the URL has an '@' in the database's name");
  if (parts.user.empty() && parts.query.find('@') != url.npos) {
    refuse_url("the URL has an '@' in its parameters, which must be %40");
  }
  for (std::string_view query = parts.query; !query.empty();) {
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    if (parameter.find('=') == url.npos) refuse_url("a parameter in the URL has no '='");
  }
  while (!hosts.empty()) {
    const std::string_view host = hosts.substr(0, hosts.find(','));
    hosts.remove_prefix(std::min(host.size() + 1, hosts.size()));
    const auto colon = host.find(':', host.starts_with('[') ? host.find(']') : 0);
    if (colon != host.npos &&
        host.find_first_not_of("0123456789", colon + 1) != std::string_view::npos) {
      refuse_url("a port in the URL is not a number");
    }
  }
}

// Returns the password as the URL contains it, without decoding it.
std::string_view password_in(std::string_view url) {
  if (const auto given = url.find("password="); given != url.npos) {
    url.remove_prefix(given + std::string_view("password=").size());
    return url.substr(0, url.find('&'));
  }
  const std::string_view user = parts_of(url).user;
  const auto colon = user.find(':');
  return colon == user.npos ? std::string_view() : user.substr(colon + 1);
}

}  // namespace

bool is_postgres_url(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}

postgres_error::postgres_error(const std::string& what, std::string state)
    : store_error(what, state == "53100"), state_(std::move(state)) {}

postgres_parameters& postgres_parameters::put(std::int64_t number) {
  values_.push_back({.bytes = fmt::to_string(number)});
  return *this;
}

postgres_parameters& postgres_parameters::put(bool flag) {
  values_.push_back({.bytes = flag ? "t" : "f", .type = bool_type});
  return *this;
}

postgres_parameters& postgres_parameters::put(std::string_view text) {
  values_.push_back({.bytes = std::string(text)});
  return *this;
}

postgres_parameters& postgres_parameters::put_null() {
  values_.push_back({.bytes = {}, .null = true});
  return *this;
}

postgres_parameters& postgres_parameters::put_bytes(std::string_view bytes) {
  values_.push_back({.bytes = std::string(bytes), .type = bytea_type, .binary = true});
  return *this;
}

// Adds an array of one dimension in PostgreSQL's binary form.
postgres_parameters& postgres_parameters::put_array(unsigned array_type, unsigned type,
                                                    std::span<const std::string_view> values) {
  std::string bytes;
  add_number(bytes, values.empty() ? 0 : 1, 4);
  add_number(bytes, 0, 4);  // flag: the array has no NULL
  add_number(bytes, type, 4);
  if (!values.empty()) {
    add_number(bytes, values.size(), 4);
    add_number(bytes, 1, 4);  // index of the first element
  }
  for (const std::string_view value : values) {
    add_number(bytes, value.size(), 4);
    bytes += value;
  }
  values_.push_back({.bytes = std::move(bytes), .type = array_type, .binary = true});
  return *this;
}

postgres_parameters& postgres_parameters::put_numbers(std::span<const std::int64_t> values) {
  std::string numbers;
  numbers.reserve(values.size() * 8);
  for (const std::int64_t value : values) add_number(numbers, static_cast<std::uint64_t>(value), 8);
  std::vector<std::string_view> parts;
  parts.reserve(values.size());
  for (std::size_t n = 0; n < values.size(); ++n) {
    parts.push_back(std::string_view(numbers).substr(n * 8, 8));
  }
  return put_array(bigint_array, bigint_type, parts);
}

postgres_parameters& postgres_parameters::put_texts(std::span<const std::string> values) {
  const std::vector<std::string_view> parts(values.begin(), values.end());
  return put_array(text_array, text_type, parts);
}

postgres_parameters& postgres_parameters::put_all_bytes(std::span<const std::string_view> values) {
  return put_array(bytea_array, bytea_type, values);
}

void postgres_rows::clearer::operator()(void* result) const noexcept {
  libpq().PQclear(static_cast<PGresult*>(result));
}

std::size_t postgres_rows::size() const noexcept {
  return static_cast<std::size_t>(libpq().PQntuples(native(result_)));
}

std::uint64_t postgres_rows::changed() const {
  const std::string_view text = libpq().PQcmdTuples(static_cast<PGresult*>(result_.get()));
  std::uint64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

bool postgres_rows::is_null(std::size_t row, std::size_t column) const noexcept {
  return libpq().PQgetisnull(native(result_), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::string_view postgres_rows::text(std::size_t row, std::size_t column) const noexcept {
  const int at = static_cast<int>(row);
  const int of = static_cast<int>(column);
  return {libpq().PQgetvalue(native(result_), at, of),
          static_cast<std::size_t>(libpq().PQgetlength(native(result_), at, of))};
}

std::int64_t postgres_rows::number(std::size_t row, std::size_t column) const {
  if (is_null(row, column)) return 0;
  const std::string_view value = text(row, column);
  if (libpq().PQfformat(native(result_), static_cast<int>(column)) == 0) {
    std::int64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }
  // The first byte contains the sign.
  std::int64_t number = value.empty() ? 0 : static_cast<signed char>(value.front());
  for (const char byte : value.substr(std::min<std::size_t>(1, value.size()))) {
    number = number * 256 + static_cast<unsigned char>(byte);
  }
  return number;
}

bool postgres_rows::flag(std::size_t row, std::size_t column) const {
  const std::string_view value = text(row, column);
  return value == "t" || value == std::string_view("\1", 1);
}

std::optional<std::string> postgres_rows::optional_text(std::size_t row, std::size_t column) const {
  if (is_null(row, column)) return std::nullopt;
  return std::string(text(row, column));
}

std::optional<std::int64_t> postgres_rows::optional_number(std::size_t row,
                                                           std::size_t column) const {
  if (is_null(row, column)) return std::nullopt;
  return number(row, column);
}

struct postgres_connection::parts {
  explicit parts(const postgres_options& options)
      : statement_timeout(options.statement_timeout),
        limit(statement_timeout),
        // SET LOCAL applies only to this transaction, because a pooler may use another connection
        // for the next one.
        begin(fmt::format("BEGIN; SET LOCAL statement_timeout = {}; "
                          "SET LOCAL idle_in_transaction_session_timeout = {}",
                          options.statement_timeout.count(), options.idle_timeout.count())) {
    check_url(options.url);
    url_password = password_in(options.url);
    connect(options);
  }
  ~parts() { libpq().PQfinish(open); }
  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;

  void connect(const postgres_options& options) {
    std::vector<const char*> names;
    std::vector<const char*> values;
    const auto add = [&](const char* parameter, const char* value) {
      names.push_back(parameter);
      values.push_back(value);
    };
    // Parameters before `dbname` are defaults: the URL replaces them. A service file does not.
    const std::string timeout = fmt::to_string(options.connect_timeout.count());
    if (std::getenv("PGCONNECT_TIMEOUT") == nullptr) add("connect_timeout", timeout.c_str());
    const std::string unanswered = fmt::to_string(options.statement_timeout.count());
    add("tcp_user_timeout", unanswered.c_str());
    // If the URL has several hosts, connect to the one that accepts writes.
    if (std::getenv("PGTARGETSESSIONATTRS") == nullptr) add("target_session_attrs", "read-write");
    add("dbname", options.url.c_str());
    add("client_encoding", "UTF8");
    add("fallback_application_name", "sluice");
    add(nullptr, nullptr);
    open = libpq().PQconnectdbParams(names.data(), values.data(), 1);
    if (open == nullptr) throw connection_lost("PostgreSQL: no memory for a connection");
    const auto shown = [](const char* text) {
      return text == nullptr || *text == '\0' ? "(default)" : text;
    };
    name = fmt::format("PostgreSQL at {}:{}, database {}", shown(libpq().PQhost(open)),
                       shown(libpq().PQport(open)), shown(libpq().PQdb(open)));
    if (libpq().PQstatus(open) != CONNECTION_OK || libpq().PQsetnonblocking(open, 1) != 0) {
      const std::string why = last_message();
      libpq().PQfinish(std::exchange(open, nullptr));
      throw connection_lost(fmt::format("{}: cannot connect: {}", name, why));
    }
    libpq().PQsetNoticeReceiver(
        open,
        [](void* self, const PGresult* notice) {
          // If a COMMIT stops waiting for the standby, PostgreSQL reports it only as a warning.
          if (field(notice, PG_DIAG_SQLSTATE) == "01000") static_cast<parts*>(self)->warned = true;
        },
        this);
  }

  std::string last_message() const {
    std::string message = in_one_line(libpq().PQerrorMessage(open));
    const char* const password = libpq().PQpass(open);
    for (const std::string_view secret :
         {std::string_view(password == nullptr ? "" : password), std::string_view(url_password)}) {
      if (secret.empty()) continue;
      for (auto at = message.find(secret); at != message.npos; at = message.find(secret, at + 3)) {
        message.replace(at, secret.size(), "***");
      }
    }
    return message;
  }

  [[noreturn]] void lost(std::string_view why) {
    broken = true;
    // PostgreSQL terminates at once when the disk of its log is full. The text that libpq adds has
    // no further information.
    if (why.find("No space left on device") != why.npos) {
      why = why.substr(0, why.find(" server closed the connection"));
      throw connection_lost(fmt::format("{}: {} ({})", name, disk_is_full, why));
    }
    throw connection_lost(fmt::format("{}: the connection was lost: {}", name, why));
  }

  // Waits until the socket is ready. Returns the events for which it is ready.
  short wait(short events, clock_type::time_point until) {
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - clock_type::now()).count();
      pollfd socket{.fd = libpq().PQsocket(open), .events = events, .revents = 0};
      const int ready = left <= 0 ? 0 : poll(&socket, 1, static_cast<int>(left));
      if (ready > 0) return socket.revents;
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) lost(std::generic_category().message(errno));
      lost(fmt::format("no answer within {} s", static_cast<double>(patience.count()) / 1000));
    }
  }

  // Throws if the server has ended the connection since the last call.
  void notice_end() {
    if (broken) lost("it is closed");
    pollfd socket{.fd = libpq().PQsocket(open), .events = POLLIN, .revents = 0};
    while (poll(&socket, 1, 0) > 0) {
      if (libpq().PQconsumeInput(open) == 0) lost(last_message());
      libpq().PQisBusy(open);  // processes the received data
    }
  }

  // Receives the answers to everything that was sent. Returns the last result, or throws for the
  // first error.
  postgres_rows receive() {
    // PostgreSQL's own statement timeout comes first.
    patience = limit + std::chrono::seconds{5};
    const auto until = clock_type::now() + patience;
    for (int left = libpq().PQflush(open); left != 0; left = libpq().PQflush(open)) {
      if (left < 0) lost(last_message());
      const short ready = wait(POLLIN | POLLOUT, until);
      if ((ready & POLLIN) != 0 && libpq().PQconsumeInput(open) == 0) lost(last_message());
    }
    postgres_rows kept(nullptr);
    bool failed = false;
    for (;;) {
      while (libpq().PQisBusy(open) != 0) {
        wait(POLLIN, until);
        if (libpq().PQconsumeInput(open) == 0) lost(last_message());
      }
      PGresult* const result = libpq().PQgetResult(open);
      if (result == nullptr) break;
      postgres_rows rows(result);
      const auto status = libpq().PQresultStatus(result);
      if (failed) continue;
      failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
      kept = std::move(rows);
      last = result;
    }
    if (failed) fail(last);
    if (libpq().PQstatus(open) != CONNECTION_OK) lost(last_message());
    return kept;
  }

  [[noreturn]] void fail(const PGresult* result) {
    const std::string state(field(result, PG_DIAG_SQLSTATE));
    std::string why = in_one_line(field(result, PG_DIAG_MESSAGE_PRIMARY));
    if (state.empty() || libpq().PQstatus(open) != CONNECTION_OK || ends_connection(state)) {
      lost(why.empty() ? last_message() : why);
    }
    const std::string_view detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    if (!detail.empty() && !state.starts_with("23")) why += "; " + in_one_line(detail);
    if (state == "53100") {
      throw postgres_error(fmt::format("{}: {} ({})", name, disk_is_full, why), state);
    }
    if (state == "57014") why += "; it is slow or a lock is held";
    throw postgres_error(fmt::format("{}: {} (SQLSTATE {})", name, why, state), state);
  }

  void send(const std::string& sql) {
    if (broken) lost("it is closed");
    if (libpq().PQsendQuery(open, sql.c_str()) == 0) lost(last_message());
  }

  PGconn* open = nullptr;
  std::string url_password;  // the password as the URL contains it
  const PGresult* last = nullptr;
  std::string name;
  const std::chrono::milliseconds statement_timeout;
  std::chrono::milliseconds limit;  // of the statements of this transaction
  std::chrono::milliseconds patience{};
  std::string begin;
  bool broken = false;
  bool warned = false;
};

postgres_connection::postgres_connection(const postgres_options& options)
    : parts_(std::make_unique<parts>(options)) {}

postgres_connection::~postgres_connection() = default;

postgres_rows postgres_connection::run(const std::string& sql, const postgres_parameters& values,
                                       result_format format) {
  const auto count = values.values_.size();
  std::vector<Oid> types(count);
  std::vector<const char*> bytes(count);
  std::vector<int> lengths(count);
  std::vector<int> formats(count);
  for (std::size_t n = 0; n < count; ++n) {
    const auto& value = values.values_[n];
    types[n] = value.type;
    bytes[n] = value.null ? nullptr : value.bytes.c_str();
    lengths[n] = static_cast<int>(value.bytes.size());
    formats[n] = value.binary ? 1 : 0;
  }
  if (parts_->broken) parts_->lost("it is closed");
  if (libpq().PQsendQueryParams(parts_->open, sql.c_str(), static_cast<int>(count), types.data(),
                                bytes.data(), lengths.data(), formats.data(),
                                format == result_format::binary ? 1 : 0) == 0) {
    parts_->lost(parts_->last_message());
  }
  return parts_->receive();
}

void postgres_connection::run_all(const std::string& sql) {
  parts_->send(sql);
  parts_->receive();
}

void postgres_connection::begin() {
  parts_->limit = parts_->statement_timeout;
  run_all(parts_->begin);
}

void postgres_connection::commit() {
  // A connection that is lost before COMMIT is sent means that nothing is stored.
  parts_->notice_end();
  if (libpq().PQtransactionStatus(parts_->open) != PQTRANS_INTRANS) {
    roll_back();
    throw postgres_error(fmt::format("{}: the transaction had failed before its end", name()),
                         "25P02");
  }
  parts_->warned = false;
  const auto unclear = [this](std::string_view why) {
    parts_->broken = true;
    if (why.starts_with(name() + ": ")) why.remove_prefix(name().size() + 2);
    return commit_unclear(
        fmt::format("{}: it is not known whether the last change was stored: {}", name(), why));
  };
  try {
    parts_->send("COMMIT");
    const auto done = parts_->receive();
    if (std::string_view(libpq().PQcmdStatus(const_cast<PGresult*>(parts_->last))) == "ROLLBACK") {
      throw postgres_error(fmt::format("{}: the transaction was rolled back", name()), "40000");
    }
  } catch (const connection_lost& fault) {
    throw unclear(fault.what());
  } catch (const postgres_error& fault) {
    if (refuses_commit(fault.state())) throw;
    throw unclear(fault.what());
  }
  if (parts_->warned) throw unclear("the standby has not confirmed it");
}

void postgres_connection::allow(std::chrono::milliseconds statement_timeout) {
  run_all(fmt::format("SET LOCAL statement_timeout = {}", statement_timeout.count()));
  parts_->limit = statement_timeout;
}

void postgres_connection::roll_back() noexcept {
  parts_->limit = parts_->statement_timeout;
  if (!usable() || libpq().PQtransactionStatus(parts_->open) == PQTRANS_IDLE) return;
  try {
    run_all("ROLLBACK");
  } catch (const std::exception&) {
    parts_->broken = true;  // PostgreSQL rolls back when the connection closes
  }
}

bool postgres_connection::usable() const noexcept {
  return !parts_->broken && libpq().PQstatus(parts_->open) == CONNECTION_OK;
}

const std::string& postgres_connection::name() const noexcept {
  return parts_->name;
}

}  // namespace sluice::store
