/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A scripted QMP peer. Blocking, one connection at a time; a unit test runs it in a thread, tests/fake-qemu.c
 * in a process. One instruction a line, '#' comments:
 *
 *   greeting [JSON]            sends {"QMP": JSON}; without JSON that of QEMU 7.2
 *   handshake                  greeting, expect qmp_capabilities, return
 *   expect NAME [fds=N] [as A] [JSON]
 *                              reads a command: its name, N descriptors with it, and the members of JSON
 * (which its arguments must have, others may be there too). A remembers its id return [to A] [JSON] answers
 * the last command, or A; without JSON {} error [to A] CLASS DESC... event NAME [JSON] raw TEXT bytes as they
 * are; C escapes repeat N TEXT              the same N times split on|off               from now on every
 * byte by its own write bare on|off                from now on lines end with LF, not CRLF ignore reads and
 * drops until the peer closes serve                      answers every command with {} until the peer closes
 * or `quit` eof                        closes accept                     waits for a next connection (with a
 * listening descriptor) die SIGNAL | exit N        only in the program
 *
 * Commands are checked against a schema if there is one: an unknown command or argument ends the script. */
#pragma once

#include <glib.h>

#include "qmp/schema.h"

typedef enum {
  FAKE_QMP_OK = 0,
  FAKE_QMP_BAD_SCRIPT = 2,
  FAKE_QMP_UNEXPECTED = 3, /* another command than expected, or one that the schema refuses */
  FAKE_QMP_GONE = 4,       /* the peer closed too early */
} FakeQmpStatus;

typedef struct {
  int fd;            /* the connection, or -1; owned */
  int listen_fd;     /* or -1; owned */
  QmpSchema *schema; /* borrowed; NULL: commands are not checked */
  gboolean may_die;
} FakeQmpOptions;

/* Runs the script to its end. Closes the descriptors. `error` says which line failed and why. */
FakeQmpStatus fake_qmp_run (const FakeQmpOptions *options, const char *script, GError **error);

typedef struct FakeQmp FakeQmp;

/* Runs it in a thread on one end of a socket pair; *ret_fd is the other (owned by the caller). */
FakeQmp *fake_qmp_start (const char *script, QmpSchema *schema, int *ret_fd);
/* Waits for its end, and asserts that it was OK. */
void fake_qmp_join (FakeQmp *fake);

/* A stored schema (tests/data). (transfer full) */
QmpSchema *fake_qmp_load_schema (const char *path, GError **error);
