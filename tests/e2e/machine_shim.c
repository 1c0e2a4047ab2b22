// Makes a program believe that it runs on another machine. Loaded with LD_PRELOAD; not part of the
// product.
//
// SHIM_BOOT=UUID: the kernel's id of this boot.
// SHIM_MACHINE=ID: the content of /etc/machine-id.
// SHIM_UPTIME=SECONDS: added to the uptime of this machine.
// SHIM_CLOCK=FILE: its first 8 bytes are the seconds that its wall clock is ahead, at any time.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The text that replaces the file; null: read the real file.
static const char* text_of(const char* path) {
  if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) return getenv("SHIM_BOOT");
  if (strcmp(path, "/etc/machine-id") == 0) return getenv("SHIM_MACHINE");
  return NULL;
}

static int file_of(const char* text) {
  const int file = memfd_create("shim", MFD_CLOEXEC);
  if (write(file, text, strlen(text)) < 0 || write(file, "\n", 1) < 0) abort();
  lseek(file, 0, SEEK_SET);
  return file;
}

static FILE* open_stream(const char* name, const char* path, const char* mode) {
  const char* text = text_of(path);
  if (text != NULL) return fdopen(file_of(text), "r");
  FILE* (*behind)(const char*, const char*);
  *(void**)&behind = dlsym(RTLD_NEXT, name);
  return behind(path, mode);
}

FILE* fopen(const char* path, const char* mode) {
  return open_stream("fopen", path, mode);
}
FILE* fopen64(const char* path, const char* mode) {
  return open_stream("fopen64", path, mode);
}

// By how much the wall clock is ahead.
static time_t seconds_ahead(void) {
  static const volatile long long* shared = NULL;
  static int known = 0;
  if (!known) {
    const char* path = getenv("SHIM_CLOCK");
    const int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
      const void* content = mmap(NULL, sizeof(long long), PROT_READ, MAP_SHARED, file, 0);
      if (content != MAP_FAILED) shared = content;
      close(file);
    }
    known = 1;
  }
  return shared == NULL ? 0 : (time_t)*shared;
}

int clock_gettime(clockid_t which, struct timespec* out) {
  const int result = (int)syscall(SYS_clock_gettime, which, out);
  if (result != 0) return result;
  const char* more = getenv("SHIM_UPTIME");
  if (which == CLOCK_BOOTTIME && more != NULL) out->tv_sec += atol(more);
  if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) out->tv_sec += seconds_ahead();
  return result;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}
