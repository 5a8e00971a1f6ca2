/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meta/frame.h"

/* What execve() takes is limited by bytes. These are limits on our own time. */
enum { ENV_MAX = 16384, ENV_FIELDS_MAX = 4096, ARGV_MAX = 262144 };

#define ROOT_PATH ":/usr/local/sbin:/usr/sbin:/sbin"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static int
append (char ***words, size_t *n, char *word)
{
  /* Rooms double: 8, 16, 32 ... and the size tells when one is full. */
  if (!word)
    return -ENOMEM;
  if (*n == 0 || (*n >= 7 && ((*n + 1) & *n) == 0)) {
    char **bigger = realloc (*words, sizeof (char *) * (*n == 0 ? 8 : 2 * (*n + 1)));
    if (!bigger) {
      free (word);
      return -ENOMEM;
    }
    *words = bigger;
  }
  (*words)[(*n)++] = word;
  (*words)[*n] = NULL;
  return 0;
}

static int
find_env (const Launch *launch, const char *name, size_t n)
{
  for (size_t i = 0; i < launch->n_env; i++)
    if (strncmp (launch->env[i], name, n) == 0 && launch->env[i][n] == '=')
      return (int)i;
  return -1;
}

const char *
launch_get_env (const Launch *launch, const char *name)
{
  int i = find_env (launch, name, strlen (name));

  return i < 0 ? NULL : launch->env[i] + strlen (name) + 1;
}

/* Takes `word`, "NAME=value" or "NAME". */
static int
take_env (Launch *launch, char *word)
{
  size_t n = word ? strcspn (word, "=") : 0;
  int i;

  if (!word)
    return -ENOMEM;
  i = find_env (launch, word, n);
  if (i < 0 && word[n] == '=')
    return launch->n_env < ENV_MAX ? append (&launch->env, &launch->n_env, word) : (free (word), -E2BIG);
  if (i >= 0) {
    free (launch->env[i]);
    launch->env[i] = word[n] == '=' ? word : launch->env[--launch->n_env];
    launch->env[launch->n_env] = NULL;
  }
  if (word[n] != '=')
    free (word);
  return 0;
}

int
launch_set_env (Launch *launch, const char *name, const char *value)
{
  char *word = NULL;

  if (asprintf (&word, "%s%s%s", name, value ? "=" : "", value ? value : "") < 0)
    return -ENOMEM;
  return take_env (launch, word);
}

/* The fields of the environment wait in front of the meta dir's, which is not there yet: launch_complete()
 * puts them into place. */
static int
add_field (Launch *launch, FrameTag tag, const uint8_t *value, uint32_t length)
{
  char *text;

  if (memchr (value, '\0', length))
    return -EINVAL;
  if (tag == FRAME_TAG_CWD ? length == 0 || *value != '/' || launch->cwd != NULL
                           : tag == FRAME_TAG_ENV && (length == 0 || *value == '='))
    return -EINVAL;
  if (launch->n_argv >= ARGV_MAX || launch->n_env >= ENV_FIELDS_MAX)
    return -E2BIG;
  text = strndup ((const char *)value, length);
  if (tag == FRAME_TAG_ARG)
    return append (&launch->argv, &launch->n_argv, text);
  if (tag == FRAME_TAG_ENV)
    return append (&launch->env, &launch->n_env, text);
  launch->cwd = text;
  return text ? 0 : -ENOMEM;
}

static int
add_flag (Launch *launch, FrameTag tag, const uint8_t *value, uint32_t length)
{
  if (tag == FRAME_TAG_META || length != (tag == FRAME_TAG_TTY ? 4 : 0))
    return -EPROTO;
  if (tag == FRAME_TAG_ROOT)
    launch->root = true;
  else if (tag == FRAME_TAG_CONSOLE)
    launch->console = true;
  else if (tag == FRAME_TAG_SHELL)
    launch->shell = true;
  else {
    launch->tty = true;
    launch->rows = frame_get_u16 (value);
    launch->columns = frame_get_u16 (value + 2);
  }
  return 0;
}

int
launch_parse (Launch *launch, const uint8_t *data, size_t n)
{
  FrameTag tag;
  const uint8_t *value;
  uint32_t length;
  size_t at = 0;
  int r, result = 0;

  *launch = (Launch){0};
  /* All of it is looked at: broken framing counts for more than a field that makes no sense. */
  while ((r = frame_field_next (data, n, &at, &tag, &value, &length)) > 0) {
    if (tag == FRAME_TAG_ARG || tag == FRAME_TAG_ENV || tag == FRAME_TAG_CWD)
      r = result < 0 ? 0 : add_field (launch, tag, value, length);
    else
      r = add_flag (launch, tag, value, length);
    if (r == -EPROTO)
      return r;
    if (r < 0)
      result = r;
  }
  if (r == 0 && launch->tty && launch->console)
    return -EINVAL;
  return r < 0 ? r : result;
}

static int
complete_argv (Launch *launch, const Meta *meta)
{
  if (launch->shell || (launch->n_argv == 0 && !meta->entrypoint[0])) {
    for (size_t i = 0; i < launch->n_argv; i++)
      free (launch->argv[i]);
    launch->n_argv = 0;
    launch->shell = true;
    /* An image need not have the host's. */
    return append (&launch->argv, &launch->n_argv,
                   strdup (access (meta->shell, X_OK) == 0 ? meta->shell : "/bin/sh"));
  }
  if (launch->n_argv > 0)
    return 0;
  for (char **word = meta->entrypoint; *word; word++) {
    int r = append (&launch->argv, &launch->n_argv, strdup (*word));
    if (r < 0)
      return r;
  }
  return 0;
}

static int
set_path (Launch *launch, const char *bin_dir)
{
  const char *old = launch_get_env (launch, "PATH");
  char *path = NULL;
  int r;

  if (asprintf (&path, "%s%s%s%s", bin_dir ? bin_dir : "", bin_dir ? ":" : "", old ? old : DEFAULT_PATH,
                launch->root ? ROOT_PATH : "") < 0)
    return -ENOMEM;
  r = launch_set_env (launch, "PATH", path);
  free (path);
  return r;
}

static int
set_root_env (Launch *launch)
{
  static const char *const names[] = {"HOME", "USER", "LOGNAME"}, *const values[] = {"/root", "root", "root"};
  int r = 0;

  for (size_t i = 0; i < 3 && r == 0; i++)
    r = launch_set_env (launch, names[i], values[i]);
  return r;
}

/* The meta dir's environment, ours on top, and the fields of OPEN on top of that. */
static int
complete_env (Launch *launch, const Meta *meta, const char *bin_dir)
{
  char **fields = launch->env;
  size_t n = launch->n_env, i = 0;
  int r = 0;

  launch->env = NULL;
  launch->n_env = 0;
  for (char **word = meta->environment; *word && r == 0; word++)
    r = take_env (launch, strdup (*word));
  if (r == 0)
    r = set_path (launch, bin_dir);
  if (r == 0)
    r = launch_set_env (launch, "PWD", launch->cwd);
  if (r == 0 && launch->root)
    r = set_root_env (launch);
  for (i = 0; i < n && r == 0; i++)
    r = take_env (launch, fields[i]);
  for (; i < n; i++)
    free (fields[i]);
  free (fields);
  return r;
}

int
launch_complete (Launch *launch, const Meta *meta, const char *bin_dir)
{
  int r;

  if (!launch->cwd)
    launch->cwd = strdup (meta->cwd);
  if (!launch->cwd)
    return -ENOMEM;
  r = complete_argv (launch, meta);
  if (r == 0)
    r = complete_env (launch, meta, bin_dir);
  if (r == 0 && launch->console && !launch_get_env (launch, "TERM"))
    r = launch_set_env (launch, "TERM", "vt220");
  return r;
}

void
launch_clear (Launch *launch)
{
  for (size_t i = 0; i < launch->n_argv; i++)
    free (launch->argv[i]);
  for (size_t i = 0; i < launch->n_env; i++)
    free (launch->env[i]);
  free (launch->argv);
  free (launch->env);
  free (launch->cwd);
  *launch = (Launch){0};
}
