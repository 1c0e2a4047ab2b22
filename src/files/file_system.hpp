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

/// An open file; closed, and its lock given up, when the object goes. Errors are returned: what
/// they mean to a person is for the caller to say. sync() may be called from any thread, the rest
/// from one at a time.
class file {
 public:
  /// What became of a request for the lock.
  struct lock_result {
    enum class state : std::uint8_t {
      ours,
      held,     ///< another open file has it, of this process or another
      unknown,  ///< the file system has no locks
    };
    state is = state::ours;
    long holder = 0;  ///< the process that has it; 0: another user's, or on another machine
  };

  virtual ~file() = default;
  /// Fills up to `size` bytes; 0 at the end of the file, or with an error.
  virtual std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                              std::error_code& error) = 0;
  /// Appends as much as can be written; `error` tells why it is not all.
  virtual std::size_t append(std::string_view bytes, std::error_code& error) = 0;
  virtual std::error_code truncate(std::uint64_t size) = 0;
  /// What was appended outlives a power cut when this returns.
  virtual std::error_code sync() = 0;
  virtual std::uint64_t size() const = 0;
  /// Whether results can be kept in it: a pipe or a device cannot be read again.
  virtual bool is_regular() const = 0;
  /// Locks the file for this object, against all others of the same file, in this process as in
  /// others; until the object goes or the process ends, however it ends. Never waits.
  virtual lock_result lock() = 0;
  /// Sets room aside behind the end, so that so many bytes can be appended although the disk is
  /// full. The size stays as it is; truncate() gives the room back. A file system that cannot do
  /// that is no error.
  virtual std::error_code reserve(std::uint64_t bytes) = 0;
  /// Whether there is room behind the end, that this object or another one set aside.
  virtual bool has_reserve() const { return false; }
  /// Where the file is now; nothing when no name leads to it any more.
  virtual std::optional<std::string> present_path() const = 0;
};

/// The files that a run keeps, and the one door to them, so that tests can have them fail, crash
/// and lose power. Paths are as for the system; they are not interpreted.
class file_system {
 public:
  enum class open_as : std::uint8_t {
    read_only,  ///< a link is not followed
    existing,   ///< to read and append; a link is not followed
    created,    ///< the same, new; it is an error when it is there, be it as a link
  };

  virtual ~file_system() = default;
  virtual std::unique_ptr<file> open(const std::string& path, open_as how,
                                     std::error_code& error) = 0;
  /// At one stroke; replaces what is at `to`.
  virtual std::error_code rename(const std::string& from, const std::string& to) = 0;
  virtual std::error_code remove(const std::string& path) = 0;
  /// What was created, renamed and removed in the folder of `path` outlives a power cut when this
  /// returns.
  virtual std::error_code sync_folder_of(const std::string& path) = 0;
  /// The folder and those that it is in, where they are not there; made to outlive a power cut.
  virtual std::error_code make_folders(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_folder(const std::string& path) = 0;
  virtual bool is_writable_folder(const std::string& path) = 0;
  /// The path behind links, so that replacing a file leaves a link to it in place. A link that
  /// somebody else may have planted, in a folder that others may write, stays what it is: open()
  /// refuses it.
  virtual std::string resolved(const std::string& path) = 0;
  /// Whether `opened` is what the path leads to now: another process may have replaced it.
  virtual bool is_at(const file& opened, const std::string& path) = 0;

  /// Runs what waits for a disk where it holds up nobody, one after the other. It must not throw.
  virtual void run_aside(std::function<void()> slow) = 0;
  /// Waits until all that was given to run_aside() has been run.
  virtual void finish_aside() = 0;
};

/// The system's own files. `mode` of those that are made: results may hold what only their owner
/// should read. `warn` takes a sentence for a person about what the disk cannot do, each once and
/// from any thread, until the last file is closed; may be null.
std::unique_ptr<file_system> system_files(
    unsigned mode = 0600, std::function<void(const std::string& sentence)> warn = nullptr);

/// A new file beside `target`, for what is to take its place: `target`.sluice-new, or with a number
/// where that name is taken. Its name goes to `path`. One that a crash has left there is removed,
/// if `is_ours` says so of its content's begin; all others stay.
std::unique_ptr<file> create_beside(file_system& files, const std::string& target,
                                    const std::function<bool(std::string_view begin)>& is_ours,
                                    std::string& path, std::error_code& error);
/// Removes `target`.sluice-new, if a crash has left it and `is_ours` says so.
void remove_left_beside(file_system& files, const std::string& target,
                        const std::function<bool(std::string_view begin)>& is_ours);
/// Writes a small file whole, at one stroke: a crash leaves the old one or the new one, and once it
/// returns, so does a power cut leave the new one. `is_ours` is for create_beside(). Throws
/// fatal_error.
void replace_file(file_system& files, const std::string& path, std::string_view content,
                  const std::function<bool(std::string_view begin)>& is_ours);
/// What is said of a file that cannot be opened.
std::string open_fault_sentence(const std::string& path, const std::error_code& why);
/// What a file begins with, at most `longest` bytes.
std::string begin_of(file& opened, std::error_code& error, std::size_t longest = 4096);
/// The content of a small file; nothing when there is none. Throws fatal_error when it cannot be
/// read.
std::optional<std::string> read_file(file_system& files, const std::string& path);

}  // namespace sluice
