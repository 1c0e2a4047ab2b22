#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sluice {

// Locks on byte ranges of a file ("open file description locks", fcntl(2)). They belong to the open
// file, not to the process: two open files of one process exclude each other, and closing another
// open file of the same name releases nothing. These locks and the older process locks (F_SETLK)
// exclude each other. The kernel releases a lock when the last descriptor of the open file is
// closed, however the process ends. All functions are thread safe, and none of them waits, except
// where it says so.
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
/// The process that holds a lock on the file, of either kind. Nothing as for find_lock_holder().
std::optional<lock_holder> holder_of(int file);

/// Sleeps for 5 ms.
void pause_shortly();
/// Locks the whole file as lock_whole() does. If another open file has a lock, `holder` is set to
/// its process, if that is visible. If it is not, it may just be ending: the kernel removes the
/// files of a process from /proc before it closes them. So this function tries again, at most 20
/// times, and calls `pause` before each time.
bool lock_whole(int file, std::optional<lock_holder>& holder,
                const std::function<void()>& pause = pause_shortly);

}  // namespace sluice
