#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/file_system.hpp"
#include "store/batch_store.hpp"

namespace sluice::store {

/// A change of a file that a running batch writes. A file keeps its number when it is renamed.
struct file_change {
  enum class kind : std::uint8_t {
    create,    ///< makes an empty file `name`
    append,    ///< appends `bytes` at `position`
    truncate,  ///< removes the bytes from `position` on
    rename,    ///< renames the file to `name`; replaces another file with that name
    remove,
  };
  kind what = kind::append;
  std::int64_t file = 0;
  std::uint64_t position = 0;
  std::string bytes;
  std::string name;
};

/// The bytes that the servers of one store share: the files of batch_store, and what a batch writes
/// while it runs, so that another server can continue the batch. Thread safe. Each call blocks, and
/// is one transaction, except sweep(). Throws store_error.
class shared_files {
 public:
  virtual ~shared_files() = default;

  // Files. They are complete, and never change.

  /// Stores the bytes of the file with this id. Returns false if the file already has bytes; they
  /// stay.
  virtual bool add(std::string_view id, file& bytes) = 0;
  /// Passes the bytes to `write`, piece by piece. Returns false if the file has none.
  virtual bool fetch(std::string_view id,
                     const std::function<void(std::string_view piece)>& write) = 0;
  /// Removes the bytes, unless a record or a batch that has not ended needs them.
  virtual void release(std::string_view id) = 0;

  // The files that a batch writes while it runs.

  /// Stores changes in their order. If the claim is lost, it stores nothing and returns false. It
  /// may be called again with changes that may already be stored.
  virtual bool write(const claim& held, std::span<const file_change> changes) = 0;
  struct stored_file {
    std::int64_t number = 0;
    std::string name;
  };
  virtual std::vector<stored_file> files_of(std::string_view batch) = 0;
  /// Passes the bytes of one file to `write`, piece by piece.
  virtual void read(std::string_view batch, std::int64_t number,
                    const std::function<void(std::string_view piece)>& write) = 0;
  /// Removes the files that the batch has written, unless the batch is still open.
  virtual void drop(std::string_view batch) = 0;

  /// Removes the remains of crashes: bytes that nothing needs and that are at least an hour old,
  /// and files of batches that have ended. A call removes a limited number. Each file and each
  /// batch is one transaction, so an error does not bring back what was removed before. The sweep
  /// ends early when `may_go_on` returns false, and when the store is slow or away; the next one
  /// removes the rest.
  virtual void sweep(const std::function<bool()>& may_go_on) = 0;
};

}  // namespace sluice::store
