/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A QEMU that is none: it speaks scripted QMP (tests/unit/fake-qmp.h says what a script may hold).
 *
 *   fake-qemu --fd N | --listen-fd N [--script FILE] [--schema FILE] [--no-schema]
 *
 * Put in QEMU's place it takes QEMU's words: the monitor is the -chardev with id=qmp (fd=N, server=on),
 * --version answers, and all other words are ignored. The environment says the rest, and is only a default
 * for the options:
 *
 *   FAKE_QEMU_SCRIPT   script file; without one: standard input, or with QEMU's words `accept` if it listens,
 *                      `handshake`, `serve`
 *   FAKE_QEMU_SCHEMA   schema file; without one commands are not checked
 *   FAKE_QEMU_DUMP     file that gets {"argv": [...], "environment": [...], "fds": [...]} before anything
 * else
 *
 * Ends 0 at the script's end, 2 for a bad script, 3 for a command that was not expected, 4 if the peer closed
 * too early. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake-qmp.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/json.h"

typedef struct {
  int fd;
  int listen_fd;
  const char *script;
  const char *schema;
  const char *dump;
  gboolean as_qemu;
} Options;

/* The descriptor in a comma list such as "socket,id=qmp,fd=12,server=on". */
static void
read_chardev (Options *options, const char *words)
{
  g_auto (GStrv) parts = g_strsplit (words, ",", -1);
  int fd = -1;

  if (!g_strv_contains ((const char *const *)parts, "id=qmp"))
    return;
  for (guint i = 0; parts[i] != NULL; i++)
    if (g_str_has_prefix (parts[i], "fd="))
      fd = atoi (parts[i] + 3);
  options->as_qemu = TRUE;
  if (g_strv_contains ((const char *const *)parts, "server=on") ||
      g_strv_contains ((const char *const *)parts, "server"))
    options->listen_fd = fd;
  else
    options->fd = fd;
}

static void
read_words (Options *options, int argc, char **argv)
{
  for (int i = 1; i < argc; i++) {
    const char *next = i + 1 < argc ? argv[i + 1] : "";

    if (strcmp (argv[i], "--fd") == 0)
      options->fd = atoi (next);
    else if (strcmp (argv[i], "--listen-fd") == 0)
      options->listen_fd = atoi (next);
    else if (strcmp (argv[i], "--script") == 0)
      options->script = next;
    else if (strcmp (argv[i], "--schema") == 0)
      options->schema = next;
    else if (strcmp (argv[i], "--no-schema") == 0)
      options->schema = NULL;
    else if (strcmp (argv[i], "-chardev") == 0)
      read_chardev (options, next);
  }
}

static json_object *
open_fds (void)
{
  json_object *list = json_object_new_array ();
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_strconcat ("/proc/self/fd/", name, NULL);
    g_autofree char *target = g_file_read_link (path, NULL);

    if (target != NULL && !g_str_has_suffix (target, "/fd")) /* not the one that reads this folder */
      json_object_array_add (list, json_object_new_int (atoi (name)));
  }
  return list;
}

static gboolean
dump (const char *path, char **argv)
{
  g_autoptr (json_object) all = json_object_new_object ();
  g_auto (GStrv) environment = g_get_environ ();
  g_autofree char *text = NULL;

  vm_json_add_strv (all, "argv", (const char *const *)argv);
  vm_json_add_strv (all, "environment", (const char *const *)environment);
  vm_json_add (all, "fds", open_fds ());
  text = vm_json_pretty (all);
  return g_file_set_contents (path, text, -1, NULL);
}

static char *
load_script (const Options *options, GError **error)
{
  char *text = NULL;

  if (options->script != NULL)
    return g_file_get_contents (options->script, &text, NULL, error) ? text : NULL;
  if (options->as_qemu)
    return g_strdup (options->listen_fd >= 0 ? "accept\nhandshake\nserve\n" : "handshake\nserve\n");
  return vm_fd_read_all (STDIN_FILENO, 1 << 20, NULL, error);
}

static int
run (const Options *options, GError **error)
{
  g_autofree char *script = load_script (options, error);
  g_autoptr (QmpSchema) schema = NULL;
  FakeQmpOptions fake = {.fd = options->fd, .listen_fd = options->listen_fd, .may_die = TRUE};

  if (script == NULL)
    return FAKE_QMP_BAD_SCRIPT;
  if (options->schema != NULL && (schema = fake_qmp_load_schema (options->schema, error)) == NULL)
    return FAKE_QMP_BAD_SCRIPT;
  fake.schema = schema;
  return (int)fake_qmp_run (&fake, script, error);
}

int
main (int argc, char **argv)
{
  Options options = {.fd = -1,
                     .listen_fd = -1,
                     .script = g_getenv ("FAKE_QEMU_SCRIPT"),
                     .schema = g_getenv ("FAKE_QEMU_SCHEMA"),
                     .dump = g_getenv ("FAKE_QEMU_DUMP")};
  g_autoptr (GError) error = NULL;
  int status;

  if (argc == 2 && (strcmp (argv[1], "--version") == 0 || strcmp (argv[1], "-version") == 0)) {
    printf ("QEMU emulator version 7.2.22 (fake)\n");
    return 0;
  }
  read_words (&options, argc, argv);
  if (options.dump != NULL && !dump (options.dump, argv))
    return FAKE_QMP_BAD_SCRIPT;
  if (options.fd < 0 && options.listen_fd < 0) {
    fprintf (stderr, "fake-qemu: no --fd, no --listen-fd, no -chardev with id=qmp\n");
    return FAKE_QMP_BAD_SCRIPT;
  }
  status = run (&options, &error);
  if (error != NULL)
    fprintf (stderr, "fake-qemu: %s\n", error->message);
  return status;
}
