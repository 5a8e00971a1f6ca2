/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/metaread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/format.h"

enum { FILE_MAX = 8 << 20, PARTITION_MAX = 128 };

typedef struct {
  Meta *meta;
  const char *bundle; /* borrowed; NULL: there is none */
  size_t bundle_size;
  int dir_fd;
  size_t n;
  Why *why;
} Loader;

/* Of the bundle, where it is: a copy with a NUL behind it. NULL: it is not in it. */
static char *
from_bundle (const Loader *loader, const char *name, size_t *ret_size)
{
  const char *at = loader->bundle, *end = at + loader->bundle_size;

  while (at && at < end) {
    const char *size_text = memchr (at, '\0', (size_t)(end - at));
    const char *data = size_text ? memchr (size_text + 1, '\0', (size_t)(end - size_text - 1)) : NULL;
    uint64_t size;
    char *copy;

    if (!data || parse_number (size_text + 1, (uint64_t)(end - data - 1), &size) < 0)
      return NULL;
    if (strcmp (at, name) != 0) {
      at = data + 1 + size;
      continue;
    }
    copy = malloc (size + 1);
    if (copy) {
      memcpy (copy, data + 1, size);
      copy[size] = '\0';
      *ret_size = size;
    }
    return copy;
  }
  return NULL;
}

/* The next file's bytes, owned by the Meta, NUL behind them. NULL: failed, and said so. */
static char *
load (Loader *loader, const char *name, size_t *ret_size)
{
  char *data = from_bundle (loader, name, ret_size);

  if (!data)
    data = read_file_at (loader->dir_fd, name, FILE_MAX, ret_size);
  if (!data)
    why_set (loader->why, errno, "meta file '%s'", name);
  else
    loader->meta->files[loader->n++] = data;
  return data;
}

static int
bad (Loader *loader, const char *name, const char *what)
{
  return why_set (loader->why, 0, "meta file '%s': %s", name, what);
}

/* A text without NUL inside. */
static int
load_text (Loader *loader, const char *name, const char **ret)
{
  size_t size;
  char *data = load (loader, name, &size);

  if (!data)
    return -EBADMSG;
  if (strlen (data) != size)
    return bad (loader, name, "a NUL byte in it");
  *ret = data;
  return 0;
}

static int
load_path (Loader *loader, const char *name, const char **ret)
{
  int r = load_text (loader, name, ret);

  if (r == 0 && **ret != '/')
    return bad (loader, name, "not an absolute path");
  return r;
}

/* NUL-ended words. */
static int
load_words (Loader *loader, const char *name, char ***ret, size_t *ret_n)
{
  size_t size, n = 0;
  char *data = load (loader, name, &size);

  if (!data)
    return -EBADMSG;
  if (size > 0 && data[size - 1] != '\0')
    return bad (loader, name, "the last word has no end");
  for (size_t i = 0; i < size; i++)
    n += data[i] == '\0';
  *ret = calloc (n + 1, sizeof (char *));
  if (!*ret)
    return why_set (loader->why, ENOMEM, "meta file '%s'", name);
  for (size_t i = 0; i < n; i++) {
    (*ret)[i] = data;
    data += strlen (data) + 1;
  }
  *ret_n = n;
  return 0;
}

static int
set_identity (Loader *loader, const char *key, char *value)
{
  Meta *meta = loader->meta;
  uint64_t number;

  if (strcmp (key, "name") == 0)
    meta->name = value;
  else if (strcmp (key, "group") == 0)
    meta->group = value;
  else if (strcmp (key, "shell") == 0)
    meta->shell = value;
  else if (strcmp (key, "hostname") == 0)
    meta->hostname = value;
  else if (strcmp (key, "root") == 0)
    meta->root = strcmp (value, "yes") == 0;
  else if (strcmp (key, "umask") == 0)
    meta->mask = (mode_t)strtoul (value, NULL, 8) & 0777;
  else if (strcmp (key, "uid") == 0 || strcmp (key, "gid") == 0) {
    if (parse_number (value, UINT32_MAX - 1, &number) < 0)
      return bad (loader, "identity", "uid or gid is not a number");
    if (*key == 'u')
      meta->uid = (uid_t)number;
    else
      meta->gid = (gid_t)number;
  }
  return 0; /* keys of later versions are not our business */
}

static int
load_identity (Loader *loader)
{
  Meta *meta = loader->meta;
  const char *text = NULL;
  char *line, *next;
  int r = load_text (loader, "identity", &text);

  meta->mask = 022;
  meta->uid = (uid_t)-1;
  meta->gid = (gid_t)-1;
  for (line = (char *)text; r == 0 && *line; line = next) {
    char *equals;
    next = strchrnul (line, '\n');
    if (*next)
      *next++ = '\0';
    equals = strchr (line, '=');
    if (!equals)
      return bad (loader, "identity", "a line without '='");
    *equals = '\0';
    r = set_identity (loader, line, equals + 1);
  }
  if (r == 0 && (!meta->name || meta->uid == (uid_t)-1 || meta->gid == (gid_t)-1))
    return bad (loader, "identity", "name, uid or gid is missing");
  if (!meta->shell || *meta->shell != '/')
    meta->shell = "/bin/sh";
  return r;
}

/* The value of a line "KEY value", in place; NULL if there is no such line. */
static const char *
line_value (char *text, const char *key)
{
  size_t n = strlen (key);

  for (char *line = text; line; line = strchr (line, '\n')) {
    line += *line == '\n';
    if (strncmp (line, key, n) == 0 && line[n] == ' ') {
      char *end = strchrnul (line, '\n');
      return strndup (line + n + 1, (size_t)(end - line) - n - 1);
    }
  }
  return NULL;
}

static int
load_network (Loader *loader)
{
  const char *text = NULL;
  int r = load_text (loader, "network", &text);

  if (r < 0)
    return r;
  loader->meta->address = line_value ((char *)text, "address");
  loader->meta->gateway = line_value ((char *)text, "gateway");
  loader->meta->mac = line_value ((char *)text, "mac");
  return 0;
}

static int
load_size (Loader *loader, const char *text)
{
  Meta *meta = loader->meta;
  char end;

  if (!text || sscanf (text, "%5ux%5u%c", &meta->width, &meta->height, &end) != 2 || meta->width == 0 ||
      meta->height == 0)
    return bad (loader, "display", "no size");
  return 0;
}

static int
load_display (Loader *loader)
{
  Meta *meta = loader->meta;
  const char *text = NULL;
  char *size, *vnc, end;
  int r = load_text (loader, "display", &text);

  if (r < 0)
    return r;
  meta->server = line_value ((char *)text, "server");
  meta->manager = line_value ((char *)text, "manager");
  size = (char *)line_value ((char *)text, "size");
  if (meta->server)
    r = *meta->server == '/' ? load_size (loader, size) : bad (loader, "display", "not an absolute path");
  vnc = (char *)line_value ((char *)text, "vnc");
  if (r == 0 && vnc &&
      (sscanf (vnc, "%5u%c", &meta->vnc, &end) != 1 || meta->vnc == 0 || meta->vnc > UINT16_MAX))
    r = bad (loader, "display", "no port");
  free (size);
  free (vnc);
  return r;
}

/* "PARTITION FILE-SYSTEM [INIT]", in place. */
static int
load_image (Loader *loader, char *text)
{
  Meta *meta = loader->meta;
  char *type = strchr (text, ' '), *init = type ? strchr (type + 1, ' ') : NULL;
  uint64_t partition;

  if (type)
    *type++ = '\0';
  if (init)
    *init++ = '\0';
  if (!type || *type == '\0' || (init && *init != '/') || parse_number (text, PARTITION_MAX, &partition) < 0)
    return bad (loader, "disk", "neither 'image PARTITION FILE-SYSTEM' nor with an init");
  meta->partition = (unsigned)partition;
  meta->filesystem = type;
  meta->init = init;
  return 0;
}

/* "SIZE [INIT]", in place. */
static int
load_tmpfs (Loader *loader, char *text)
{
  Meta *meta = loader->meta;
  char *init = strchr (text, ' ');

  if (init)
    *init++ = '\0';
  if ((init && *init != '/') || parse_number (text, 1 << 30, &meta->tmpfs_mib) < 0 || meta->tmpfs_mib == 0)
    return bad (loader, "disk", "neither 'tmpfs SIZE' nor with an init");
  meta->init = init;
  return 0;
}

static int
load_disk (Loader *loader)
{
  const char *text = NULL;
  char *end;
  int r = load_text (loader, "disk", &text);

  if (r < 0)
    return r;
  end = strchr (text, '\n');
  if (end)
    *end = '\0';
  if (strcmp (text, "blk") == 0)
    return 0;
  if (strncmp (text, "image ", 6) == 0)
    return load_image (loader, (char *)text + 6);
  if (strncmp (text, "kept ", 5) == 0) {
    loader->meta->keeps = true;
    return load_image (loader, (char *)text + 5);
  }
  if (strncmp (text, "tmpfs ", 6) == 0)
    return load_tmpfs (loader, (char *)text + 6);
  if (strncmp (text, "blk /", 5) != 0)
    return bad (loader, "disk", "neither 'blk' nor 'tmpfs SIZE' nor an image");
  loader->meta->init = text + 4;
  return 0;
}

static int
load_version (Loader *loader)
{
  const char *text = NULL;
  int r = load_text (loader, "version", &text);

  if (r == 0 && strcmp (text, META_VERSION) != 0)
    return bad (loader, "version", "not a version that this agent knows");
  return r;
}

int
meta_load (Meta *meta, int dir_fd, const char *bundle, size_t size, Why *why)
{
  Loader loader = {.meta = meta, .bundle = bundle, .bundle_size = size, .dir_fd = dir_fd, .why = why};
  char *own = bundle ? NULL : read_file_at (dir_fd, "bundle", FILE_MAX, &loader.bundle_size);
  size_t ignored;
  int r;

  if (!bundle)
    loader.bundle = own;
  *meta = (Meta){0};
  if ((r = load_version (&loader)) < 0 || (r = load_identity (&loader)) < 0 ||
      (r = load_path (&loader, "host_home", &meta->home)) < 0 ||
      (r = load_path (&loader, "host_project", &meta->project)) < 0 ||
      (r = load_path (&loader, "cwd", &meta->cwd)) < 0 ||
      (r = load_words (&loader, "entrypoint", &meta->entrypoint, &ignored)) < 0 ||
      (r = load_words (&loader, "environment", &meta->environment, &ignored)) < 0 ||
      (r = load_words (&loader, "mounts", &meta->mounts, &meta->n_mounts)) < 0 ||
      (r = load_network (&loader)) < 0 || (r = load_display (&loader)) < 0 || (r = load_disk (&loader)) < 0)
    goto fail;
  if (meta->n_mounts % 4 == 0) {
    free (own);
    return 0;
  }
  r = bad (&loader, "mounts", "not four words each");
fail:
  free (own);
  meta_clear (meta);
  return r < 0 ? r : -EIO;
}

void
meta_clear (Meta *meta)
{
  for (size_t i = 0; i < META_FILES; i++)
    free (meta->files[i]);
  free ((char *)meta->address);
  free ((char *)meta->gateway);
  free ((char *)meta->mac);
  free ((char *)meta->server);
  free ((char *)meta->manager);
  free (meta->entrypoint);
  free (meta->environment);
  free (meta->mounts);
  *meta = (Meta){0};
}
