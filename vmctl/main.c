/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl: finds the verb, runs it, prints its error. The only place that does either. */
#include <fcntl.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/tty.h"
#include "vmctl/host.h"
#include "vmctl/legacy.h"
#include "vmctl/root-keeper.h"
#include "vmctl/show.h"
#include "vmctl/verb.h"

enum {
  STATUS_FAILED = 1,
  STATUS_USAGE = 2,
  STATUS_OWN_FAILURE = 125,
  STATUS_NOT_FOUND = 127,
  STATUS_PIPE = 128 + SIGPIPE
};

/* A message quotes what somebody else may have chosen: a path, a key of a project's own configuration. */
static void
print_error (const GError *error)
{
  gboolean colour = vm_tty_wants_colour (STDERR_FILENO);
  g_autofree char *shown = vm_show_safe_lines (error->message);

  fprintf (stderr, "%svmctl: error:%s %s\n", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "", shown);
}

static int
status_of (const GError *error, const VmVerb *verb)
{
  if (verb != NULL && (verb->flags & VM_VERB_RUNS) != 0)
    return g_error_matches (error, VM_ERROR, VM_ERROR_NO_PROGRAM) ? STATUS_NOT_FOUND : STATUS_OWN_FAILURE;
  return g_error_matches (error, VM_ERROR, VM_ERROR_USAGE) ? STATUS_USAGE : STATUS_FAILED;
}

static gboolean
prepare_context (const VmVerb *verb, VmContext *context, GError **error)
{
  if ((verb->flags & VM_VERB_NO_DIRS) != 0)
    return TRUE;
  if ((verb->flags & VM_VERB_STARTS) != 0)
    vm_root_keeper_start (&context->root_keeper, &context->root_keeper_why, &context->root_groups);
  if (!vm_host_become_user (&context->was_sudo, error))
    return FALSE;
  context->home = vm_host_home (error);
  return context->home != NULL && vm_dirs_find (context->home, &context->dirs, error);
}

static int
run_verb (const VmVerb *verb, char **argv, guint mask, GError **error)
{
  VmContext context = {.mask = mask, .root_keeper = -1, .began = g_get_real_time ()};
  gpointer options = NULL;
  g_auto (GStrv) args = NULL, command = NULL;
  gboolean help;
  int status = -1;

  if (!vm_verb_parse (verb, argv, &options, &args, &command, &help, error))
    return -1;
  if (help) {
    g_autofree char *text = vm_verb_help_text (verb);

    fputs (text, stdout);
    status = 0;
  } else if (prepare_context (verb, &context, error)) {
    status = verb->run (&context, options, args, command, error);
  }
  vm_verb_options_free (verb, options);
  vm_dirs_clear (&context.dirs);
  g_free (context.home);
  g_free (context.root_keeper_why);
  vm_groups_clear (&context.root_groups);
  vm_fd_clear (&context.root_keeper);
  return status;
}

/* `vmctl`, `vmctl --help`, `vmctl --version`: what people try first. */
static const char *
verb_name (char **args)
{
  if (args[0] == NULL || g_str_equal (args[0], "--help") || g_str_equal (args[0], "-h"))
    return "help";
  if (g_str_equal (args[0], "--version"))
    return "version";
  return args[0];
}

/* A command of the predecessor's: its words become vmctl's. FALSE: `*ret_status` is the end of it. */
static gboolean
translate (const char *argv0, char **args, char ***ret_argv, int *ret_status, GError **error)
{
  gboolean help = FALSE;

  *ret_argv = vm_legacy_translate (argv0, args, &help, error);
  if (*ret_argv != NULL)
    return TRUE;
  *ret_status = help ? 0 : STATUS_USAGE;
  if (help) {
    g_autofree char *text = vm_legacy_help_text (argv0);

    fputs (text, stdout);
  }
  return FALSE;
}

static int
unknown_verb (const char *name, GError **error)
{
  g_autofree char *shown = vm_escape_terminal (name, -1, 64);
  const char *guess = vm_verb_guess (name);

  if (guess != NULL)
    vm_error (error, VM_ERROR_USAGE, "there is no verb '%s'; did you mean 'vmctl %s'?", shown, guess);
  else
    vm_error (error, VM_ERROR_USAGE, "there is no verb '%s'; see: vmctl help", shown);
  return -1;
}

/* A standard stream that the caller has closed must not become the number of a socket of ours. The wrong mode
 * is meant: reading such a stdin or writing such a stdout fails, as it would have. */
static void
occupy_standard_streams (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) < 0)
      (void)open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static int
report (const GError *error, const VmVerb *verb)
{
  print_error (error);
  return status_of (error, verb);
}

static int
flush (int status)
{
  if (fflush (stdout) == 0)
    return status;
  if (errno == EPIPE)
    return STATUS_PIPE; /* `vmctl list | head`: nobody wants to know */
  fprintf (stderr, "vmctl: error: cannot write to standard output\n");
  return STATUS_FAILED;
}

/* `args` are the words after the program's name. */
static int
run (char **args, guint mask)
{
  g_autoptr (GError) error = NULL;
  const VmVerb *verb = vm_verb_find (verb_name (args));
  int status =
      verb != NULL ? run_verb (verb, args + (*args != NULL), mask, &error) : unknown_verb (args[0], &error);

  return error != NULL ? report (error, verb) : flush (status);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) translated = NULL;
  guint mask = umask (077);
  int status = 0;

  occupy_standard_streams ();
  (void)setlocale (LC_CTYPE, "");
  (void)signal (SIGPIPE, SIG_IGN);
  if (argc < 1 || !vm_legacy_is_name (argv[0]))
    return run (argv + MIN (argc, 1), mask);
  if (translate (argv[0], argv + 1, &translated, &status, &error))
    return run (translated, mask);
  return error != NULL ? report (error, NULL) : flush (status);
}
