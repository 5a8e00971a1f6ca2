/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/net/name.h"

#include <string.h>

enum { LABEL_MAX = 63 };

/* The lower-case form of a character of a label; 0: it is none. Not ctype.h: that depends on the locale. */
static char
label_character (char c)
{
  if (c >= 'A' && c <= 'Z')
    return (char)(c - 'A' + 'a');
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '\0';
}

/* In a notation of inet_aton() or of browsers: 127, 0177, 0x7f, and "0x" as well. */
static bool
is_number (const char *label)
{
  bool hex = label[0] == '0' && label[1] == 'x';

  for (label += hex ? 2 : 0; *label != '\0'; label++)
    if (!(*label >= '0' && *label <= '9') && !(hex && *label >= 'a' && *label <= 'f'))
      return false;
  return true;
}

/* Without the last dot. False: no name; *ret_last is where its last label begins. */
static bool
copy_labels (const char *text, size_t length, char *out, size_t *ret_last)
{
  size_t start = 0;

  for (size_t i = 0; i < length; i++) {
    if (text[i] != '.') {
      out[i] = label_character (text[i]);
      if (out[i] == '\0' || i - start == LABEL_MAX)
        return false;
      continue;
    }
    if (i == start)
      return false;
    out[i] = '.';
    start = i + 1;
  }
  out[length] = '\0';
  *ret_last = start;
  return start < length;
}

bool
net_name_canonical (const char *text, size_t length, char out[NET_NAME_SIZE])
{
  size_t last;

  if (length > 0 && text[length - 1] == '.')
    length--;
  if (length > 0 && length <= NET_NAME_MAX && copy_labels (text, length, out, &last) &&
      !is_number (out + last))
    return true;
  out[0] = '\0';
  return false;
}

bool
net_name_pattern (const char *text, size_t length, char out[NET_PATTERN_SIZE])
{
  bool below = length > 2 && text[0] == '*' && text[1] == '.';
  size_t skipped = below ? 2 : 0;

  if (below)
    memcpy (out, "*.", 2);
  if (net_name_canonical (text + skipped, length - skipped, out + skipped))
    return true;
  out[0] = '\0';
  return false;
}

bool
net_name_matches (const char *pattern, const char *name)
{
  size_t length, suffix;

  if (strncmp (pattern, "*.", 2) != 0)
    return strcmp (pattern, name) == 0;
  pattern++; /* the dot stays: only at the border of a label */
  length = strlen (name);
  suffix = strlen (pattern);
  return length > suffix && strcmp (name + length - suffix, pattern) == 0;
}
