/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error domain of vmctl. Messages are lower case, name the thing in quotes, the reason, and the
 * command or setting that mends it. Only vmctl/main.c prints errors. */
#pragma once

#include <glib.h>

#define VM_ERROR (vm_error_quark ())

typedef enum {
  VM_ERROR_FAILED,      /* anything without a class of its own */
  VM_ERROR_USAGE,       /* the command line or a config file is wrong: exit status 2 */
  VM_ERROR_NOT_FOUND,   /* no such sandbox, file, profile */
  VM_ERROR_EXISTS,      /* already there */
  VM_ERROR_BUSY,        /* in use by somebody else */
  VM_ERROR_UNSUPPORTED, /* this driver, host or version cannot */
  VM_ERROR_INVALID,     /* foreign data (record, frame, JSON) does not parse */
  VM_ERROR_HOST,        /* the host lacks something: `vmctl doctor` explains */
  VM_ERROR_CHILD,       /* a child process failed */
  VM_ERROR_TIMEOUT,
  VM_ERROR_NO_PEER,    /* a socket is there, but nobody listens */
  VM_ERROR_NO_PROGRAM, /* the program that a sandbox should run is not there: exit status 127 */
} VmErrorCode;

GQuark vm_error_quark (void);

/* Sets `error` to "<formatted>: <strerror (err)>". ENOENT becomes NOT_FOUND, EEXIST EXISTS, EBUSY BUSY,
 * ECONNREFUSED NO_PEER, all else FAILED. `err` is a positive errno. Always returns FALSE, so that
 * `return vm_error_errno (...)` reads. */
gboolean vm_error_errno (GError **error, int err, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* g_set_error in this domain that returns FALSE. */
gboolean vm_error (GError **error, VmErrorCode code, const char *format, ...) G_GNUC_PRINTF (3, 4);
