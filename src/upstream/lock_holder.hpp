#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace sluice {

/// A process that keeps a lock.
struct lock_holder {
  pid_t process = 0;
  std::string name;      ///< of its program
  bool stopped = false;  ///< as by Ctrl-Z
};

/// The process that has locked the first byte of the open file, as /proc tells: the kernel names no
/// process for a lock that belongs to an open file (F_OFD_GETLK gives -1). Nothing where it cannot
/// be seen from here: it is another user's, or in another container. Looks at every process, so it
/// takes milliseconds.
std::optional<lock_holder> who_locked(int file);

}  // namespace sluice
