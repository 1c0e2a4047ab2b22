#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace sluice {

/// An open file. sync() is thread safe; all other members need external synchronization.
///
/// The destructor closes the file and releases its lock. Errors are returned; the caller writes the
/// message for the user.
class file {
 public:
  struct lock_result {
    enum class state : std::uint8_t {
      ours,
      held,     ///< another open file has it, in this or in another process
      unknown,  ///< the file system has no locks
    };
    state is = state::ours;
    long holder = 0;  ///< the process that has it; 0 if not visible: another user or machine
  };

  virtual ~file() = default;
  /// Reads up to `size` bytes. Returns 0 at the end of the file or on an error.
  virtual std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                              std::error_code& error) = 0;
  /// Appends as many bytes as possible. If not all were written, `error` has the reason.
  virtual std::size_t append(std::string_view bytes, std::error_code& error) = 0;
  virtual std::error_code truncate(std::uint64_t size) = 0;
  /// After this returns, appended bytes survive a power failure.
  virtual std::error_code sync() = 0;
  /// Whether the bytes of a failed sync() are kept, so that a later sync() can still succeed.
  /// False: it may return no error although the bytes are lost.
  virtual bool keeps_unsynced() const { return false; }
  virtual std::uint64_t size() const = 0;
  /// False for a pipe or a device, which cannot be read again and so cannot hold results.
  virtual bool is_regular() const = 0;
  /// Locks the file for this object, against all other objects and processes that open it. The lock
  /// lasts until the object is destroyed or the process ends. If the holder is not visible, waits
  /// for a tenth of a second: it may be a process that is ending.
  virtual lock_result lock() = 0;
  /// Allocates disk space after the end, so that `bytes` bytes can be appended even on a full disk.
  /// The file's size does not change; truncate() frees the space. Not an error if the file system
  /// cannot do it.
  virtual std::error_code reserve(std::uint64_t bytes) = 0;
  /// Whether the file has space that reserve() allocated, here or in an earlier process.
  virtual bool has_reserve() const { return false; }
  /// The file's path now; nothing if it has no name any more.
  virtual std::optional<std::string> current_path() const = 0;
};

/// The only access to the files that a run writes. The real one, system_files(), is thread safe.
///
/// An interface, so that tests can simulate disk errors, crashes and power failures. Paths go to
/// the system unchanged.
class file_system {
 public:
  enum class open_as : std::uint8_t {
    read_only,  ///< a link is not followed
    existing,   ///< to read and append; a link is not followed
    created,    ///< a new file, to read and append; an error if the name exists, even as a link
  };

  virtual ~file_system() = default;
  virtual std::unique_ptr<file> open(const std::string& path, open_as how,
                                     std::error_code& error) = 0;
  /// Atomic; replaces an existing file at `to`.
  virtual std::error_code rename(const std::string& from, const std::string& to) = 0;
  virtual std::error_code remove(const std::string& path) = 0;
  /// After this returns, files created, renamed and removed in the folder of `path` stay so after a
  /// power failure.
  virtual std::error_code sync_folder_of(const std::string& path) = 0;
  /// Creates the folder and its missing parents, and syncs them to disk.
  virtual std::error_code make_folders(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_folder(const std::string& path) = 0;
  virtual bool is_writable_folder(const std::string& path) = 0;
  /// Follows symbolic links, so that replacing a file keeps the links to it. A link that another
  /// user may have planted is not followed; open() refuses it.
  virtual std::string resolved(const std::string& path) = 0;
  /// Whether `path` still names the file `opened`: another process may have replaced it.
  virtual bool is_at(const file& opened, const std::string& path) = 0;

  /// Queues slow disk work for a background thread, which runs it in order. `slow` must not throw.
  virtual void run_in_background(std::function<void()> slow) = 0;
  /// Waits until the queue of run_in_background() is empty and its last task is done.
  virtual void finish_background() = 0;
};

/// The real file system. New files get `mode`; by default only the owner can read them, since
/// results may be private. `warn` gets a sentence for the user when the disk lacks a feature, each
/// at most once. It may be called from any thread until the last file is closed, and may be null.
std::unique_ptr<file_system> system_files(
    unsigned mode = 0600, std::function<void(const std::string& sentence)> warn = nullptr);

/// The ending of a temporary file's name.
inline constexpr std::string_view temporary_ending = ".sluice-new";
/// Creates a temporary file that will replace `target`: `target`.sluice-new, with a number added if
/// that name is taken. Sets `path` to its name. Removes such a file of an earlier crash first, if
/// `is_ours` accepts the first bytes of it.
std::unique_ptr<file> create_temporary_for(
    file_system& files, const std::string& target,
    const std::function<bool(std::string_view begin)>& is_ours, std::string& path,
    std::error_code& error);
/// Removes `target`.sluice-new of an earlier crash, if `is_ours` accepts its first bytes.
void remove_stale_temporary(file_system& files, const std::string& target,
                            const std::function<bool(std::string_view begin)>& is_ours);
/// Replaces a small file atomically: after a crash there is the old file or the new one. After this
/// returns, the new one survives a power failure. `is_ours` is passed to create_temporary_for().
/// Throws fatal_error.
void replace_file(file_system& files, const std::string& path, std::string_view content,
                  const std::function<bool(std::string_view begin)>& is_ours);
/// The sentence for the user when a file cannot be opened.
std::string open_fault_sentence(const std::string& path, const std::error_code& why);
/// The first bytes of a file, at most `longest`.
std::string begin_of(file& opened, std::error_code& error, std::size_t longest = 4096);
/// The content of a small file; nothing if it does not exist. Throws fatal_error if it cannot be
/// read.
std::optional<std::string> read_file(file_system& files, const std::string& path);

}  // namespace sluice
