/* Preloaded: the k-th write, fsync or rename that concerns a file under a folder fails, once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char kind[16], under[4096];
static int left;

/* number 0: none fails; */
void arm(const char *what, int number, const char *folder) {
    strncpy(kind, what, sizeof kind - 1);
    strncpy(under, folder, sizeof under - 1);
    left = number;
}

static int fails(const char *what, const char *path) {
    if (!under[0] || strcmp(what, kind) || !strstr(path, under)) return 0;
    if (__sync_sub_and_fetch(&left, 1)) return 0;
    dprintf(2, "shim: failed\n");
    return 1;
}

static int fails_at(const char *what, int file) {
    char link[64], path[4096];
    ssize_t size;
    if (!under[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(what, path);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (fails_at("write", file)) { errno = ENOSPC; return -1; }
    return real(file, data, size);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    if (fails_at("write", file)) { errno = ENOSPC; return -1; }
    return real(file, data, size, place);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (fails_at("write", file)) { errno = ENOSPC; return -1; }
    return real(file, parts, count);
}

int fsync(int file) {
    REAL(int, fsync, int);
    if (fails_at("fsync", file)) { errno = EIO; return -1; }
    return real(file);
}

int fdatasync(int file) {
    REAL(int, fdatasync, int);
    if (fails_at("fsync", file)) { errno = EIO; return -1; }
    return real(file);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (fails("rename", to)) { errno = EIO; return -1; }
    return real(from, to);
}

int renameat(int there, const char *from, int here, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    if (fails("rename", to)) { errno = EIO; return -1; }
    return real(there, from, here, to);
}
