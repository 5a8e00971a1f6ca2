/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-io FILE MIB WRITES SEED full|new: in a guest, past its page cache. Makes FILE, in which every block
 * has been written (full) or none (new), unless it is there; writes 4 KiB to as many random places of it;
 * says how many seconds that took. A full file stays, a new one goes. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, MIB = 1 << 20 };

static char *buffer;

static void
die (const char *what)
{
  fprintf (stderr, "image-io: %s: %s\n", what, strerror (errno));
  exit (1);
}

static void
fill (int fd, off_t size)
{
  for (off_t at = 0; at < size; at += MIB)
    if (pwrite (fd, buffer, MIB, at) != MIB)
      die ("write");
}

static void
make (int fd, off_t size, int full)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    die ("fstat");
  if (st.st_size == size)
    return;
  if (full)
    fill (fd, size);
  else if (fallocate (fd, 0, 0, size) < 0)
    die ("fallocate");
  if (fsync (fd) < 0)
    die ("fsync");
}

static double
now (void)
{
  struct timespec t;

  (void)clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
write_some (int fd, off_t size, long count, uint64_t seed)
{
  double start = now ();

  for (long i = 0; i < count; i++) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    if (pwrite (fd, buffer, BLOCK, (off_t)((seed >> 33) % (uint64_t)(size / BLOCK)) * BLOCK) != BLOCK)
      die ("write");
  }
  return now () - start;
}

int
main (int argc, char **argv)
{
  off_t size;
  int fd, full;

  if (argc != 6)
    return 2;
  size = (off_t)atol (argv[2]) * MIB;
  full = strcmp (argv[5], "full") == 0;
  if (posix_memalign ((void **)&buffer, BLOCK, MIB) != 0)
    die ("memory");
  for (int i = 0; i < MIB; i++)
    buffer[i] = (char)(i * 7 + 1); /* nothing in it is a block of zeroes */
  fd = open (argv[1], O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
  if (fd < 0)
    die (argv[1]);
  make (fd, size, full);
  printf ("%.6f\n", write_some (fd, size, atol (argv[3]), (uint64_t)atol (argv[4])));
  if (!full)
    (void)unlink (argv[1]);
  return 0;
}
