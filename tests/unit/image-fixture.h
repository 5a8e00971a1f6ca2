/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Made-up kernels, modules and directories for the tests of images/. A failure aborts the test. */
#pragma once

#include <glib.h>

/* A temporary directory (0700), removed by fixture_clear. */
typedef struct {
  char *dir;
} Fixture;

void fixture_init (Fixture *fixture, gconstpointer unused);
void fixture_clear (Fixture *fixture, gconstpointer unused);

#define fixture_test(path, function) g_test_add (path, Fixture, NULL, fixture_init, function, fixture_clear)

/* Below the directory; made with their parents. Paths are (transfer full). */
char *fixture_path (Fixture *fixture, const char *relative);
char *fixture_write (Fixture *fixture, const char *relative, const void *data, gsize length);
char *fixture_write_text (Fixture *fixture, const char *relative, const char *text);
char *fixture_mkdir (Fixture *fixture, const char *relative);

/* The number of entries in a directory whose names begin with `prefix`. */
guint fixture_count (const char *dir, const char *prefix);

/* A 64-bit ELF executable with some code-like filling, and with the PVH note if wanted. */
GByteArray *fixture_vmlinux (gsize filling, gboolean pvh);
/* A 64-bit ELF relocatable file. */
GByteArray *fixture_module (gsize filling);
/* A static 64-bit ELF executable, or one with an interpreter. */
GByteArray *fixture_program (gboolean is_static);

/* A bzImage around a payload (as it is: with its 4 bytes of size if it needs them). */
GByteArray *fixture_bzimage (const char *version, const guint8 *payload, gsize length);

/* `data` through a command line tool; NULL if the tool is not installed. */
GByteArray *fixture_compress (Fixture *fixture, const char *const *words, const guint8 *data, gsize length);

/* The bytes of a file. */
GByteArray *fixture_read (const char *path);

/* Fails unless `error` is set and its message has all of these words in it (NULL-terminated). Clears it. */
void fixture_assert_error (GError **error, ...) G_GNUC_NULL_TERMINATED;
