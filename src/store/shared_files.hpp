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

/// A change of the files that a running batch writes. A file keeps its number when it is renamed.
struct file_change {
  enum class kind : std::uint8_t {
    create,    ///< makes an empty file `name`
    append,    ///< adds `bytes`, the first of them at `position`
    truncate,  ///< drops the bytes from `position` on
    rename,    ///< gives it the name `name`; another file of that name is gone
    remove,
  };
  kind what = kind::append;
  std::int64_t file = 0;
  std::uint64_t position = 0;
  std::string bytes;
  std::string name;
};

/// The bytes that the servers of one store share: those of the files of batch_store, and what a
/// batch writes while it runs, so that another server can go on with it. Thread safe; each call is
/// one transaction, and blocks. Throws store_error.
class shared_files {
 public:
  virtual ~shared_files() = default;

  // Files: whole, and never changed.

  /// Stores the bytes of the file with this id. False: it has bytes already, and keeps them.
  virtual bool add(std::string_view id, file& bytes) = 0;
  /// Gives the bytes to `write`, piece by piece. False: the file has none.
  virtual bool fetch(std::string_view id,
                     const std::function<void(std::string_view piece)>& write) = 0;
  /// Removes the bytes, unless a record or a batch that has not ended needs them.
  virtual void release(std::string_view id) = 0;

  // What a batch writes while it runs.

  /// Stores changes, in their order. False: the claim is lost, and nothing was stored. It may be
  /// called again with changes that may have been stored.
  virtual bool write(const claim& held, std::span<const file_change> changes) = 0;
  struct stored_file {
    std::int64_t number = 0;
    std::string name;
  };
  virtual std::vector<stored_file> files_of(std::string_view batch) = 0;
  /// Gives the bytes of one file to `write`, piece by piece.
  virtual void read(std::string_view batch, std::int64_t number,
                    const std::function<void(std::string_view piece)>& write) = 0;
  /// Drops what the batch has written, unless it has not ended.
  virtual void drop(std::string_view batch) = 0;

  /// Removes what crashes have left: bytes that nothing needs, and that are at least an hour old.
  virtual void sweep() = 0;
};

}  // namespace sluice::store
