#include "store/postgres_files.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <exception>

#include "store/record_columns.hpp"

namespace sluice::store {
namespace {

using parameters = postgres_parameters;

// Number of bytes of a file in one row, before compression.
constexpr std::size_t piece_size = std::size_t{1} << 20;
constexpr int zstd_level = 1;
// Number of rows that are read at once: up to 16 MiB.
constexpr std::int64_t pieces_at_once = 16;
// Number of files, and number of batches, that one sweep removes at most.
constexpr std::int64_t most_swept = 1000;
constexpr std::string_view statement_timed_out = "57014";  // SQLSTATE

std::string compress(std::string_view bytes) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size =
      ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), zstd_level);
  if (ZSTD_isError(size) != 0) throw store_error("bytes cannot be compressed");
  frame.resize(size);
  return frame;
}

class postgres_files final : public shared_files {
 public:
  explicit postgres_files(postgres_database& database) : database_(database) {}

  bool add(std::string_view id, file& bytes) override {
    bool is_mine = false;  // an earlier run of the transaction may have stored it
    return database_.transact(
        [&](postgres_transaction& in) {
          const auto size = bytes.size();
          if (in.run("INSERT INTO sluice.contents (id, bytes) VALUES ($1, $2) "
                     "ON CONFLICT DO NOTHING",
                     parameters().put(id).put(size))
                  .changed() == 0) {
            return is_mine;
          }
          is_mine = true;
          std::string piece;
          std::int64_t number = 0;
          for (std::uint64_t at = 0; at < size; at += piece.size()) {
            piece.resize(std::min<std::uint64_t>(piece_size, size - at));
            std::error_code error;
            piece.resize(bytes.read_at(at, piece.data(), piece.size(), error));
            if (piece.empty()) {
              throw store_error(fmt::format("{}: its bytes cannot be read: {}", id,
                                            error ? error.message() : "the file is too short"));
            }
            in.run("INSERT INTO sluice.pieces (id, number, bytes) VALUES ($1, $2, $3)",
                   parameters().put(id).put(number++).put_bytes(compress(piece)));
          }
          return true;
        },
        if_unclear::run_again);
  }

  bool fetch(std::string_view id,
             const std::function<void(std::string_view piece)>& write) override {
    const auto found =
        database_.read("SELECT bytes FROM sluice.contents WHERE id = $1", parameters().put(id));
    if (found.empty()) return false;
    auto left = static_cast<std::uint64_t>(found.number(0, 0));
    for (std::int64_t number = 0; left > 0; ++number) {
      const auto row =
          database_.read("SELECT bytes FROM sluice.pieces WHERE id = $1 AND number = $2",
                         parameters().put(id).put(number), result_format::binary);
      if (row.empty()) return false;  // the file was removed meanwhile
      const std::string piece = expand(row.text(0, 0));
      if (piece.empty() || piece.size() > left) damaged(id);
      write(piece);
      left -= piece.size();
    }
    return true;
  }

  void release(std::string_view id) override {
    database_.transact(
        [&](postgres_transaction& in) {
          in.run(fmt::format("WITH gone AS (DELETE FROM sluice.contents WHERE id = $1 AND NOT {} "
                             "RETURNING id) DELETE FROM sluice.pieces USING gone WHERE pieces.id = "
                             "gone.id",
                             is_needed()),
                 parameters().put(id));
        },
        if_unclear::run_again);
  }

  bool write(const claim& held, std::span<const file_change> changes) override {
    return database_.transact(
        [&](postgres_transaction& in) {
          // The row lock prevents other servers from taking the batch over during this transaction.
          if (in.run("SELECT 1 FROM sluice.batches WHERE id = $1 AND epoch = $2 AND server IS NOT "
                     "NULL FOR SHARE",
                     parameters().put(held.batch).put(held.epoch))
                  .empty()) {
            return false;
          }
          for (std::size_t at = 0; at < changes.size();) {
            const std::size_t count = appends_at(changes, at);
            if (count > 0) {
              append(in, held.batch, changes.subspan(at, count));
              at += count;
            } else {
              apply(in, held.batch, changes[at++]);
            }
          }
          return true;
        },
        if_unclear::run_again);
  }

  std::vector<stored_file> files_of(std::string_view batch) override {
    const auto rows =
        database_.read("SELECT file, name FROM sluice.batch_files WHERE batch = $1 ORDER BY file",
                       parameters().put(batch));
    std::vector<stored_file> files;
    for (std::size_t n = 0; n < rows.size(); ++n) {
      files.push_back({rows.number(n, 0), std::string(rows.text(n, 1))});
    }
    return files;
  }

  void read(std::string_view batch, std::int64_t number,
            const std::function<void(std::string_view piece)>& write) override {
    std::int64_t position = 0;
    for (;;) {
      const auto rows = database_.read(
          "SELECT position, size, bytes FROM sluice.batch_pieces WHERE batch = $1 AND file = $2 "
          "AND "
          "position >= $3 ORDER BY position LIMIT $4",
          parameters().put(batch).put(number).put(position).put(pieces_at_once),
          result_format::binary);
      if (rows.empty()) return;
      for (std::size_t n = 0; n < rows.size(); ++n) {
        const std::string piece = expand(rows.text(n, 2));
        if (rows.number(n, 0) != position ||
            rows.number(n, 1) != static_cast<std::int64_t>(piece.size())) {
          damaged(batch);
        }
        write(piece);
        position += static_cast<std::int64_t>(piece.size());
      }
    }
  }

  void drop(std::string_view batch) override {
    database_.transact(
        [&](postgres_transaction& in) {
          const auto open =
              in.run(fmt::format("SELECT 1 FROM sluice.batches WHERE id = $1 AND {} FOR SHARE",
                                 is_open_batch),
                     parameters().put(batch));
          if (open.empty()) drop_in(in, batch);
        },
        if_unclear::run_again);
  }

  void sweep(const std::function<bool()>& may_go_on) override {
    std::exception_ptr first;
    sweep_each(
        fmt::format("SELECT id FROM sluice.contents WHERE stored_at < now() - interval '1 hour' "
                    "AND NOT {} LIMIT $1",
                    is_needed()),
        [this](std::string_view id) { release(id); }, may_go_on, first);
    sweep_each(
        fmt::format("SELECT DISTINCT batch AS id FROM sluice.batch_files WHERE NOT EXISTS (SELECT "
                    "1 FROM sluice.batches WHERE batches.id = batch_files.batch AND {}) LIMIT $1",
                    is_open_batch),
        [this](std::string_view batch) { drop(batch); }, may_go_on, first);
    if (first) std::rethrow_exception(first);
  }

 private:
  // Returns an SQL condition for a row of sluice.contents.
  static std::string is_needed() {
    return fmt::format(
        "(EXISTS (SELECT 1 FROM sluice.files WHERE files.id = contents.id) OR "
        "EXISTS (SELECT 1 FROM sluice.batches WHERE {} AND contents.id IN (batches.input_file_id, "
        "batches.ending_output_file_id, batches.ending_error_file_id)))",
        is_open_batch);
  }

  [[noreturn]] void damaged(std::string_view what) const {
    throw store_error(
        fmt::format("{}: the bytes of {} are damaged; restore a backup", database_.name(), what));
  }

  std::string expand(std::string_view frame) const {
    const auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN ||
        size > std::uint64_t{1} << 32) {
      damaged("a piece");
    }
    std::string bytes(size, '\0');
    const std::size_t read =
        ZSTD_decompress(bytes.data(), bytes.size(), frame.data(), frame.size());
    if (ZSTD_isError(read) != 0 || read != bytes.size()) damaged("a piece");
    return bytes;
  }

  // Returns the number of consecutive appends from the position `from` on.
  static std::size_t appends_at(std::span<const file_change> changes, std::size_t from) {
    std::size_t to = from;
    while (to < changes.size() && changes[to].what == file_change::kind::append) ++to;
    return to - from;
  }

  // Writes appends as rows of at most `piece_size` bytes. A row may have the bytes of several
  // consecutive appends to one file. If appends are written again, with others after them, the rows
  // begin at the same positions.
  static void append(postgres_transaction& in, std::string_view batch,
                     std::span<const file_change> changes) {
    std::vector<std::int64_t> files;
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> sizes;
    std::vector<std::string> frames;
    std::string row;
    const auto end_row = [&](std::int64_t file, std::uint64_t end) {
      if (row.empty()) return;
      files.push_back(file);
      positions.push_back(static_cast<std::int64_t>(end - row.size()));
      sizes.push_back(static_cast<std::int64_t>(row.size()));
      frames.push_back(compress(row));
      row.clear();
    };
    for (std::size_t n = 0; n < changes.size(); ++n) {
      const auto& [what, file, position, bytes, name] = changes[n];
      for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t part = std::min(piece_size - row.size(), bytes.size() - at);
        row.append(bytes, at, part);
        at += part;
        if (row.size() == piece_size) end_row(file, position + at);
      }
      const std::uint64_t end = position + bytes.size();
      const bool goes_on =
          n + 1 < changes.size() && changes[n + 1].file == file && changes[n + 1].position == end;
      if (!goes_on) end_row(file, end);
    }
    const std::vector<std::string_view> views(frames.begin(), frames.end());
    in.run(
        "INSERT INTO sluice.batch_pieces (batch, file, position, size, bytes) "
        "SELECT $1, * FROM unnest($2, $3, $4, $5) "
        "ON CONFLICT (batch, file, position) DO UPDATE SET size = excluded.size, bytes = "
        "excluded.bytes",
        parameters()
            .put(batch)
            .put_numbers(files)
            .put_numbers(positions)
            .put_numbers(sizes)
            .put_all_bytes(views));
  }

  void apply(postgres_transaction& in, std::string_view batch, const file_change& change) const {
    const parameters file = parameters().put(batch).put(change.file);
    switch (change.what) {
      case file_change::kind::create:
        in.run(
            "INSERT INTO sluice.batch_files (batch, file, name) VALUES ($1, $2, $3) "
            "ON CONFLICT DO NOTHING",
            parameters(file).put(change.name));
        return;
      case file_change::kind::truncate:
        return truncate(in, batch, change);
      case file_change::kind::rename: {
        const auto others = in.run(
            "DELETE FROM sluice.batch_files WHERE batch = $1 AND file <> $2 AND name = $3 "
            "RETURNING "
            "file",
            parameters(file).put(change.name));
        for (std::size_t n = 0; n < others.size(); ++n) {
          in.run("DELETE FROM sluice.batch_pieces WHERE batch = $1 AND file = $2",
                 parameters().put(batch).put(others.number(n, 0)));
        }
        in.run("UPDATE sluice.batch_files SET name = $3 WHERE batch = $1 AND file = $2",
               parameters(file).put(change.name));
        return;
      }
      case file_change::kind::remove:
        in.run("DELETE FROM sluice.batch_files WHERE batch = $1 AND file = $2", file);
        in.run("DELETE FROM sluice.batch_pieces WHERE batch = $1 AND file = $2", file);
        return;
      case file_change::kind::append:
        break;
    }
  }

  void truncate(postgres_transaction& in, std::string_view batch, const file_change& to) const {
    const parameters place = parameters().put(batch).put(to.file).put(to.position);
    in.run("DELETE FROM sluice.batch_pieces WHERE batch = $1 AND file = $2 AND position >= $3",
           place);
    const auto last = in.run(
        "SELECT position, bytes FROM sluice.batch_pieces WHERE batch = $1 AND file = $2 AND "
        "position < $3 AND position + size > $3",
        place, result_format::binary);
    if (last.empty()) return;
    std::string bytes = expand(last.text(0, 1));
    const std::int64_t position = last.number(0, 0);
    bytes.resize(to.position - static_cast<std::uint64_t>(position));
    in.run(
        "UPDATE sluice.batch_pieces SET size = $4, bytes = $5 WHERE batch = $1 AND file = $2 AND "
        "position = $3",
        parameters()
            .put(batch)
            .put(to.file)
            .put(position)
            .put(std::uint64_t{bytes.size()})
            .put_bytes(compress(bytes)));
  }

  // Calls `remove` for each id that the statement finds. Each id has its own transaction, so that a
  // sweep with too much to remove is not in vain. If an id cannot be removed, the others still are.
  // But a timeout ends the sweep, because the next ids may take as long. The order is random, so
  // that one id with a timeout does not keep the same others in every sweep.
  template <typename Remove>
  void sweep_each(const std::string& sql, Remove remove, const std::function<bool()>& may_go_on,
                  std::exception_ptr& first) {
    if (!may_go_on()) return;
    const auto found =
        database_.read(fmt::format("SELECT id FROM ({}) AS unneeded ORDER BY random()", sql),
                       parameters().put(most_swept));
    for (std::size_t n = 0; n < found.size() && may_go_on(); ++n) {
      try {
        remove(found.text(n, 0));
      } catch (const postgres_error& fault) {
        if (fault.state() == statement_timed_out) throw;
        if (!first) first = std::current_exception();
      }
    }
  }

  static void drop_in(postgres_transaction& in, std::string_view batch) {
    in.run("DELETE FROM sluice.batch_files WHERE batch = $1", parameters().put(batch));
    in.run("DELETE FROM sluice.batch_pieces WHERE batch = $1", parameters().put(batch));
  }

  postgres_database& database_;
};

}  // namespace

std::unique_ptr<shared_files> open_postgres_files(postgres_database& database) {
  return std::make_unique<postgres_files>(database);
}

}  // namespace sluice::store
