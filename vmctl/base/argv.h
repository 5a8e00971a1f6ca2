/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of a child process: its words, its environment and its descriptors, in one owner.
 *
 * Descriptors are named slots. A slot gets its number in the child (3, 4, 5, ...) when it is first named, so
 * that a renderer can write "fd=3" into a word without any descriptor existing: renderers stay pure, and
 * `vmctl plan` prints the exact words. Before the child starts, every slot is bound to a real descriptor, or
 * to bytes. */
#pragma once

#include <glib.h>
#include <json-c/json.h>

typedef struct VmArgv VmArgv;

VmArgv *vm_argv_new (void);
void vm_argv_free (VmArgv *argv); /* NULL is fine; closes what is bound */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmArgv, vm_argv_free)

void vm_argv_add (VmArgv *argv, const char *word);
void vm_argv_addf (VmArgv *argv, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* NULL-terminated list of words. */
void vm_argv_add_many (VmArgv *argv, ...) G_GNUC_NULL_TERMINATED;
void vm_argv_add_strv (VmArgv *argv, const char *const *words);
/* The compact text of a JSON object as one word. Takes `object`. */
void vm_argv_add_json (VmArgv *argv, json_object *object);

/* The number that `slot` has in the child. */
int vm_argv_slot (VmArgv *argv, const char *slot);
/* Binds a slot to a descriptor (owned from now on). Binding twice closes the first. */
void vm_argv_bind (VmArgv *argv, const char *slot, int take_fd);
/* What a slot is bound to (borrowed); -1: nothing. */
int vm_argv_bound (VmArgv *argv, const char *slot);
/* Binds a slot to bytes: the child finds a sealed memory file. */
void vm_argv_bind_bytes (VmArgv *argv, const char *slot, GBytes *bytes);
/* Child's descriptor 0, 1 or 2 (owned from now on). Unbound ones are /dev/null. */
void vm_argv_bind_stdio (VmArgv *argv, int number, int take_fd);
/* Child keeps the parent's descriptor 0, 1 or 2. */
void vm_argv_inherit_stdio (VmArgv *argv, int number);

/* The child starts with an empty environment plus these; without any call it inherits the parent's. */
void vm_argv_setenv (VmArgv *argv, const char *name, const char *value);
void vm_argv_clearenv (VmArgv *argv);

/* The words, borrowed, NULL-terminated, valid until the next change. */
const char *const *vm_argv_words (VmArgv *argv);

/* For people: words quoted for a shell, one option a line with `lines`. (transfer full) */
char *vm_argv_to_string (VmArgv *argv, gboolean lines);
/* {"argv": [...], "descriptors": {"slot": number}}. Words that are not UTF-8 are escaped for a terminal.
 * (transfer full) */
json_object *vm_argv_to_json (VmArgv *argv);

/* The child's descriptors 0, 1, 2, 3, ... (borrowed) appended to `out` (of int), for somebody else to start
 * it; `null` stands for streams that are /dev/null. Unbound slots are an error. */
gboolean vm_argv_descriptors (VmArgv *argv, int null, GArray *out, GError **error);

typedef enum {
  VM_SPAWN_NEW_SESSION = 1 << 0, /* setsid: the terminal's signals do not reach it */
  VM_SPAWN_DIE_WITH_PARENT = 1 << 1,
} VmSpawnFlags;

/* Starts the child. argv[0] without a slash is looked up in PATH. `error` names the program when exec fails.
 * Unbound slots are an error. The caller reaps; *ret_pidfd (may be NULL) is owned by the caller. Descriptors
 * stay bound (and open here) until vm_argv_free. */
gboolean vm_argv_spawn (VmArgv *argv, VmSpawnFlags flags, pid_t *ret_pid, int *ret_pidfd, GError **error);

/* Runs it to its end: stdout up to 1 MiB is returned (transfer full, NUL-terminated), the end of stderr goes
 * to the message of the error that a status other than 0 becomes. For short-lived helpers such as qemu-img.
 */
gboolean vm_argv_run (VmArgv *argv, char **ret_stdout, GError **error);
