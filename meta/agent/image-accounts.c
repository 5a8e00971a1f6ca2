/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Written into the files themselves, and not mounted over them: programs that add accounts, as every second
 * package does, rename a new file over the old one, which a mount point forbids. */
#include "meta/agent/image-accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACCOUNTS_MAX = 4 << 20 };

#define NEW_SUFFIX ".vmctl-new"

/* Is `name` the first field of the line? */
static bool
has_name (const char *line, size_t n, const char *name)
{
  size_t length = strlen (name);

  return n > length && strncmp (line, name, length) == 0 && line[length] == ':';
}

/* Is `id` its third field? */
static bool
has_id (const char *line, size_t n, unsigned id)
{
  const char *end = line + n, *at = memchr (line, ':', n);
  char *stop;

  at = at ? memchr (at + 1, ':', (size_t)(end - at - 1)) : NULL;
  if (!at || at + 1 >= end || at[1] < '0' || at[1] > '9')
    return false;
  return strtoul (at + 1, &stop, 10) == id && (*stop == ':' || *stop == '\n' || *stop == '\0');
}

/* No password, and none can be given: "*" asks for no /etc/shadow. The first entry of a number gives it its
 * name. */
char *
image_accounts_passwd (const char *old, const Meta *meta, const char *shell)
{
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream (&text, &size);

  if (!out)
    return NULL;
  fprintf (out, "%s:*:%u:%u::%s:%s\n", meta->name, meta->uid, meta->gid, meta->home, shell);
  for (const char *line = old, *next; *line != '\0'; line = next) {
    const char *end = strchrnul (line, '\n');

    next = *end == '\n' ? end + 1 : end;
    if (end > line && !has_name (line, (size_t)(end - line), meta->name))
      fprintf (out, "%.*s\n", (int)(end - line), line);
  }
  return fclose (out) == 0 ? text : (free (text), NULL);
}

char *
image_accounts_group (const char *old, const Meta *meta)
{
  bool has_number = false, is_taken = !meta->group;
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream (&text, &size);

  if (!out)
    return NULL;
  for (const char *line = old, *next; *line != '\0'; line = next) {
    const char *end = strchrnul (line, '\n');
    size_t n = (size_t)(end - line);

    next = *end == '\n' ? end + 1 : end;
    has_number |= has_id (line, n, meta->gid);
    is_taken |= meta->group && has_name (line, n, meta->group);
    if (n > 0)
      fprintf (out, "%.*s\n", (int)n, line);
  }
  if (!has_number && is_taken)
    fprintf (out, "vmctl-%u:x:%u:\n", meta->gid, meta->gid);
  else if (!has_number)
    fprintf (out, "%s:x:%u:\n", meta->group, meta->gid);
  return fclose (out) == 0 ? text : (free (text), NULL);
}

/* "" if there is none. NULL and errno */
static char *
read_accounts (int etc, const char *name)
{
  int fd = openat (etc, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  char *text;
  size_t size;

  if (fd < 0)
    return errno == ENOENT ? strdup ("") : NULL;
  text = read_open_file (fd, ACCOUNTS_MAX, &size);
  close_fd (&fd);
  return text;
}

static int
write_accounts (int etc, const char *name, const char *text)
{
  char temporary[64];
  int fd, r;

  snprintf (temporary, sizeof temporary, "%s" NEW_SUFFIX, name);
  (void)unlinkat (etc, temporary, 0);
  fd = openat (etc, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return -errno;
  r = write_all (fd, text, strlen (text));
  if (r == 0 && (fchmod (fd, 0644) < 0 || renameat (etc, temporary, etc, name) < 0))
    r = -errno;
  close_fd (&fd);
  return r;
}

/* A shell that the image has. */
static const char *
choose_shell (const Tree *tree, const char *wanted)
{
  int fd = wanted ? tree_open (tree, wanted, 0) : -ENOENT;
  bool there = fd >= 0;

  close_fd (&fd);
  return there ? wanted : "/bin/sh";
}

static int
rewrite (int etc, const char *name, const Tree *tree, const Meta *meta)
{
  char *old = read_accounts (etc, name), *new;
  int r;

  if (!old)
    return -errno;
  new = strcmp (name, "passwd") == 0 ? image_accounts_passwd (old, meta, choose_shell (tree, meta->shell))
                                     : image_accounts_group (old, meta);
  r = new ? write_accounts (etc, name, new) : -ENOMEM;
  free (new);
  free (old);
  return r;
}

int
image_accounts_add (const Tree *tree, const Meta *meta)
{
  int etc, r;

  if (meta->uid == 0)
    return 0;
  etc = tree_make_dirs (tree, "/etc");
  if (etc < 0)
    return etc;
  r = rewrite (etc, "passwd", tree, meta);
  if (r == 0)
    r = rewrite (etc, "group", tree, meta);
  close_fd (&etc);
  return r;
}
