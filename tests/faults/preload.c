// A library for LD_PRELOAD that lets system calls on one folder's files go wrong, so that tests can try the whole program.
//
//     PLASTICITY_FAULT_FOLDER=DIR      only calls on files in DIR count
//     PLASTICITY_FAULT=CALL:N:ACTION   CALL  write | sync | name (link, rename) | unlink | close | truncate | any
//                                      N     which of them, from 0; or "all"
//                                      ACTION  an errno | short (half of it is written) | again (EINTR, every other call) |
//                                              kill
//     PLASTICITY_FAULT_MARK=FILE       made when a call went wrong
//     PLASTICITY_FREE_BYTES=N          what statvfs says is free
//
// The calls themselves are made by Linux's own numbers: nothing here depends on how a C library lays them out.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static bool is_in_folder(const char* path) {
    const char* folder = getenv("PLASTICITY_FAULT_FOLDER");
    return folder && *folder && strncmp(path, folder, strlen(folder)) == 0;
}

static bool is_open_in_folder(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return false;
    path[length] = '\0';
    return is_in_folder(path);
}

static void leave_mark(void) {
    const char* mark = getenv("PLASTICITY_FAULT_MARK");
    if (!mark) return;
    const long made = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made >= 0) syscall(SYS_close, (int)made);
}

// What is to become of this call: NULL when nothing is.
static const char* planned_action(const char* call) {
    const char* plan = getenv("PLASTICITY_FAULT");
    if (!plan) return NULL;
    const size_t length = strlen(call);
    const bool is_meant = (strncmp(plan, call, length) == 0 && plan[length] == ':') || strncmp(plan, "any:", 4) == 0;
    const char* which = strchr(plan, ':');
    const char* action = which ? strchr(which + 1, ':') : NULL;
    if (!is_meant || !action) return NULL;
    const long number = atomic_fetch_add(&calls, 1);
    const bool is_all = strncmp(which + 1, "all:", 4) == 0;
    if (!is_all && number != atol(which + 1)) return NULL;
    if (strcmp(action + 1, "again") == 0 && number % 2 == 1) return NULL;
    leave_mark();
    if (strcmp(action + 1, "kill") == 0) syscall(SYS_kill, getpid(), SIGKILL);
    return action + 1;
}

// Whether the call fails; errno is set then.
static bool fails(const char* action) {
    if (!action || strcmp(action, "short") == 0) return false;
    errno = strcmp(action, "again") == 0 ? EINTR : atoi(action);
    return true;
}

ssize_t write(int descriptor, const void* data, size_t size) {
    if (is_open_in_folder(descriptor)) {
        const char* action = planned_action("write");
        if (fails(action)) return -1;
        if (action && size > 1) size /= 2;
    }
    return syscall(SYS_write, descriptor, data, size);
}

int fsync(int descriptor) {
    if (is_open_in_folder(descriptor) && fails(planned_action("sync"))) return -1;
    return (int)syscall(SYS_fsync, descriptor);
}

int ftruncate(int descriptor, off_t length) {
    if (is_open_in_folder(descriptor) && fails(planned_action("truncate"))) return -1;
    return (int)syscall(SYS_ftruncate, descriptor, length);
}

// Of files that are written: closing what was only read loses nothing.
int close(int descriptor) {
    struct stat status;
    const int flags = (int)syscall(SYS_fcntl, descriptor, F_GETFL);
    const bool is_written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(descriptor, &status) == 0 &&
                            S_ISREG(status.st_mode) && is_open_in_folder(descriptor);
    const bool failed = is_written && fails(planned_action("close"));
    const int error = errno;
    const int result = (int)syscall(SYS_close, descriptor);  // Linux closes it even where it says EIO
    if (!failed) return result;
    errno = error;
    return -1;
}

int link(const char* from, const char* to) {
    if (is_in_folder(to) && fails(planned_action("name"))) return -1;
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int rename(const char* from, const char* to) {
    if (is_in_folder(to) && fails(planned_action("name"))) return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned int flags) {
    if (is_in_folder(to) && fails(planned_action("name"))) return -1;
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int unlink(const char* path) {
    if (is_in_folder(path) && fails(planned_action("unlink"))) return -1;
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static int pretended_statvfs(const char* path, struct statvfs* out) {
    struct statfs found;
    if (syscall(SYS_statfs, path, &found) != 0) return -1;
    memset(out, 0, sizeof *out);
    out->f_bsize = (unsigned long)found.f_bsize;
    out->f_frsize = found.f_frsize ? (unsigned long)found.f_frsize : (unsigned long)found.f_bsize;
    out->f_blocks = found.f_blocks;
    out->f_bfree = found.f_bfree;
    out->f_bavail = found.f_bavail;
    out->f_files = found.f_files;
    out->f_ffree = found.f_ffree;
    const char* free_bytes = getenv("PLASTICITY_FREE_BYTES");
    if (free_bytes) {
        out->f_frsize = 1;
        out->f_bavail = out->f_bfree = (fsblkcnt_t)atoll(free_bytes);
    }
    return 0;
}

int statvfs(const char* path, struct statvfs* out) {
    return pretended_statvfs(path, out);
}

int statvfs64(const char* path, struct statvfs64* out) {
    return pretended_statvfs(path, (struct statvfs*)out);
}
