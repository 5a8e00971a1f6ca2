/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of vmctl's predecessor: claude-sandbox, claude-sandbox-container, claude-sandbox-vm. Links to
 * vmctl; what they are told is put into words of vmctl's. Pure. */
#pragma once

#include <glib.h>

/* TRUE if a program of this name (with or without a path) is one of them. */
gboolean vm_legacy_is_name (const char *argv0);

/* The words after the program's name as words for vmctl: a verb and what goes with it. *ret_help: --help was
 * given, and nothing was checked. An error (USAGE) names the word. (transfer full) NULL: an error, or help */
char **vm_legacy_translate (const char *argv0, char **args, gboolean *ret_help, GError **error);

/* The text of --help. (transfer full) */
char *vm_legacy_help_text (const char *argv0);
