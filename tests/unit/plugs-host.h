/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A supervisor whose jobs can be watched: with a scripted QEMU, the other ends of the keeper's and of the
 * agent's sockets, and a directory of its own for all its files. */
#pragma once

#include "fake-qmp.h"
#include "frame-peer.h"
#include "vmctl/supervisor-plug-private.h"

typedef struct {
  char *path, *more;
  VmDirs dirs;
  VmSupervisor sup;
  Peer agent;
  int keeper; /* the other end */
  FakeQmp *fake;
  QmpSchema *schema;
} Fixture;

void set_up (Fixture *f, gconstpointer data);
void tear_down (Fixture *f, gconstpointer data);
void start_qemu (Fixture *f, const char *script);
void plug (Fixture *f, const char *word, guint fail_after);
gsize n_devices (Fixture *f);
/* What the log says, which is where it can be seen that a job is over. */
void until_logged (Fixture *f, const char *text);
/* A change with these words, '|' behind each; its number. */
guint32 expect_change (Fixture *f, const char *text);
void answer_change (Fixture *f, guint32 number, guint32 code, const char *text);
