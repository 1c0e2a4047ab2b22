#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

// Locks on byte ranges of a file ("open file description locks", fcntl(2)). They belong to the open
// file, not to the process: two open files of one process exclude each other, and closing another
// open file of the same name releases nothing. These locks and the older process locks (F_SETLK)
// exclude each other. The kernel releases a lock when the last descriptor of the open file is
// closed, however the process ends. All functions are thread safe, and none of them waits.
//
// A `length` of 0 means: to the end of the file, even if it grows.

/// Locks the bytes. Returns false and sets errno: EAGAIN or EACCES if another open file has a lock;
/// any other value if the bytes cannot be locked at all (EINVAL on Linux before 3.15).
bool lock_bytes(int file, off_t begin, off_t length);
/// The same, but other open files may share the bytes as well; lock_bytes() then fails there.
bool share_bytes(int file, off_t begin, off_t length);
void unlock_bytes(int file, off_t begin, off_t length) noexcept;
/// Whether another open file, in this or in another process, has a lock on any of the bytes.
bool is_locked_elsewhere(int file, off_t begin, off_t length) noexcept;

/// Locks the whole file. Uses an F_SETLK lock if the kernel has no open file description locks.
/// Returns false as lock_bytes() does.
bool lock_whole(int file);
/// Whether another open file has a lock on the file. unknown: it cannot have locks.
enum class lock_state : std::uint8_t { free, held, unknown };
lock_state lock_on(int file) noexcept;
/// The process that has a lock on the file; 0 if it is not visible from here (another user or
/// another machine).
pid_t holder_of(int file);

/// A process that holds a lock.
struct lock_holder {
  pid_t process = 0;
  std::string name;      ///< the name of its program
  bool stopped = false;  ///< stopped by a signal, for example by Ctrl-Z
};

/// The process that holds a lock on this byte of the open file. It is found through /proc, because
/// the kernel names no process for such a lock (F_OFD_GETLK gives -1). Nothing if it is not visible
/// from here: another user, another container or another machine. Reads the entries of all
/// processes, so it takes milliseconds.
std::optional<lock_holder> find_lock_holder(int file, off_t byte = 0);

}  // namespace sluice
