/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/base/escape.h"

#include <string.h>

static gboolean
is_harmless (gunichar c)
{
  if (c < 0x20 || (c >= 0x7f && c < 0xa0) || !g_unichar_isprint (c))
    return FALSE;
  /* Line separators, and bidirectional controls, which reorder what a reader sees. */
  if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069))
    return FALSE;
  return TRUE;
}

static void
append_byte (GString *out, guchar b)
{
  if (b == '\n')
    g_string_append (out, "\\n");
  else if (b == '\t')
    g_string_append (out, "\\t");
  else
    g_string_append_printf (out, "\\x%02x", b);
}

char *
vm_escape_terminal (const char *bytes, gssize length, gssize max)
{
  GString *out = g_string_new (NULL);
  gsize n = length < 0 ? strlen (bytes) : (gsize)length;
  gboolean cut = max >= 0 && n > (gsize)max;
  const char *end;

  if (cut)
    n = (gsize)max;
  end = bytes + n;
  for (const char *p = bytes; p < end;) {
    gunichar c = g_utf8_get_char_validated (p, end - p);

    if (c == (gunichar)-1 || c == (gunichar)-2 || c < 0x80) {
      guchar b = (guchar)*p;

      if (b == '\\')
        g_string_append (out, "\\\\");
      else if (b >= 0x20 && b < 0x7f)
        g_string_append_c (out, (char)b);
      else
        append_byte (out, b);
      p++;
      continue;
    }
    if (is_harmless (c))
      g_string_append_unichar (out, c);
    else
      g_string_append_printf (out, "\\u{%x}", c);
    p = g_utf8_next_char (p);
  }
  if (cut)
    g_string_append (out, "...");
  return g_string_free (out, FALSE);
}

char *
vm_escape_shell (const char *word)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";

  if (*word != '\0' && word[strspn (word, plain)] == '\0')
    return g_strdup (word);
  return g_shell_quote (word);
}

char *
vm_escape_comma (const char *value)
{
  GString *out = g_string_sized_new (strlen (value) + 8);

  for (const char *p = value; *p != '\0'; p++) {
    g_string_append_c (out, *p);
    if (*p == ',')
      g_string_append_c (out, ',');
  }
  return g_string_free (out, FALSE);
}
