/*
 * Records what a process does to the files under one directory, so that a power cut can be put after any of it.
 *
 * Loaded with LD_PRELOAD. VAFA_RECORD_ROOT is the directory (an absolute path without links), VAFA_RECORD_LOG
 * the file that gets the record. Every call still happens; one lock keeps the record in the order of the calls.
 *
 * VAFA_FAIL_SYNC_AT=N and VAFA_FAIL_WRITE_AT=N let the Nth sync fail with EIO, the Nth write with ENOSPC, and
 * all after it: a broken disk, a full disk.
 *
 * A record is: operation (1 byte), inode (8), offset (8), length of what follows (4), all little-endian; then
 * the data written, or a path, or for a rename two paths with a zero byte between them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OP_CREATE = 'C', OP_OPEN = 'O', OP_WRITE = 'W', OP_TRUNCATE = 'T', OP_SYNC = 'S', OP_SYNC_DIR = 'D',
       OP_RENAME = 'R', OP_UNLINK = 'U', OP_MKDIR = 'M', OP_RMDIR = 'X', OP_LINK = 'L' };

#define MAX_FDS 65536
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static uint64_t inodes[MAX_FDS]; /* by descriptor; 0 = not recorded */
static int log_fd = -1;
static char root[4096];
static size_t root_len;
static long syncs_left = -1, writes_left = -1; /* before they fail; -1 = never */

static void start(void) {
    if (log_fd >= 0 || root_len == (size_t)-1) return;
    const char *wanted = getenv("VAFA_RECORD_ROOT"), *log = getenv("VAFA_RECORD_LOG");
    if (!wanted || !log) { root_len = (size_t)-1; return; }
    snprintf(root, sizeof root, "%s", wanted);
    root_len = strlen(root);
    log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
    if (getenv("VAFA_FAIL_SYNC_AT")) syncs_left = atol(getenv("VAFA_FAIL_SYNC_AT"));
    if (getenv("VAFA_FAIL_WRITE_AT")) writes_left = atol(getenv("VAFA_FAIL_WRITE_AT"));
}

/* Whether this call is one that fails; called with the lock held. */
static int fails(long *left, int error) {
    if (*left > 1) { (*left)--; return 0; }
    if (*left < 0) return 0;
    *left = 0;
    errno = error;
    return 1;
}

static int ours(const char *path) {
    start();
    return log_fd >= 0 && path && strncmp(path, root, root_len) == 0 &&
           (path[root_len] == '/' || path[root_len] == 0);
}

static void put(const void *data, size_t length) {
    const char *at = data;
    while (length) {
        ssize_t n = syscall(SYS_write, log_fd, at, length);
        if (n < 0) { if (errno == EINTR) continue; abort(); }
        at += n;
        length -= n;
    }
}

static void record(char op, uint64_t inode, uint64_t offset, const void *data, uint32_t length) {
    char head[21];
    head[0] = op;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 4);
    put(head, sizeof head);
    put(data, length);
}

static uint64_t inode_of(int fd) { return fd >= 0 && fd < MAX_FDS ? inodes[fd] : 0; }

static void opened(int fd, const char *path, int flags, int existed) {
    struct stat st;
    if (fd < 0 || fd >= MAX_FDS || fstat(fd, &st) != 0) return;
    inodes[fd] = st.st_ino;
    record(existed ? OP_OPEN : OP_CREATE, st.st_ino, S_ISDIR(st.st_mode) ? 1 : 0, path, strlen(path));
    if (existed && (flags & O_TRUNC)) record(OP_TRUNCATE, st.st_ino, 0, "", 0);
}

static int do_open(int dir, const char *path, int flags, mode_t mode) {
    if (!ours(path)) return syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    int fd = syscall(SYS_openat, dir, path, flags, mode);
    int saved = errno;
    opened(fd, path, flags, existed);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE_ARG(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list ap; va_start(ap, flags); mode = va_arg(ap, mode_t); va_end(ap); }

int open(const char *path, int flags, ...) { MODE_ARG(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_ARG(flags) return do_open(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE_ARG(flags) return do_open(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE_ARG(flags) return do_open(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < MAX_FDS) inodes[fd] = 0;
    int result = syscall(SYS_close, fd);
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

ssize_t write(int fd, const void *data, size_t length) {
    if (!inode_of(fd)) return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t n = fails(&writes_left, ENOSPC) ? -1 : syscall(SYS_write, fd, data, length);
    int saved = errno;
    if (n > 0) record(OP_WRITE, inode_of(fd), syscall(SYS_lseek, fd, 0, SEEK_CUR) - n, data, n);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return n;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!inode_of(fd)) return syscall(SYS_writev, fd, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (n < 0) return total ? total : -1;
        total += n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    return total;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    if (!inode_of(fd)) return syscall(SYS_pwrite64, fd, data, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t n = fails(&writes_left, ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, data, length, offset);
    int saved = errno;
    if (n > 0) record(OP_WRITE, inode_of(fd), offset, data, n);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return n;
}
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return pwrite(fd, data, length, offset); }

int ftruncate(int fd, off_t length) {
    pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, fd, length);
    int saved = errno;
    if (result == 0 && inode_of(fd)) record(OP_TRUNCATE, inode_of(fd), length, "", 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

static int do_sync(int fd, long call) {
    pthread_mutex_lock(&lock);
    int result = inode_of(fd) && fails(&syncs_left, EIO) ? -1 : syscall(call, fd);
    int saved = errno;
    struct stat st;
    if (result == 0 && inode_of(fd) && fstat(fd, &st) == 0)
        record(S_ISDIR(st.st_mode) ? OP_SYNC_DIR : OP_SYNC, inode_of(fd), 0, "", 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}
int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

static int on_path(char op, const char *path, int result) {
    int saved = errno;
    if (result == 0) record(op, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

static int on_paths(char op, const char *from, const char *to, int result) {
    int saved = errno;
    if (result == 0) {
        char both[8192];
        size_t a = strlen(from), b = strlen(to);
        if (a + b + 1 > sizeof both) abort();
        memcpy(both, from, a + 1);
        memcpy(both + a + 1, to, b);
        record(op, 0, 0, both, a + b + 1);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int unlink(const char *path) {
    if (!ours(path)) return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    return on_path(OP_UNLINK, path, syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int mkdir(const char *path, mode_t mode) {
    if (!ours(path)) return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    pthread_mutex_lock(&lock);
    return on_path(OP_MKDIR, path, syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int rmdir(const char *path) {
    if (!ours(path)) return syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    pthread_mutex_lock(&lock);
    return on_path(OP_RMDIR, path, syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
int rename(const char *from, const char *to) {
    if (!ours(from)) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    pthread_mutex_lock(&lock);
    return on_paths(OP_RENAME, from, to, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int link(const char *from, const char *to) {
    if (!ours(from)) return syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    pthread_mutex_lock(&lock);
    return on_paths(OP_LINK, from, to, syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}
