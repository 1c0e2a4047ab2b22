// A library between a program and the disk. It counts file operations, and kills the process or lets
// an operation fail at a chosen number. Loaded with LD_PRELOAD; not part of the product.
//
// An operation is a call that opens a file for writing, writes, truncates, syncs, renames, removes or
// locks a file below SHIM_UNDER. Reads, sockets, pipes and terminals do not count. Operations are
// numbered from 1 over all threads.
//
// SHIM_UNDER=DIR: an absolute path. Without it the library does nothing.
//
// SHIM_TRACE=FILE: writes a line "NUMBER NAME PATH" before each operation. FILE must be outside DIR.
//
// SHIM_KILL=K: SIGKILL at operation K. SHIM_WHEN: before it (the default), after it, or in the middle,
// which means after half of a write.
//
// SHIM_FAIL=K: operation K and all later ones fail with errno SHIM_ERRNO; with SHIM_ONCE only K. With
// ENOSPC the first write still succeeds for half of its bytes. Without an errno nothing fails, but
// each write writes only half of its bytes.
//
// SHIM_ONLY=NAMES: only these operations, as in "open,write"; others neither count nor fail.
//
// Uses raw system calls, to be independent of other loaded libraries.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum when { BEFORE, MIDDLE, AFTER };

/* What happens to an operation. */
enum fate { PASS, FAIL, HALF, DIE_MIDDLE, DIE_AFTER };

static struct {
  const char* under;
  const char* only;
  int trace;
  long kill_at;
  enum when when;
  long fail_from;
  bool once;
  int error;
} plan;

static atomic_long operations;

static long number_of(const char* name) {
  const char* text = getenv(name);
  return text == NULL ? 0 : strtol(text, NULL, 10);
}

__attribute__((constructor)) static void begin(void) {
  plan.under = getenv("SHIM_UNDER");
  plan.only = getenv("SHIM_ONLY");
  plan.kill_at = number_of("SHIM_KILL");
  plan.fail_from = number_of("SHIM_FAIL");
  plan.error = (int)number_of("SHIM_ERRNO");
  plan.once = getenv("SHIM_ONCE") != NULL;
  const char* when = getenv("SHIM_WHEN");
  if (when != NULL && strcmp(when, "middle") == 0) plan.when = MIDDLE;
  if (when != NULL && strcmp(when, "after") == 0) plan.when = AFTER;
  const char* trace = getenv("SHIM_TRACE");
  plan.trace = trace == NULL ? -1
                             : (int)syscall(SYS_openat, AT_FDCWD, trace,
                                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void die(void) {
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

static bool is_below(const char* path) {
  const size_t length = strlen(plan.under);
  return strncmp(path, plan.under, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The path of a descriptor; false if it has none. */
static bool path_of(int file, char* path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return true;
}

static bool absolute(int folder, const char* path, char* whole) {
  if (path[0] == '/') {
    snprintf(whole, 2 * PATH_MAX, "%s", path);
    return true;
  }
  char base[PATH_MAX];
  if (folder == AT_FDCWD ? getcwd(base, sizeof base) == NULL : !path_of(folder, base)) return false;
  snprintf(whole, 2 * PATH_MAX, "%s/%s", base, path);
  return true;
}

static bool is_named(const char* list, const char* name) {
  const size_t length = strlen(name);
  for (const char* at = list; (at = strstr(at, name)) != NULL; at += length) {
    const bool begins = at == list || at[-1] == ',';
    if (begins && (at[length] == ',' || at[length] == '\0')) return true;
  }
  return false;
}

/* Counts the operation and decides what happens to it. Does not return if the process ends before it. */
static enum fate decide(const char* name, const char* path) {
  if (!is_below(path) || (plan.only != NULL && !is_named(plan.only, name))) return PASS;
  const long number = atomic_fetch_add(&operations, 1) + 1;
  if (plan.trace >= 0) {
    char line[PATH_MAX + 64];
    const int length = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path);
    syscall(SYS_write, plan.trace, line, (size_t)length);
  }
  const bool writes = strcmp(name, "write") == 0;
  if (number == plan.kill_at) {
    if (plan.when == BEFORE) die();
    return plan.when == MIDDLE && writes ? DIE_MIDDLE : DIE_AFTER;
  }
  if (plan.fail_from == 0 || number < plan.fail_from) return PASS;
  if (plan.once && number > plan.fail_from) return PASS;
  if (plan.error == 0) return writes ? HALF : PASS;
  const bool fills_up = (plan.error == ENOSPC || plan.error == EDQUOT) && !plan.once;
  return writes && fills_up && number == plan.fail_from ? HALF : FAIL;
}

static enum fate fate_of_file(const char* name, int file) {
  char path[PATH_MAX];
  return plan.under != NULL && path_of(file, path) ? decide(name, path) : PASS;
}

static enum fate fate_of_path(const char* name, int folder, const char* path) {
  char whole[2 * PATH_MAX];
  return plan.under != NULL && absolute(folder, path, whole) ? decide(name, whole) : PASS;
}

static int refuse(void) {
  errno = plan.error;
  return -1;
}

/* An operation that cannot be done by half. */
#define OPERATION(decided, call)         \
  do {                                   \
    const enum fate chosen = (decided);  \
    if (chosen == FAIL) return refuse(); \
    const int done = (int)(call);        \
    if (chosen == DIE_AFTER) die();      \
    return done;                         \
  } while (false)

static int open_file(int folder, const char* path, int flags, mode_t mode) {
  if ((flags & (O_CREAT | O_ACCMODE)) == O_RDONLY)
    return (int)syscall(SYS_openat, folder, path, flags, mode);
  OPERATION(fate_of_path("open", folder, path), syscall(SYS_openat, folder, path, flags, mode));
}

static mode_t mode_in(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(arguments, unsigned) : 0;
}

#define OPEN(name)                                 \
  int name(const char* path, int flags, ...) {     \
    va_list arguments;                             \
    va_start(arguments, flags);                    \
    const mode_t mode = mode_in(flags, arguments); \
    va_end(arguments);                             \
    return open_file(AT_FDCWD, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OPEN_AT(name)                                      \
  int name(int folder, const char* path, int flags, ...) { \
    va_list arguments;                                     \
    va_start(arguments, flags);                            \
    const mode_t mode = mode_in(flags, arguments);         \
    va_end(arguments);                                     \
    return open_file(folder, path, flags, mode);           \
  }
OPEN_AT(openat)
OPEN_AT(openat64)

ssize_t write(int file, const void* bytes, size_t size) {
  const enum fate chosen = fate_of_file("write", file);
  if (chosen == FAIL) return refuse();
  const bool half = (chosen == HALF || chosen == DIE_MIDDLE) && size > 1;
  const ssize_t done = syscall(SYS_write, file, bytes, half ? size / 2 : size);
  if (chosen == DIE_MIDDLE || chosen == DIE_AFTER) die();
  return done;
}

static long pwrite_file(int file, const void* bytes, size_t size, off_t at) {
  const enum fate chosen = fate_of_file("write", file);
  if (chosen == FAIL) return refuse();
  const bool half = (chosen == HALF || chosen == DIE_MIDDLE) && size > 1;
  const long done = syscall(SYS_pwrite64, file, bytes, half ? size / 2 : size, at);
  if (chosen == DIE_MIDDLE || chosen == DIE_AFTER) die();
  return done;
}

ssize_t pwrite(int file, const void* bytes, size_t size, off_t at) {
  return pwrite_file(file, bytes, size, at);
}

ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t at) {
  return pwrite_file(file, bytes, size, at);
}

ssize_t writev(int file, const struct iovec* parts, int count) {
  const enum fate chosen = fate_of_file("write", file);
  if (chosen == FAIL) return refuse();
  /* Of several parts, all except the last count as about half. */
  const bool half = (chosen == HALF || chosen == DIE_MIDDLE) && count > 1;
  const ssize_t done = syscall(SYS_writev, file, parts, half ? count - 1 : count);
  if (chosen == DIE_MIDDLE || chosen == DIE_AFTER) die();
  return done;
}

int ftruncate(int file, off_t size) {
  OPERATION(fate_of_file("ftruncate", file), syscall(SYS_ftruncate, file, size));
}

int ftruncate64(int file, off64_t size) {
  OPERATION(fate_of_file("ftruncate", file), syscall(SYS_ftruncate, file, size));
}

int fallocate(int file, int mode, off_t at, off_t size) {
  OPERATION(fate_of_file("fallocate", file), syscall(SYS_fallocate, file, mode, at, size));
}

int fdatasync(int file) {
  OPERATION(fate_of_file("sync", file), syscall(SYS_fdatasync, file));
}

int fsync(int file) {
  OPERATION(fate_of_file("sync", file), syscall(SYS_fsync, file));
}

int rename(const char* from, const char* to) {
  OPERATION(fate_of_path("rename", AT_FDCWD, to),
            syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) {
  OPERATION(fate_of_path("rename", to_folder, to),
            syscall(SYS_renameat2, from_folder, from, to_folder, to, 0));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  OPERATION(fate_of_path("rename", to_folder, to),
            syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int link(const char* from, const char* to) {
  OPERATION(fate_of_path("link", AT_FDCWD, to),
            syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  OPERATION(fate_of_path("link", to_folder, to),
            syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}

int unlink(const char* path) {
  OPERATION(fate_of_path("unlink", AT_FDCWD, path), syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int unlinkat(int folder, const char* path, int flags) {
  OPERATION(fate_of_path("unlink", folder, path), syscall(SYS_unlinkat, folder, path, flags));
}

static long remove_path(const char* path) {
  const long done = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  return done == 0 || errno != EISDIR ? done : syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char* path) {
  OPERATION(fate_of_path("unlink", AT_FDCWD, path), remove_path(path));
}

int mkdir(const char* path, mode_t mode) {
  OPERATION(fate_of_path("mkdir", AT_FDCWD, path), syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

static bool locks(int command) {
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
         command == F_OFD_SETLKW;
}

#define FCNTL(name)                                               \
  int name(int file, int command, ...) {                          \
    va_list arguments;                                            \
    va_start(arguments, command);                                 \
    void* argument = va_arg(arguments, void*);                    \
    va_end(arguments);                                            \
    OPERATION(locks(command) ? fate_of_file("lock", file) : PASS, \
              syscall(SYS_fcntl, file, command, argument));       \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
