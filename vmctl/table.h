/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table for people: a header, aligned columns, two spaces between them. Cells are escaped for a terminal.
 */
#pragma once

#include <glib.h>

typedef struct VmTable VmTable;

/* `headers` is NULL-terminated, of static strings. */
VmTable *vm_table_new (const char *const *headers);
void vm_table_free (VmTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmTable, vm_table_free)

/* One row: a NULL-terminated array with one cell (copied) for each header. */
void vm_table_add (VmTable *table, const char *const *cells);

/* The text; the header is bold with `colour`. (transfer full) */
char *vm_table_to_string (VmTable *table, gboolean colour);
/* To stdout, in colour where it is wanted. */
void vm_table_print (VmTable *table);
