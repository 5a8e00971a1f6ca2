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
#include "vmctl/base/tty.h"
#include "vmctl/host.h"
#include "vmctl/verb.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_OWN_FAILURE = 125, STATUS_PIPE = 128 + SIGPIPE };

static void
print_error (const GError *error)
{
  gboolean colour = vm_tty_wants_colour (STDERR_FILENO);

  fprintf (stderr, "%svmctl: error:%s %s\n", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "",
           error->message);
}

static int
status_of (const GError *error, const VmVerb *verb)
{
  if (verb != NULL && (verb->flags & VM_VERB_RUNS) != 0)
    return STATUS_OWN_FAILURE;
  return g_error_matches (error, VM_ERROR, VM_ERROR_USAGE) ? STATUS_USAGE : STATUS_FAILED;
}

static gboolean
prepare_context (const VmVerb *verb, VmContext *context, GError **error)
{
  if ((verb->flags & VM_VERB_NO_DIRS) != 0)
    return TRUE;
  if (!vm_host_become_user (&context->was_sudo, error))
    return FALSE;
  context->home = vm_host_home (error);
  return context->home != NULL && vm_dirs_find (context->home, &context->dirs, error);
}

static int
run_verb (const VmVerb *verb, char **argv, guint mask, GError **error)
{
  VmContext context = {.mask = mask};
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
  return status;
}

/* `vmctl`, `vmctl --help`, `vmctl --version`: what people try first. */
static const char *
verb_name (int argc, char **argv)
{
  if (argc < 2 || g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"))
    return "help";
  if (g_str_equal (argv[1], "--version"))
    return "version";
  return argv[1];
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

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  const VmVerb *verb = vm_verb_find (verb_name (argc, argv));
  guint mask = umask (077);
  int status;

  occupy_standard_streams ();
  (void)setlocale (LC_CTYPE, "");
  (void)signal (SIGPIPE, SIG_IGN);
  if (verb == NULL)
    status = unknown_verb (argv[1], &error);
  else
    status = run_verb (verb, argv + MIN (argc, 2), mask, &error);
  if (error != NULL) {
    print_error (error);
    return status_of (error, verb);
  }
  if (fflush (stdout) != 0) {
    if (errno == EPIPE)
      return STATUS_PIPE; /* `vmctl list | head`: nobody wants to know */
    fprintf (stderr, "vmctl: error: cannot write to standard output\n");
    return STATUS_FAILED;
  }
  return status;
}
