/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One configuration file: which keys there are, and what their values may be. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/fd.h"
#include "vmctl/config-parts.h"
#include "vmctl/grant.h"
#include "vmctl/net-groups.h"
#include "vmctl/net-words.h"

enum { CONFIG_MAX = 65536 };

typedef struct {
  const char *group, *key;
  gboolean (*read) (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                    GError **error);
} Key;

void
vm_layer_clear (VmLayer *layer)
{
  vm_spec_clear (&layer->spec);
  vm_profile_clear (&layer->profile);
  g_free (layer->detach_key);
  g_free (layer->profile_origin);
  g_strfreev (layer->asked);
}

/* Values, one reader a type. `what` is "'FILE' line N: key". */

static gboolean
set_text (GKeyFile *file, const char *group, const char *key, const char *what, VmSpec *spec,
          gboolean (*setter) (VmSpec *, const char *, const char *, GError **), GError **error)
{
  g_autofree char *text = g_key_file_get_string (file, group, key, NULL);

  if (text == NULL)
    return vm_error (error, VM_ERROR_USAGE, "%s: the value is not text", what);
  g_strchomp (text);
  return setter (spec, text, what, error);
}

#define SPEC_READER(name)                                                                                    \
  static gboolean read_##name (VmLayer *layer, GKeyFile *file, const char *group, const char *key,           \
                               const char *what, GError **error)                                             \
  {                                                                                                          \
    return set_text (file, group, key, what, &layer->spec, vm_spec_set_##name, error);                       \
  }

SPEC_READER (accel)
SPEC_READER (driver)
SPEC_READER (min_isolation)
SPEC_READER (memory)
SPEC_READER (cpus)
SPEC_READER (processes)
SPEC_READER (disk)
SPEC_READER (net)
SPEC_READER (display)
SPEC_READER (size)
SPEC_READER (timeout)
SPEC_READER (restart)
SPEC_READER (watchdog)

static gboolean
set_profile (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!vm_spec_is_name (text))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not the name of a profile", what, text);
  g_free (spec->profile);
  spec->profile = g_strdup (text);
  return TRUE;
}

static gboolean
read_profile (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
              GError **error)
{
  g_free (layer->profile_origin);
  layer->profile_origin = g_strdup (what);
  return set_text (file, group, key, what, &layer->spec, set_profile, error);
}

static gboolean
set_kernel (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!g_path_is_absolute (text))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not an absolute path", what, text);
  g_free (spec->kernel);
  spec->kernel = g_strdup (text);
  return TRUE;
}

static gboolean
read_kernel (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
             GError **error)
{
  return set_text (file, group, key, what, &layer->spec, set_kernel, error);
}

static gboolean
read_list (GKeyFile *file, const char *group, const char *key, const char *what, char ***list, GError **error)
{
  char **read = g_key_file_get_string_list (file, group, key, NULL, NULL);

  if (read == NULL)
    return vm_error (error, VM_ERROR_USAGE, "%s: the value is not a list of words with ';' between them",
                     what);
  g_strfreev (*list);
  *list = read;
  return TRUE;
}

static gboolean
read_env (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
          GError **error)
{
  if (!read_list (file, group, key, what, &layer->spec.env, error))
    return FALSE;
  for (char **one = layer->spec.env; *one != NULL; one++)
    if (!vm_spec_check_env (*one, what, error))
      return FALSE;
  return TRUE;
}

static gboolean
read_grant_list (GKeyFile *file, const char *group, const char *key, const char *what, char ***list,
                 GError **error)
{
  return read_list (file, group, key, what, list, error) && vm_grant_check_names (*list, what, error);
}

static gboolean
read_grants (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
             GError **error)
{
  return read_grant_list (file, group, key, what, &layer->spec.grants, error);
}

static gboolean
read_no_grants (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                GError **error)
{
  return read_grant_list (file, group, key, what, &layer->spec.no_grants, error);
}

static gboolean
read_host_ports (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                 GError **error)
{
  g_auto (GStrv) ports = NULL;

  if (!read_list (file, group, key, what, &ports, error))
    return FALSE;
  for (char **port = ports; *port != NULL; port++)
    if (!vm_spec_add_host_port (&layer->spec, *port, what, error))
      return FALSE;
  return TRUE;
}

/* Its items are checked here, where there is a line to name. */
static gboolean
read_net_group (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                GError **error)
{
  g_auto (VmNetSaid) said = {0};
  g_auto (GStrv) items = NULL;
  g_autofree char *joined = NULL;
  guint n = layer->spec.net_groups != NULL ? g_strv_length (layer->spec.net_groups) : 0;

  if (!vm_net_group_is_name (key))
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: not the name of a group; write up to 32 lower-case letters, digits and '-'", what);
  if (!read_list (file, group, key, what, &items, error))
    return FALSE;
  for (char **item = items; *item != NULL; item++)
    if (**item == '@' || strchr (*item, ',') != NULL || !vm_net_said_add_item (&said, FALSE, *item, error)) {
      if (*error == NULL)
        vm_error (error, VM_ERROR_USAGE, "'%s' is no item; write names and addresses with ';' between them",
                  *item);
      g_prefix_error (error, "%s: ", what);
      return FALSE;
    }
  joined = g_strjoinv (",", items);
  layer->spec.net_groups = g_renew (char *, layer->spec.net_groups, n + 2);
  layer->spec.net_groups[n] = g_strconcat (key, "=", joined, NULL);
  layer->spec.net_groups[n + 1] = NULL;
  return TRUE;
}

/* ctrl-LETTER, ctrl-], ctrl-\, ctrl-^, ctrl-_: a control byte that is no part of ordinary input. */
static gboolean
parse_key (const char *text, char *ret)
{
  if (strlen (text) != 6 || g_ascii_strncasecmp (text, "ctrl-", 5) != 0)
    return FALSE;
  if ((!g_ascii_isalpha (text[5]) && strchr ("]\\^_", text[5]) == NULL) || strchr ("ijmIJM", text[5]) != NULL)
    return FALSE;
  *ret = (char)(text[5] & 0x1f);
  return TRUE;
}

static gboolean
read_detach_key (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                 GError **error)
{
  char ignored;

  g_free (layer->detach_key);
  layer->detach_key = g_key_file_get_string (file, group, key, NULL);
  if (layer->detach_key != NULL)
    g_strchomp (layer->detach_key);
  if (layer->detach_key != NULL && parse_key (layer->detach_key, &ignored))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE,
                   "%s: not a key that can detach; write 'ctrl-]' or ctrl- with a letter other than i, j, m",
                   what);
}

static gboolean
read_summary (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
              GError **error)
{
  g_free (layer->profile.summary);
  layer->profile.summary = g_key_file_get_string (file, group, key, NULL);
  return layer->profile.summary != NULL ||
         vm_error (error, VM_ERROR_USAGE, "%s: the value is not text", what);
}

static gboolean
read_entrypoint (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                 GError **error)
{
  if (!read_list (file, group, key, what, &layer->profile.entrypoint, error))
    return FALSE;
  return *layer->profile.entrypoint != NULL ||
         vm_error (error, VM_ERROR_USAGE, "%s: the list is empty; leave the key out for a shell", what);
}

/* TRUE or FALSE as the user writes them. */
static gboolean
read_switch (GKeyFile *file, const char *group, const char *key, const char *what, gboolean *ret,
             GError **error)
{
  g_autofree char *text = g_key_file_get_string (file, group, key, NULL);

  if (text != NULL)
    g_strchomp (text);
  if (g_strcmp0 (text, "true") != 0 && g_strcmp0 (text, "false") != 0)
    return vm_error (error, VM_ERROR_USAGE, "%s: write 'true' or 'false'", what);
  *ret = g_str_equal (text, "true");
  return TRUE;
}

static gboolean
read_no_root (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
              GError **error)
{
  layer->sets_no_root = TRUE;
  return read_switch (file, group, key, what, &layer->spec.no_root, error);
}

static gboolean
read_cold (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
           GError **error)
{
  return read_switch (file, group, key, what, &layer->spec.cold, error);
}

static gboolean
set_templates_max (VmSpec *spec, const char *text, const char *what, GError **error)
{
  return vm_size_parse (text, 1, what, &spec->templates_max, error);
}

static gboolean
read_templates_max (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                    GError **error)
{
  return set_text (file, group, key, what, &layer->spec, set_templates_max, error);
}

static gboolean
read_make (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
           GError **error)
{
  gboolean make = TRUE, ok = read_switch (file, group, key, what, &make, error);

  layer->spec.makes_no_templates = !make;
  return ok;
}

static gboolean
read_arguments (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                GError **error)
{
  return read_switch (file, group, key, what, &layer->profile.appends, error);
}

static gboolean
read_prompt (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
             GError **error)
{
  g_free (layer->profile.prompt);
  layer->profile.prompt = g_key_file_get_string (file, group, key, NULL);
  return (layer->profile.prompt != NULL && g_str_has_prefix (layer->profile.prompt, "-")) ||
         vm_error (error, VM_ERROR_USAGE,
                   "%s: not an option; write one as the program has it, with its dashes", what);
}

static gboolean
read_path (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
           GError **error)
{
  if (!read_list (file, group, key, what, &layer->profile.path, error))
    return FALSE;
  for (char **dir = layer->profile.path; *dir != NULL; dir++)
    if ((!g_path_is_absolute (*dir) && !g_str_has_prefix (*dir, "~/")) || strchr (*dir, ':') != NULL)
      return vm_error (error, VM_ERROR_USAGE,
                       "%s: '%s' is not an absolute path without ':'; write one, or one that begins with ~/",
                       what, *dir);
  return TRUE;
}

static gboolean
read_profile_grants (VmLayer *layer, GKeyFile *file, const char *group, const char *key, const char *what,
                     GError **error)
{
  return read_grant_list (file, group, key, what, &layer->profile.grants, error);
}

static const Key keys[] = {
    {"defaults", "accel", read_accel},
    {"defaults", "cold", read_cold},
    {"defaults", "display", read_display},
    {"defaults", "driver", read_driver},
    {"defaults", "min-isolation", read_min_isolation},
    {"defaults", "profile", read_profile},
    {"defaults", "memory", read_memory},
    {"defaults", "cpus", read_cpus},
    {"defaults", "processes", read_processes},
    {"defaults", "disk", read_disk},
    {"defaults", "net", read_net},
    {"defaults", "net-host-ports", read_host_ports},
    {"defaults", "size", read_size},
    {"defaults", "env", read_env},
    {"defaults", "grants", read_grants},
    {"defaults", "no-grants", read_no_grants},
    {"defaults", "no-root", read_no_root},
    {"defaults", "kernel", read_kernel},
    {"defaults", "boot-timeout", read_timeout},
    {"defaults", "restart", read_restart},
    {"defaults", "watchdog", read_watchdog},
    {"net-groups", NULL, read_net_group}, /* whatever the key is */
    {"templates", "make", read_make},
    {"templates", "max-size", read_templates_max},
    {"terminal", "detach-key", read_detach_key},
    {"profile", "summary", read_summary},
    {"profile", "entrypoint", read_entrypoint},
    {"profile", "arguments", read_arguments},
    {"profile", "prompt-option", read_prompt},
    {"profile", "path", read_path},
    {"profile", "grants", read_profile_grants},
    {"profile", "env", read_env},
};

static gboolean
is_allowed (const Key *key, gboolean is_profile)
{
  if (g_str_equal (key->group, "profile"))
    return is_profile;
  if (g_str_equal (key->group, "terminal"))
    return !is_profile;
  return !is_profile || g_strcmp0 (key->key, "profile") != 0;
}

static const Key *
find_key (const char *group, const char *name, gboolean is_profile)
{
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_str_equal (keys[i].group, group) && (keys[i].key == NULL || g_str_equal (keys[i].key, name)) &&
        is_allowed (&keys[i], is_profile))
      return &keys[i];
  return NULL;
}

static gboolean
is_group (const char *group, gboolean is_profile)
{
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_str_equal (keys[i].group, group) && is_allowed (&keys[i], is_profile))
      return TRUE;
  return FALSE;
}

typedef struct {
  const char *origin, *bytes; /* borrowed */
  gsize length;
} Source;

/* Calls back for each line, stripped, with its number. */
static void
each_line (const Source *source, void (*see) (const char *line, guint number, gpointer data), gpointer data)
{
  g_autofree char *text = g_strndup (source->bytes, source->length);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    see (g_strstrip (lines[i]), i + 1, data);
}

typedef struct {
  const char *group, *key;
  gboolean in_group;
  guint found;
} Search;

static gboolean
is_header (const char *line, const char *group)
{
  gsize length = strlen (group);

  return *line == '[' && strncmp (line + 1, group, length) == 0 && line[length + 1] == ']';
}

static void
search (const char *line, guint number, gpointer data)
{
  Search *s = data;
  g_autofree char *name = g_strchomp (g_strndup (line, strcspn (line, "=")));

  if (*line == '[')
    s->in_group = is_header (line, s->group);
  if (s->in_group && (s->key == NULL ? *line == '[' : g_str_equal (name, s->key)))
    s->found = number; /* the last one counts */
}

/* The line of a key, or with `key` NULL of a group. */
static guint
line_of (const Source *source, const char *group, const char *key)
{
  Search s = {.group = group, .key = key};

  each_line (source, search, &s);
  return s.found;
}

static void
note_odd (const char *line, guint number, gpointer data)
{
  guint *first = data;
  gboolean is_group = *line == '[' && g_str_has_suffix (line, "]");

  if (*first == 0 && *line != '\0' && *line != '#' && !is_group &&
      (*line == '[' || strchr (line, '=') == NULL))
    *first = number;
}

/* The first line that is no comment, group or key; 0: there is none. */
static guint
odd_line (const Source *source)
{
  guint first = 0;

  each_line (source, note_odd, &first);
  return first;
}

static gboolean
read_group (VmLayer *layer, GKeyFile *file, const char *group, const Source *source, gboolean is_profile,
            GPtrArray *asked, GError **error)
{
  g_auto (GStrv) names = g_key_file_get_keys (file, group, NULL, NULL);

  if (!is_group (group, is_profile))
    return vm_error (error, VM_ERROR_USAGE, "'%s' line %u: there is no group [%s]; correct or remove it",
                     source->origin, line_of (source, group, NULL), group);
  for (char **name = names; name != NULL && *name != NULL; name++) {
    const Key *key = find_key (group, *name, is_profile);
    guint line = line_of (source, group, *name);
    g_autofree char *what = g_strdup_printf ("'%s' line %u: %s", source->origin, line, *name);
    g_autofree char *value = g_key_file_get_value (file, group, *name, NULL);

    if (key == NULL)
      return vm_error (error, VM_ERROR_USAGE,
                       "'%s' line %u: there is no key '%s' in [%s]; correct or remove it", source->origin,
                       line, *name, group);
    if (!key->read (layer, file, group, *name, what, error))
      return FALSE;
    g_ptr_array_add (asked, g_strdup_printf ("%s=%s", *name, value != NULL ? value : ""));
  }
  return TRUE;
}

/* GLib says what is wrong, but not where. */
static gboolean
refuse_syntax (const Source *source, const GError *problem, GError **error)
{
  guint line = odd_line (source);

  if (line == 0)
    return vm_error (error, VM_ERROR_USAGE, "'%s': %s", source->origin, problem->message);
  return vm_error (error, VM_ERROR_USAGE, "'%s' line %u: %s", source->origin, line, problem->message);
}

static gboolean
vm_layer_parse (const char *bytes, gsize length, const char *origin, gboolean is_profile, VmLayer *layer,
                GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GPtrArray) asked = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) problem = NULL;
  Source source = {origin, bytes, length};
  g_auto (GStrv) groups = NULL;

  if (memchr (bytes, '\0', length) != NULL || !g_utf8_validate (bytes, (gssize)length, NULL))
    return vm_error (error, VM_ERROR_USAGE, "'%s': not a text file in UTF-8", origin);
  /* Without KEEP_TRANSLATIONS GLib drops `no-root[de]` in silence, and a mistyped key would set nothing. */
  if (length > 0 && !g_key_file_load_from_data (file, bytes, length, G_KEY_FILE_KEEP_TRANSLATIONS, &problem))
    return refuse_syntax (&source, problem, error);
  groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    if (!read_group (layer, file, *group, &source, is_profile, asked, error))
      return FALSE;
  g_ptr_array_add (asked, NULL);
  layer->asked = (char **)g_ptr_array_free (g_steal_pointer (&asked), FALSE);
  return TRUE;
}

gboolean
vm_config_check (const char *bytes, gsize length, const char *origin, gboolean is_profile, GError **error)
{
  g_auto (VmLayer) layer = {0};

  return vm_layer_parse (bytes, length, origin, is_profile, &layer, error);
}

gboolean
vm_layer_load (const char *path, gboolean is_profile, int flags, VmLayer *layer, gboolean *ret_found,
               GError **error)
{
  vm_autofd fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags);
  g_autofree char *bytes = NULL;
  struct stat st;
  gsize length;

  *ret_found = FALSE;
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
    return TRUE;
  if (fd < 0 || fstat (fd, &st) < 0)
    return vm_error (error, VM_ERROR_USAGE, "cannot read '%s': %s; correct or remove it", path,
                     errno == ELOOP ? "it is a symbolic link" : g_strerror (errno));
  if (!S_ISREG (st.st_mode))
    return vm_error (error, VM_ERROR_USAGE, "cannot read '%s': not a regular file; remove it", path);
  bytes = vm_fd_read_all (fd, CONFIG_MAX, &length, error);
  if (bytes == NULL) {
    g_prefix_error (error, "cannot read '%s': ", path);
    return FALSE;
  }
  *ret_found = TRUE;
  return vm_layer_parse (bytes, length, path, is_profile, layer, error);
}

gboolean
vm_config_detach_key (const VmDirs *dirs, char *ret_key, GError **error)
{
  g_autofree char *path = g_build_filename (dirs->config, "config", NULL);
  g_auto (VmLayer) layer = {0};
  gboolean found;
  char key = 0x1d;

  if (!vm_layer_load (path, FALSE, 0, &layer, &found, error))
    return FALSE;
  if (layer.detach_key != NULL && !parse_key (layer.detach_key, &key))
    return vm_error (error, VM_ERROR_USAGE, "'%s': detach-key cannot be read", path);
  *ret_key = key;
  return TRUE;
}
