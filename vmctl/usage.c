/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/usage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/fd.h"

enum { TEXT_MAX = 65536, PSS_PROCESSES_MAX = 64 }; /* PSS costs a walk through the page tables */

typedef struct {
  pid_t pid, parent;
  guint64 ticks;
} Process;

/* (transfer full), NULL: not there, or not for us */
static char *
read_proc (pid_t pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int)pid, name);
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC);

  return fd >= 0 ? vm_fd_read_all (fd, TEXT_MAX, NULL, NULL) : NULL;
}

/* The name may hold spaces and brackets, so count from the last one: state ppid ... utime stime cutime
 * cstime.
 */
gboolean
vm_usage_parse_stat (const char *text, pid_t *ret_parent, guint64 *ret_ticks)
{
  enum { PARENT = 1, UTIME = 11, CSTIME = 14 };
  const char *after = strrchr (text, ')');
  g_auto (GStrv) fields = NULL;

  if (after == NULL || after[1] == '\0')
    return FALSE;
  fields = g_strsplit (after + 2, " ", CSTIME + 2);
  if (g_strv_length (fields) <= CSTIME)
    return FALSE;
  *ret_parent = (pid_t)g_ascii_strtoll (fields[PARENT], NULL, 10);
  *ret_ticks = 0;
  for (int i = UTIME; i <= CSTIME; i++)
    *ret_ticks += g_ascii_strtoull (fields[i], NULL, 10);
  return TRUE;
}

gboolean
vm_usage_parse_net (const char *text, const char *interface, guint64 *ret_received, guint64 *ret_sent)
{
  enum { SENT = 8 }; /* the ninth number */
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++) {
    char *at = g_strchug (*line), *colon = strchr (at, ':');

    if (colon == NULL || (gsize)(colon - at) != strlen (interface) || !g_str_has_prefix (at, interface))
      continue;
    at = colon + 1;
    *ret_received = g_ascii_strtoull (at, &at, 10);
    for (int i = 1; i < SENT; i++)
      (void)g_ascii_strtoull (at, &at, 10);
    *ret_sent = g_ascii_strtoull (at, NULL, 10);
    return TRUE;
  }
  return FALSE;
}

/* All processes that there are, of Process. */
static GArray *
list_processes (void)
{
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Process));
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    Process process = {.pid = (pid_t)atoi (name)};
    g_autofree char *text = process.pid > 0 ? read_proc (process.pid, "stat") : NULL;

    if (text != NULL && vm_usage_parse_stat (text, &process.parent, &process.ticks))
      g_array_append_val (all, process);
  }
  return all;
}

/* `top` and all below it; parents first. */
static GArray *
tree_of (pid_t top)
{
  g_autoptr (GArray) all = list_processes ();
  GArray *tree = g_array_new (FALSE, FALSE, sizeof (Process));

  for (guint i = 0; i < all->len; i++)
    if (g_array_index (all, Process, i).pid == top)
      g_array_append_val (tree, g_array_index (all, Process, i));
  for (guint at = 0; at < tree->len; at++)
    for (guint i = 0; i < all->len; i++)
      if (g_array_index (all, Process, i).parent == g_array_index (tree, Process, at).pid)
        g_array_append_val (tree, g_array_index (all, Process, i));
  return tree;
}

static guint64
rss_of (pid_t pid)
{
  g_autofree char *text = read_proc (pid, "statm");
  char *at = text;

  if (text == NULL)
    return 0;
  (void)g_ascii_strtoull (at, &at, 10);
  return g_ascii_strtoull (at, NULL, 10) * (guint64)sysconf (_SC_PAGESIZE);
}

static gboolean
add_pss (pid_t pid, guint64 *sum)
{
  g_autofree char *text = read_proc (pid, "smaps_rollup");
  const char *line = text != NULL ? strstr (text, "\nPss:") : NULL;

  if (line != NULL)
    *sum += g_ascii_strtoull (line + strlen ("\nPss:"), NULL, 10) * 1024;
  return line != NULL;
}

/* One that ends meanwhile, or has no memory of its own any more, has no share either. */
static void
add_memory (const GArray *tree, VmUsage *ret)
{
  guint seen = 0;

  for (guint i = 0; i < tree->len; i++) {
    pid_t pid = g_array_index (tree, Process, i).pid;
    guint64 rss = rss_of (pid);

    ret->rss += rss;
    if (tree->len > PSS_PROCESSES_MAX)
      continue;
    seen += rss == 0 || add_pss (pid, &ret->pss);
  }
  ret->has_pss = seen == tree->len;
}

static void
add_net (const GArray *tree, const char *interface, VmUsage *ret)
{
  for (guint i = tree->len; i > 0 && !ret->has_net; i--) {
    g_autofree char *text = read_proc (g_array_index (tree, Process, i - 1).pid, "net/dev");

    ret->has_net = text != NULL && vm_usage_parse_net (text, interface, &ret->received, &ret->sent);
  }
}

void
vm_usage_gather (pid_t top, const VmGroups *groups, const char *interface, VmUsage *ret)
{
  g_autoptr (GArray) tree = tree_of (top);
  guint64 ticks = 0;

  *ret = (VmUsage){.processes = tree->len};
  for (guint i = 0; i < tree->len; i++)
    ticks += g_array_index (tree, Process, i).ticks;
  ret->cpu_us = vm_group_cpu_us (groups);
  if (ret->cpu_us == 0)
    ret->cpu_us = ticks * G_USEC_PER_SEC / (guint64)sysconf (_SC_CLK_TCK);
  add_memory (tree, ret);
  if (interface != NULL)
    add_net (tree, interface, ret);
}
