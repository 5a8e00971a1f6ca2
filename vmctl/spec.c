/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/spec.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/driver.h"
#include "vmctl/net-words.h"
#include "vmctl/plug.h"

enum {
  PROCESSES_MIN = 16,
  PROCESSES_MAX = 1 << 22, /* the kernel knows no higher pid */
  RESTARTS_MAX = 1000,
  WATCHDOG_MIN = 3
};

#define DISK_MIN (G_GUINT64_CONSTANT (64) << 20)
#define DISK_MAX (G_GUINT64_CONSTANT (16) << 40)

enum { WIDTH_MIN = 320, WIDTH_MAX = 4096, WIDTH_STEP = 8, HEIGHT_MIN = 200, HEIGHT_MAX = 2160 };

static const char *const displays[] = {NULL, "none", "gtk", "vnc"};
static const char *const isolations[] = {"none", "namespace", "container", "vm"};

const char *
vm_isolation_name (VmIsolation isolation)
{
  g_assert ((gsize)isolation < G_N_ELEMENTS (isolations));
  return isolations[isolation];
}

gboolean
vm_isolation_parse (const char *name, VmIsolation *ret)
{
  for (gsize i = 0; i < G_N_ELEMENTS (isolations); i++)
    if (g_str_equal (name, isolations[i])) {
      *ret = (VmIsolation)i;
      return TRUE;
    }
  return FALSE;
}

const char *
vm_display_name (VmDisplay display)
{
  g_assert ((gsize)display < G_N_ELEMENTS (displays));
  return displays[display];
}

gboolean
vm_display_parse (const char *name, VmDisplay *ret)
{
  for (gsize i = VM_DISPLAY_NONE; i < G_N_ELEMENTS (displays); i++)
    if (g_str_equal (name, displays[i])) {
      *ret = (VmDisplay)i;
      return TRUE;
    }
  return FALSE;
}

void
vm_spec_clear (VmSpec *spec)
{
  g_free (spec->project);
  g_strfreev (spec->command);
  g_free (spec->name);
  g_free (spec->accel);
  g_free (spec->driver);
  g_free (spec->profile);
  g_free (spec->kernel);
  g_free (spec->image);
  g_free (spec->keep);
  g_strfreev (spec->env);
  g_strfreev (spec->grants);
  g_strfreev (spec->no_grants);
  g_strfreev (spec->sockets);
  g_strfreev (spec->plugs);
  g_strfreev (spec->net_items);
  g_strfreev (spec->net_groups);
  g_strfreev (spec->net_host_ports);
  g_strfreev (spec->ignored);
  *spec = (VmSpec){0};
}

gboolean
vm_spec_is_name (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > 63 || !g_ascii_isalnum (*text))
    return FALSE;
  for (; *text != '\0'; text++)
    if (!g_ascii_isalnum (*text) && strchr ("_.-", *text) == NULL)
      return FALSE;
  return TRUE;
}

/* Plain decimal digits only: no sign, no space, no base. */
static gboolean
parse_count (const char *text, guint max, guint *ret)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 1, max, &value, NULL))
    return FALSE;
  *ret = (guint)value;
  return TRUE;
}

gboolean
vm_spec_set_memory (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint64 bytes;

  if (!vm_size_parse (text, G_GUINT64_CONSTANT (1) << 20, what, &bytes, error))
    return FALSE;
  if (bytes < VM_SPEC_MEMORY_MIN)
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is too little; a guest needs at least 128M", what,
                     text);
  spec->memory = bytes;
  return TRUE;
}

gboolean
vm_spec_set_cpus (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (parse_count (text, 255, &spec->cpus))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of CPUs; write one from 1 to 255", what,
                   text);
}

gboolean
vm_spec_set_processes (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, PROCESSES_MIN, PROCESSES_MAX, &value, NULL))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of processes; write one from %d to %d",
                     what, text, PROCESSES_MIN, PROCESSES_MAX);
  spec->processes = (guint)value;
  return TRUE;
}

gboolean
vm_spec_set_disk (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint64 bytes = 0;

  if (g_str_equal (text, "none")) {
    spec->disk_none = TRUE;
    spec->disk = 0;
    return TRUE;
  }
  if (!vm_size_parse (text, 1, what, &bytes, error))
    return FALSE;
  if (bytes < DISK_MIN || bytes > DISK_MAX)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '%s' is out of range; a disk has from 64M to 16T, or is 'none'", what, text);
  spec->disk_none = FALSE;
  spec->disk = bytes & ~((G_GUINT64_CONSTANT (1) << 20) - 1); /* whole MiB: one cached base a size */
  return TRUE;
}

gboolean
vm_spec_set_net (VmSpec *spec, const char *text, const char *what, GError **error)
{
  VmNetSaid said = {spec->net, spec->net_says_public, spec->net_items};
  gboolean ok = vm_net_said_add (&said, text, what, error);

  spec->net = said.mode;
  spec->net_says_public = said.says_public;
  spec->net_items = said.items;
  return ok;
}

gboolean
vm_spec_add_host_port (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint n = spec->net_host_ports != NULL ? g_strv_length (spec->net_host_ports) : 0;
  char *rule = vm_net_host_port (text, what, error);

  if (rule == NULL)
    return FALSE;
  if (n == VM_NET_HOST_PORTS_MAX) {
    g_free (rule);
    return vm_error (error, VM_ERROR_USAGE, "%s: more than %d ports of this host", what,
                     VM_NET_HOST_PORTS_MAX);
  }
  spec->net_host_ports = g_renew (char *, spec->net_host_ports, n + 2);
  spec->net_host_ports[n] = rule;
  spec->net_host_ports[n + 1] = NULL;
  return TRUE;
}

gboolean
vm_spec_set_display (VmSpec *spec, const char *text, const char *what, GError **error)
{
  return vm_display_parse (text, &spec->display) ||
         vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a display; write 'none', 'gtk' or 'vnc'", what,
                   text);
}

gboolean
vm_spec_set_size (VmSpec *spec, const char *text, const char *what, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, "x", 2);
  guint width = 0, height = 0;

  if (g_strv_length (parts) != 2 || !parse_count (parts[0], WIDTH_MAX, &width) ||
      !parse_count (parts[1], HEIGHT_MAX, &height) || width < WIDTH_MIN || height < HEIGHT_MIN ||
      width % WIDTH_STEP != 0)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '%s' is not a size; write WIDTHxHEIGHT, such as 1280x800, from %dx%d to %dx%d, the "
                     "width a multiple of %d",
                     what, text, WIDTH_MIN, HEIGHT_MIN, WIDTH_MAX, HEIGHT_MAX, WIDTH_STEP);
  spec->width = width;
  spec->height = height;
  return TRUE;
}

gboolean
vm_spec_set_accel (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!g_str_equal (text, "auto") && !g_str_equal (text, "kvm") && !g_str_equal (text, "tcg"))
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is no accelerator; write 'auto', 'kvm' or 'tcg'", what,
                     text);
  g_free (spec->accel);
  spec->accel = g_strdup (text);
  return TRUE;
}

gboolean
vm_spec_set_driver (VmSpec *spec, const char *text, const char *what, GError **error)
{
  g_autoptr (GString) known = NULL;

  if (g_str_equal (text, "auto") || vm_driver_find (text) != NULL) {
    g_free (spec->driver);
    spec->driver = g_strdup (text);
    return TRUE;
  }
  known = g_string_new ("auto");
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++)
    if ((*d)->isolation != VM_ISOLATION_NONE)
      g_string_append_printf (known, ", %s", (*d)->name);
  return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a driver; there are: %s", what, text, known->str);
}

void
vm_spec_raise_isolation (VmSpec *spec, VmIsolation min, const char *by)
{
  if (min <= spec->min_isolation)
    return;
  spec->min_isolation = min;
  spec->min_isolation_by = by;
}

gboolean
vm_spec_set_min_isolation (VmSpec *spec, const char *text, const char *what, GError **error)
{
  VmIsolation min;

  if (!vm_isolation_parse (text, &min) || min == VM_ISOLATION_NONE)
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '%s' is not an isolation; write 'vm', 'container' or 'namespace'", what, text);
  vm_spec_raise_isolation (spec, min, "--min-isolation");
  return TRUE;
}

gboolean
vm_spec_set_name (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (!vm_spec_is_name (text))
    return vm_error (
        error, VM_ERROR_USAGE,
        "%s: '%s' is not a name; write up to 63 letters, digits, '_', '.', '-', and begin with a "
        "letter or a digit",
        what, text);
  g_free (spec->name);
  spec->name = g_strdup (text);
  return TRUE;
}

gboolean
vm_spec_set_timeout (VmSpec *spec, const char *text, const char *what, GError **error)
{
  if (parse_count (text, 3600, &spec->boot_timeout))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of seconds; write one from 1 to 3600",
                   what, text);
}

gboolean
vm_spec_set_restart (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint max = VM_SPEC_RESTARTS_DEFAULT;

  if (g_str_equal (text, "never"))
    max = 0;
  else if (!g_str_equal (text, "on-failure") &&
           (!g_str_has_prefix (text, "on-failure:") ||
            !parse_count (text + strlen ("on-failure:"), RESTARTS_MAX, &max)))
    return vm_error (error, VM_ERROR_USAGE,
                     "%s: '%s' is not when to start again; write 'never', 'on-failure', or 'on-failure:N' "
                     "with N from 1 to %d",
                     what, text, RESTARTS_MAX);
  spec->restart_max = max;
  spec->sets_restart = TRUE;
  return TRUE;
}

gboolean
vm_spec_set_watchdog (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint seconds;

  if (!parse_count (text, 3600, &seconds) || seconds < WATCHDOG_MIN)
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not a number of seconds; write one from %d to 3600",
                     what, text, WATCHDOG_MIN);
  spec->watchdog = seconds;
  return TRUE;
}

gboolean
vm_spec_set_root_ports (VmSpec *spec, const char *text, const char *what, GError **error)
{
  return parse_count (text, VM_SPEC_ROOT_PORTS_MAX, &spec->root_ports) ||
         vm_error (error, VM_ERROR_USAGE, "%s: '%s' is no number from 1 to %d", what, text,
                   VM_SPEC_ROOT_PORTS_MAX);
}

gboolean
vm_spec_add_plug (VmSpec *spec, const char *text, const char *what, GError **error)
{
  guint n = spec->plugs != NULL ? g_strv_length (spec->plugs) : 0;
  g_autofree char *cwd = g_get_current_dir ();
  g_autoptr (json_object) object = NULL;
  VmPlugSpec plug;

  if (!vm_plug_spec_parse_word (text, cwd, &plug, error)) {
    g_prefix_error (error, "%s: ", what);
    return FALSE;
  }
  object = vm_plug_spec_to_json (&plug);
  vm_plug_spec_clear (&plug);
  spec->plugs = g_renew (char *, spec->plugs, n + 2);
  spec->plugs[n] = vm_json_line (object);
  spec->plugs[n + 1] = NULL;
  return TRUE;
}

gboolean
vm_spec_add_publish (VmSpec *spec, const char *text, const char *what, GError **error)
{
  const char *slash = strrchr (text, '/'), *protocol = slash != NULL ? slash : "";
  g_autofree char *ports = g_strndup (text, (gsize)(slash != NULL ? slash - text : (gssize)strlen (text)));
  g_auto (GStrv) parts = g_strsplit (ports, ":", -1);
  guint n = g_strv_length (parts);
  gboolean one = n == 1 || (n == 2 && strchr (parts[0], '.') != NULL); /* the same number inside */
  g_autofree char *word =
      g_strconcat ("port=", ports, one ? ":" : "", one ? parts[n - 1] : "", protocol, NULL);
  GError *problem = NULL;

  if (n > 0 && n <= 3 &&
      (*protocol == '\0' || g_str_equal (protocol, "/udp") || g_str_equal (protocol, "/tcp")) &&
      vm_spec_add_plug (spec, word, what, &problem))
    return TRUE;
  g_clear_error (&problem);
  return vm_error (error, VM_ERROR_USAGE,
                   "%s: '%s' is no port; write [ADDRESS:]PORT[:INSIDE][/udp], such as 8080, 8080:80 or "
                   "0.0.0.0:8080:80; an address is IPv4",
                   what, text);
}

gboolean
vm_spec_add_socket (VmSpec *spec, const char *text, const char *what, GError **error)
{
  const char *colon = strrchr (text, ':');
  g_autofree char *source = colon != NULL ? g_strndup (text, (gsize)(colon - text)) : g_strdup (text);
  const char *target = colon != NULL ? colon + 1 : NULL;
  guint n = spec->sockets != NULL ? g_strv_length (spec->sockets) : 0;

  if (*source == '\0')
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' names no socket; write SRC or SRC:DST", what, text);
  if (target != NULL && *target != '/')
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is not an absolute path; write SRC:/path/inside", what,
                     target);
  if (!g_utf8_validate (text, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "%s: the path of the socket is not UTF-8", what);
  spec->sockets = g_renew (char *, spec->sockets, n + 3);
  spec->sockets[n] = g_canonicalize_filename (source, NULL);
  spec->sockets[n + 1] = target != NULL ? g_canonicalize_filename (target, "/") : g_strdup (spec->sockets[n]);
  spec->sockets[n + 2] = NULL;
  return TRUE;
}

guint64
vm_spec_disk_size (const VmSpec *spec)
{
  if (spec->disk_none)
    return 0;
  return spec->disk != 0 ? spec->disk : VM_SPEC_DISK_DEFAULT;
}

gboolean
vm_spec_check_env (const char *text, const char *what, GError **error)
{
  gsize length = strcspn (text, "=");

  if (!g_utf8_validate (text, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "%s: the value of '%.*s' is not UTF-8", what, (int)length, text);
  if (length > 0 && !g_ascii_isdigit (*text) &&
      strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") >= length)
    return TRUE;
  return vm_error (
      error, VM_ERROR_USAGE,
      "%s: '%.*s' is not the name of a variable; write NAME=value, or NAME to pass the host's on", what,
      (int)length, text);
}

char **
vm_spec_resolve_env (char **env, char **host, const char *what, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_null_terminated (8, g_free, TRUE);

  for (char **one = env; one != NULL && *one != NULL; one++) {
    gboolean is_bare = strchr (*one, '=') == NULL;
    const char *theirs = is_bare ? g_environ_getenv (host, *one) : NULL;

    if (!vm_spec_check_env (*one, what, error))
      return NULL;
    if (theirs != NULL && !g_utf8_validate (theirs, -1, NULL)) {
      vm_error (error, VM_ERROR_USAGE, "%s: the value of '%s' is not UTF-8", what, *one);
      return NULL;
    }
    if (!is_bare)
      g_ptr_array_add (all, g_strdup (*one));
    else if (theirs != NULL && *theirs != '\0')
      g_ptr_array_add (all, g_strconcat (*one, "=", theirs, NULL));
  }
  return (char **)g_ptr_array_free (g_steal_pointer (&all), FALSE);
}

gboolean
vm_spec_check_words (char **words, GError **error)
{
  for (guint i = 0; words != NULL && words[i] != NULL; i++)
    if (!g_utf8_validate (words[i], -1, NULL))
      return vm_error (error, VM_ERROR_USAGE, "word %u of the command is not UTF-8; put it into a script",
                       i + 1);
  return TRUE;
}
