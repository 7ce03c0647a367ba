/*
 * A disk that fails, for tests: loaded before the C library, it stands between a process and the files of one folder.
 *
 * - POWER_FOLDER: the folder. Only its files are looked after.
 * - POWER_LOG: what happened, one line each, for whoever cuts the power afterwards (see power.rs):
 *     w INODE FROM TO   bytes were written and are not known to be on the disk
 *     r INODE FROM TO   the same bytes were written that were there
 *     s INODE           everything written before is on the disk
 *     f INODE           a sync failed: what was written before may be lost, and no later sync brings it back
 * - POWER_FAIL: how many of 1,000 syncs fail with EIO.
 * - POWER_SLOW: how long a sync takes at most, in microseconds.
 * - POWER_SHORT: how many of 1,000 writes write only a part and then fail with ENOSPC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static const char *folder;
static size_t folder_len;
static int log_fd = -1;
static unsigned long fail, slow, short_writes;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread unsigned long seed;

static unsigned long number(const char *name)
{
	const char *text = getenv(name);
	return text ? strtoul(text, NULL, 10) : 0;
}

static void start(void)
{
	real_write = dlsym(RTLD_NEXT, "write");
	real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
	real_writev = dlsym(RTLD_NEXT, "writev");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	fail = number("POWER_FAIL");
	slow = number("POWER_SLOW");
	short_writes = number("POWER_SHORT");
	const char *log = getenv("POWER_LOG");
	folder = getenv("POWER_FOLDER");
	if (log && folder) {
		folder_len = strlen(folder);
		log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
}

static unsigned long chance(unsigned long of)
{
	if (!seed) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		seed = (unsigned long)now.tv_nsec ^ (unsigned long)&seed;
		seed |= 1;
	}
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % of;
}

/* The file's inode when it is one to look after, otherwise 0. */
static ino_t ours(int fd)
{
	char link[64], path[4096];
	struct stat stat;
	pthread_once(&once, start);
	if (log_fd < 0)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof path - 1);
	if (len < (ssize_t)folder_len || strncmp(path, folder, folder_len) != 0)
		return 0;
	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
		return 0;
	return stat.st_ino;
}

static void note(char what, ino_t inode, off_t from, off_t to)
{
	char line[96];
	int len = snprintf(line, sizeof line, "%c %lu %ld %ld\n", what, (unsigned long)inode, (long)from, (long)to);
	if (real_write(log_fd, line, (size_t)len) != len)
		abort();
}

static off_t position(int fd)
{
	struct stat stat;
	if (fcntl(fd, F_GETFL) & O_APPEND)
		return fstat(fd, &stat) == 0 ? stat.st_size : 0;
	return lseek(fd, 0, SEEK_CUR);
}

/* Whether these bytes are what the file holds there. */
static int is_there(int fd, off_t from, const void *bytes, size_t len)
{
	char before[1 << 16];
	return len > 0 && pread(fd, before, len, from) == (ssize_t)len && memcmp(before, bytes, len) == 0;
}

/* Written down before it happens: a process that is killed in between has at most said too much. */
static void writing(int fd, ino_t inode, off_t from, const void *bytes, size_t len)
{
	char path[64];
	/* The file may be open for writing only. */
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	while (len > 0) {
		size_t part = len < 1 << 16 ? len : 1 << 16;
		char what = again >= 0 && is_there(again, from, bytes, part) ? 'r' : 'w';
		note(what, inode, from, from + (off_t)part);
		from += (off_t)part;
		bytes = (const char *)bytes + part;
		len -= part;
	}
	if (again >= 0)
		close(again);
}

static int is_short(void)
{
	return short_writes && chance(1000) < short_writes;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	ino_t inode = ours(fd);
	if (inode) {
		if (is_short()) {
			errno = ENOSPC;
			size_t part = len > 1 ? chance(len) : 0;
			if (part == 0)
				return -1;
			len = part;
		}
		writing(fd, inode, position(fd), bytes, len);
	}
	return real_write(fd, bytes, len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t from)
{
	ino_t inode = ours(fd);
	if (inode)
		writing(fd, inode, from, bytes, len);
	return real_pwrite(fd, bytes, len, from);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t from)
{
	return pwrite64(fd, bytes, len, from);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ino_t inode = ours(fd);
	if (inode) {
		off_t from = position(fd), len = 0;
		for (int n = 0; n < count; n++)
			len += (off_t)parts[n].iov_len;
		note('w', inode, from, from + len);
	}
	return real_writev(fd, parts, count);
}

static int syncing(int fd, int (*real)(int))
{
	ino_t inode = ours(fd);
	if (!inode)
		return real(fd);
	if (slow)
		usleep((useconds_t)chance(slow));
	if (fail && chance(1000) < fail) {
		note('f', inode, 0, 0);
		errno = EIO;
		return -1;
	}
	int result = real(fd);
	if (result == 0)
		note('s', inode, 0, 0);
	return result;
}

int fsync(int fd)
{
	pthread_once(&once, start);
	return syncing(fd, real_fsync);
}

int fdatasync(int fd)
{
	pthread_once(&once, start);
	return syncing(fd, real_fdatasync);
}
