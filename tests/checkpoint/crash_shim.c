// Preloaded into checkpoint_tool: counts the calls that change the disk below $CRASH_FOLDER and kills the process at number $CRASH_AT
// (1, 2, ...), before it, or for a write after half of it. With $CRASH_AT 0 it writes the count to $CRASH_COUNT at the exit, and under it
// each call with the last name of its path. With
// $CRASH_ERRNO the call fails with that number instead. With $SLOW_FSYNC_MS each fsync below the folder takes so long, as on a slow disk.
// With $CLOCK_JUMPS the wall clock is set an hour forward, then a day back, and so on: every fifth of a second another of the three.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static long calls;
static char told[1 << 16];  // the calls and the last names of their paths, a line each
static size_t told_length;

static long number(const char* name) {
  const char* text = getenv(name);
  return text != NULL ? atol(text) : 0;
}

static int below(const char* path) {
  const char* folder = getenv("CRASH_FOLDER");
  return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static const char* path_of(int fd) {
  static __thread char path[4096];
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  return path;
}

/// Whether this call is the one; does not come back when it is to end the process, unless half of a write comes first.
static int chosen(int half, const char* call, const char* path) {
  const char* slash = strrchr(path, '/');
  told_length += (size_t)snprintf(told + told_length, sizeof told - told_length, "%s %s\n", call, slash != NULL ? slash + 1 : path);
  if (told_length >= sizeof told) abort();
  if (++calls != number("CRASH_AT")) return 0;
  if (number("CRASH_ERRNO") == 0 && !half) kill(getpid(), SIGKILL);
  return 1;
}

/// Seconds by which the wall clock is wrong now.
static time_t jump(void) {
  static int on = -1;
  if (on < 0) on = number("CLOCK_JUMPS") != 0;
  struct timespec steady;
  if (!on || clock_gettime(CLOCK_MONOTONIC, &steady) != 0) return 0;
  const time_t jumps[] = {0, 3600, -86400};
  return jumps[(5 * steady.tv_sec + steady.tv_nsec / 200000000) % 3];
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL_IF_CHOSEN(condition, path)            \
  if ((condition) && chosen(0, __func__, path)) {  \
    errno = (int)number("CRASH_ERRNO");            \
    return -1;                                     \
  }

__attribute__((destructor)) static void report(void) {
  const char* path = getenv("CRASH_COUNT");
  FILE* file = path != NULL && number("CRASH_AT") == 0 ? fopen(path, "w") : NULL;
  if (file == NULL) return;
  fprintf(file, "%ld\n%s", calls, told);
  fclose(file);
}

static int open_any(int (*real)(const char*, int, ...), const char* path, int flags, mode_t mode) {
  FAIL_IF_CHOSEN((flags & O_CREAT) != 0 && below(path), path)
  return real(path, flags, mode);
}

int open(const char* path, int flags, ...) {
  REAL(open);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_any(real, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  REAL(open64);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_any(real, path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  REAL(write);
  if (below(path_of(fd)) && chosen(1, __func__, path_of(fd))) {
    const int error = (int)number("CRASH_ERRNO");
    if (count > 1) (void)!real(fd, bytes, count / 2);
    if (error == 0) kill(getpid(), SIGKILL);
    errno = error;
    return -1;
  }
  return real(fd, bytes, count);
}

int fsync(int fd) {
  REAL(fsync);
  FAIL_IF_CHOSEN(below(path_of(fd)), path_of(fd))
  if (number("SLOW_FSYNC_MS") > 0 && below(path_of(fd))) usleep((useconds_t)(1000 * number("SLOW_FSYNC_MS")));
  return real(fd);
}

int close(int fd) {
  REAL(close);
  if (below(path_of(fd)) && chosen(0, __func__, path_of(fd))) {
    real(fd);
    errno = (int)number("CRASH_ERRNO");
    return -1;
  }
  return real(fd);
}

int mkdir(const char* path, mode_t mode) {
  REAL(mkdir);
  FAIL_IF_CHOSEN(below(path), path)
  return real(path, mode);
}

int rename(const char* from, const char* to) {
  REAL(rename);
  FAIL_IF_CHOSEN(below(to), to)
  return real(from, to);
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) {
  REAL(renameat2);
  FAIL_IF_CHOSEN(below(to), to)
  return real(from_fd, from, to_fd, to, flags);
}

int unlink(const char* path) {
  REAL(unlink);
  FAIL_IF_CHOSEN(below(path), path)
  return real(path);
}

int remove(const char* path) {
  REAL(remove);
  FAIL_IF_CHOSEN(below(path), path)
  return real(path);
}

int unlinkat(int folder, const char* path, int flags) {
  REAL(unlinkat);
  FAIL_IF_CHOSEN(below(path[0] == '/' ? path : path_of(folder)), path)
  return real(folder, path, flags);
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  static __typeof__(&clock_gettime) real;
  if (real == NULL) real = (__typeof__(&clock_gettime))dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(clock, out);
  if (result == 0 && clock == CLOCK_REALTIME) out->tv_sec += jump();
  return result;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
