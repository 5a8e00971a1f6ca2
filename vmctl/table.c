/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/table.h"

#include <stdio.h>
#include <unistd.h>

#include "vmctl/base/tty.h"
#include "vmctl/show.h"

enum { CELL_MAX = 400 };

struct VmTable {
  GPtrArray *rows; /* owned; of char ** (owned), the header first */
  guint columns;
};

static void
free_row (gpointer data)
{
  g_strfreev (data);
}

VmTable *
vm_table_new (const char *const *headers)
{
  VmTable *table = g_new0 (VmTable, 1);

  table->rows = g_ptr_array_new_with_free_func (free_row);
  table->columns = g_strv_length ((char **)headers);
  g_ptr_array_add (table->rows, g_strdupv ((char **)headers));
  return table;
}

void
vm_table_free (VmTable *table)
{
  if (table == NULL)
    return;
  g_ptr_array_unref (table->rows);
  g_free (table);
}

void
vm_table_add (VmTable *table, const char *const *cells)
{
  char **row = g_new0 (char *, table->columns + 1);

  for (guint i = 0; i < table->columns && cells[i] != NULL; i++)
    row[i] = vm_show_safe (cells[i], CELL_MAX);
  g_ptr_array_add (table->rows, row);
}

/* In columns of the terminal. */
static guint
width_of (const char *text)
{
  guint width = 0;

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    width += c < 0x80 ? 1 : g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
  }
  return width;
}

static guint
column_width (VmTable *table, guint column)
{
  guint width = 0;

  for (guint i = 0; i < table->rows->len; i++) {
    char **row = g_ptr_array_index (table->rows, i);

    width = MAX (width, row[column] != NULL ? width_of (row[column]) : 0);
  }
  return width;
}

static void
append_row (VmTable *table, char **row, const guint *widths, GString *out)
{
  for (guint i = 0; i < table->columns; i++) {
    const char *cell = row[i] != NULL ? row[i] : "";

    g_string_append (out, cell);
    if (i + 1 < table->columns)
      g_string_append_printf (out, "%*s", (int)(widths[i] - width_of (cell) + 2), "");
  }
  while (out->len > 0 && out->str[out->len - 1] == ' ')
    g_string_truncate (out, out->len - 1);
}

char *
vm_table_to_string (VmTable *table, gboolean colour)
{
  GString *out = g_string_new (NULL);
  g_autofree guint *widths = g_new0 (guint, table->columns);

  for (guint i = 0; i < table->columns; i++)
    widths[i] = column_width (table, i);
  for (guint i = 0; i < table->rows->len; i++) {
    if (i == 0 && colour)
      g_string_append (out, "\033[1m");
    append_row (table, g_ptr_array_index (table->rows, i), widths, out);
    g_string_append (out, i == 0 && colour ? "\033[0m\n" : "\n");
  }
  return g_string_free (out, FALSE);
}

void
vm_table_print (VmTable *table)
{
  g_autofree char *text = vm_table_to_string (table, vm_tty_wants_colour (STDOUT_FILENO));

  fputs (text, stdout);
}
