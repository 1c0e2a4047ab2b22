#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace sluice {

// Locks of bytes of a file that belong to the open file ("open file description locks", fcntl(2)),
// not to the process. So two open files of one process exclude each other, closing another open
// file of the same name gives up nothing, and any thread may ask. They and the older locks of a
// process (F_SETLK) exclude each other. The kernel gives them up with the last descriptor of the
// open file, however a process ends. Nothing here waits.
//
// `length` 0: to the end, however long the file gets.

/// Locks them; false, with errno: EAGAIN or EACCES where somebody else has it; else it cannot be
/// locked at all (EINVAL by Linux before 3.15).
bool lock_bytes(int file, off_t begin, off_t length);
void unlock_bytes(int file, off_t begin, off_t length) noexcept;
/// Whether anybody else holds a lock on one of them: another process, or another open file of this
/// one.
bool are_locked_elsewhere(int file, off_t begin, off_t length) noexcept;

/// Locks the whole file, by a lock of the process where there are none of open files. False as of
/// lock_bytes().
bool lock_whole(int file);
/// The process that has a lock on the file, as far as can be told; 0: another user's, or on another
/// machine.
pid_t holder_of(int file);

/// A process that keeps a lock.
struct lock_holder {
  pid_t process = 0;
  std::string name;      ///< of its program
  bool stopped = false;  ///< as by Ctrl-Z
};

/// The process that has locked the first byte of the open file, as /proc tells: the kernel names no
/// process for a lock that belongs to an open file (F_OFD_GETLK gives -1). Nothing where it cannot
/// be seen from here: it is another user's, in another container or on another machine. Looks at
/// every process, so it takes milliseconds.
std::optional<lock_holder> who_locked(int file);

}  // namespace sluice
