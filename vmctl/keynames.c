/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keynames.h"

#include <string.h>

#include "vmctl/base/error.h"

enum { KEYS_MAX = 8 };

typedef struct {
  const char *qcode;
  guint32 symbol;   /* without any other key being held */
  char shifted;     /* the character with Shift, 0: none */
  const char *more; /* another name, NULL */
} Key;

/* For keys with a character the symbol is that character. */
static const Key keys[] = {
    {"0", '0', ')', NULL},
    {"1", '1', '!', NULL},
    {"2", '2', '@', NULL},
    {"3", '3', '#', NULL},
    {"4", '4', '$', NULL},
    {"5", '5', '%', NULL},
    {"6", '6', '^', NULL},
    {"7", '7', '&', NULL},
    {"8", '8', '*', NULL},
    {"9", '9', '(', NULL},
    {"spc", ' ', 0, "space"},
    {"minus", '-', '_', NULL},
    {"equal", '=', '+', NULL},
    {"bracket_left", '[', '{', NULL},
    {"bracket_right", ']', '}', NULL},
    {"backslash", '\\', '|', NULL},
    {"semicolon", ';', ':', NULL},
    {"apostrophe", '\'', '"', NULL},
    {"grave_accent", '`', '~', NULL},
    {"comma", ',', '<', NULL},
    {"dot", '.', '>', "period"},
    {"slash", '/', '?', NULL},
    {"ret", 0xff0d, 0, "return"},
    {"tab", 0xff09, 0, NULL},
    {"esc", 0xff1b, 0, "escape"},
    {"backspace", 0xff08, 0, NULL},
    {"delete", 0xffff, 0, "del"},
    {"insert", 0xff63, 0, "ins"},
    {"home", 0xff50, 0, NULL},
    {"end", 0xff57, 0, NULL},
    {"pgup", 0xff55, 0, "page_up"},
    {"pgdn", 0xff56, 0, "page_down"},
    {"left", 0xff51, 0, NULL},
    {"up", 0xff52, 0, NULL},
    {"right", 0xff53, 0, NULL},
    {"down", 0xff54, 0, NULL},
    {"shift", 0xffe1, 0, NULL},
    {"shift_r", 0xffe2, 0, NULL},
    {"ctrl", 0xffe3, 0, "control"},
    {"ctrl_r", 0xffe4, 0, NULL},
    {"alt", 0xffe9, 0, NULL},
    {"alt_r", 0xffea, 0, NULL},
    {"meta_l", 0xffeb, 0, "super"},
    {"meta_r", 0xffec, 0, NULL},
    {"menu", 0xff67, 0, NULL},
    {"caps_lock", 0xffe5, 0, NULL},
    {"print", 0xff61, 0, NULL},
    {"pause", 0xff13, 0, NULL},
    {"f1", 0xffbe, 0, NULL},
    {"f2", 0xffbf, 0, NULL},
    {"f3", 0xffc0, 0, NULL},
    {"f4", 0xffc1, 0, NULL},
    {"f5", 0xffc2, 0, NULL},
    {"f6", 0xffc3, 0, NULL},
    {"f7", 0xffc4, 0, NULL},
    {"f8", 0xffc5, 0, NULL},
    {"f9", 0xffc6, 0, NULL},
    {"f10", 0xffc7, 0, NULL},
    {"f11", 0xffc8, 0, NULL},
    {"f12", 0xffc9, 0, NULL},
};

/* Letters name themselves. */
static const char letters[] = "a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0k\0l\0m\0n\0o\0p\0q\0r\0s\0t\0u\0v\0w\0x\0y\0z";

static const char *
letter (char c)
{
  return letters + 2 * (c - 'a');
}

static gboolean
is_letter (const char *name)
{
  return g_ascii_islower (*name) && name[1] == '\0';
}

guint32
vm_key_symbol (const char *qcode)
{
  if (is_letter (qcode))
    return (guint32)*qcode;
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_str_equal (keys[i].qcode, qcode))
      return keys[i].symbol;
  return 0;
}

/* NULL: no key has it. */
static const char *
key_of_char (gunichar c, gboolean *ret_shift)
{
  *ret_shift = FALSE;
  if (c == '\n')
    return "ret";
  if (c == '\t')
    return "tab";
  if (c < ' ' || c > '~')
    return NULL;
  *ret_shift = g_ascii_isupper ((char)c);
  if (g_ascii_isalpha ((char)c))
    return letter (g_ascii_tolower ((char)c));
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (keys[i].symbol == c || (gunichar)keys[i].shifted == c) {
      *ret_shift = keys[i].symbol != c;
      return keys[i].qcode;
    }
  return NULL;
}

/* All down in their order, then up in the other. */
static VmKeyStroke *
strokes (const char *const *names, guint n)
{
  VmKeyStroke *out = g_new0 (VmKeyStroke, 2 * n + 1);

  for (guint i = 0; i < n; i++) {
    out[i] = (VmKeyStroke){names[i], TRUE};
    out[2 * n - 1 - i] = (VmKeyStroke){names[i], FALSE};
  }
  return out;
}

VmKeyStroke *
vm_keys_for_char (gunichar character)
{
  gboolean shift;
  const char *names[] = {"shift", key_of_char (character, &shift)};

  return names[1] == NULL ? NULL : strokes (shift ? names : names + 1, shift ? 2 : 1);
}

static const char *
key_of_name (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_ascii_strcasecmp (keys[i].qcode, name) == 0 ||
        (keys[i].more != NULL && g_ascii_strcasecmp (keys[i].more, name) == 0))
      return keys[i].qcode;
  return NULL;
}

VmKeyStroke *
vm_keys_for_combination (const char *text, GError **error)
{
  gsize length = strlen (text);
  /* "ctrl--" is Ctrl and the minus key. */
  gboolean ends_in_minus = g_str_equal (text, "-") || g_str_has_suffix (text, "--");
  g_autofree char *head = g_strndup (text, ends_in_minus ? MAX (length, 2) - 2 : length);
  g_auto (GStrv) words = g_strsplit (head, "-", -1);
  const char *names[2 * KEYS_MAX + 1];
  guint n = 0;

  for (char **word = words; *word != NULL && n < KEYS_MAX; word++) {
    gboolean shift = FALSE;
    const char *name = key_of_name (*word);

    if (name == NULL && **word != '\0' && (*word)[1] == '\0')
      name = key_of_char ((guchar) * *word, &shift);
    if (name == NULL) {
      vm_error (
          error, VM_ERROR_USAGE,
          "'%s' is no key; write a character, or a name such as Return, Escape, F5, or several with '-' "
          "between them, such as ctrl-l",
          *word);
      return NULL;
    }
    if (shift)
      names[n++] = "shift";
    names[n++] = name;
  }
  if (ends_in_minus)
    names[n++] = "minus";
  if (g_strv_length (words) <= KEYS_MAX && n > 0)
    return strokes (names, n);
  vm_error (error, VM_ERROR_USAGE, "'%s' is not a combination of up to %d keys", text, KEYS_MAX);
  return NULL;
}
