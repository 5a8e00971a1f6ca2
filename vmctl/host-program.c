/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program that a profile starts, as this host has it: where it is, and what must be there for it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/base/fd.h"
#include "vmctl/host-parts.h"

enum { FIRST_LINE_MAX = 256 };

/* The real path as text that a plan can hold; NULL: there is none. (transfer full) */
static char *
real_path (const char *path)
{
  char *real = realpath (path, NULL);
  char *copy = real != NULL && g_utf8_validate (real, -1, NULL) ? g_strdup (real) : NULL;

  free (real);
  return copy;
}

/* What the first line "#!..." of a file names: a program, and through env(1) the one after it. (transfer
 * full) NULL: there is no such line */
static char *
read_interpreter (const char *path)
{
  vm_autofd fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  char line[FIRST_LINE_MAX + 1];
  ssize_t n = fd >= 0 ? read (fd, line, FIRST_LINE_MAX) : -1;
  g_auto (GStrv) words = NULL;
  char **word;
  g_autofree char *base = NULL;

  if (n < 3 || line[0] != '#' || line[1] != '!')
    return NULL;
  line[n] = '\0';
  line[strcspn (line, "\r\n")] = '\0';
  words = g_strsplit_set (line + 2, " \t", -1);
  for (word = words; *word != NULL && **word == '\0'; word++)
    ;
  if (*word == NULL)
    return NULL;
  base = g_path_get_basename (*word);
  if (!g_str_equal (base, "env"))
    return g_strdup (*word);
  do
    word++;
  while (*word != NULL && (**word == '\0' || **word == '-' || strchr (*word, '=') != NULL));
  return g_strdup (*word);
}

static void
find_interpreter (VmHostProgram *program, const char *const *more)
{
  g_autofree char *name = read_interpreter (program->real);
  g_autofree char *path = NULL;

  if (name == NULL)
    return;
  path = g_path_is_absolute (name) ? g_strdup (name) : vm_host_find_program (name, more);
  program->interpreter_real = path != NULL ? real_path (path) : NULL;
  program->interpreter = g_strdup (path != NULL ? path : name);
}

/* Where people install programs for themselves: under sudo $PATH is sudo's own, and a desktop may not have
 * them either. The newest node of nvm's last. (transfer full) */
static char **
own_dirs (const char *home)
{
  static const char *const below[] = {".local/bin", "bin", ".npm-global/bin", ".cargo/bin",
                                      ".nix-profile/bin"};
  g_autofree char *nvm = g_build_filename (home, ".nvm", "versions", "node", NULL), *newest = NULL;
  g_autoptr (GDir) versions = g_dir_open (nvm, 0, NULL);
  GPtrArray *dirs = g_ptr_array_new_null_terminated (8, g_free, TRUE);
  const char *name;

  for (gsize i = 0; i < G_N_ELEMENTS (below); i++)
    g_ptr_array_add (dirs, g_build_filename (home, below[i], NULL));
  while (versions != NULL && (name = g_dir_read_name (versions)) != NULL)
    if (newest == NULL || strverscmp (name, newest) > 0) {
      g_free (newest);
      newest = g_strdup (name);
    }
  if (newest != NULL)
    g_ptr_array_add (dirs, g_build_filename (nvm, newest, "bin", NULL));
  return (char **)g_ptr_array_free (dirs, FALSE);
}

static void
find (VmHostProgram *program, const char *name, const char *const *more)
{
  program->name = g_strdup (name);
  if (strchr (name, '/') != NULL)
    program->path = g_path_is_absolute (name) && access (name, X_OK) == 0 ? g_strdup (name) : NULL;
  else
    program->path = vm_host_find_program (name, more);
  program->real = program->path != NULL ? real_path (program->path) : NULL;
  if (program->real == NULL || !g_utf8_validate (program->path, -1, NULL)) {
    g_clear_pointer (&program->path, g_free);
    g_clear_pointer (&program->real, g_free);
    return;
  }
  program->link = g_file_read_link (program->path, NULL);
  find_interpreter (program, more);
}

void
vm_host_gather_program (VmHost *host, const char *program, char **path_dirs)
{
  g_auto (GStrv) own = own_dirs (host->home);
  GArray *list = vm_host_list_new ();

  vm_host_program_clear (&host->program);
  if (program != NULL && g_utf8_validate (program, -1, NULL))
    find (&host->program, program, (const char *const *)own);
  for (; path_dirs != NULL && *path_dirs != NULL; path_dirs++)
    vm_host_list_add (list, *path_dirs, FALSE);
  vm_host_list_resolve (list);
  vm_host_entries_free (host->path_dirs);
  host->path_dirs = vm_host_list_end (list);
}

void
vm_host_program_clear (VmHostProgram *program)
{
  char *strings[] = {program->name, program->path,        program->link,
                     program->real, program->interpreter, program->interpreter_real};

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    g_free (strings[i]);
  *program = (VmHostProgram){0};
}
