/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/plug.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/plug-parts.h"

enum {
  ID_MAX = 20,
  /* as a disk has it for its serial number */ PORT_MAX = 65535,
  CPUS_MAX = 255,
  USB_MAX = 0xffff,
  BUS_MAX = 255
};

#define DISK_MIN (G_GUINT64_CONSTANT (1) << 20)
#define DISK_MAX (G_GUINT64_CONSTANT (16) << 40)

static const char *const kind_names[VM_PLUG_KINDS] = {
    [VM_PLUG_DIR] = "dir",       [VM_PLUG_DISK] = "disk", [VM_PLUG_CPU] = "cpu",   [VM_PLUG_MEM] = "mem",
    [VM_PLUG_SERIAL] = "serial", [VM_PLUG_USB] = "usb",   [VM_PLUG_PORT] = "port", [VM_PLUG_NIC] = "nic",
};

const char *
vm_plug_kind_name (VmPlugKind kind)
{
  return kind_names[kind];
}

void
vm_plug_spec_clear (VmPlugSpec *spec)
{
  g_free (spec->id);
  g_free (spec->source);
  g_free (spec->target);
  g_free (spec->format);
  g_free (spec->name);
  g_free (spec->address);
  g_free (spec->snapshot);
  g_free (spec->net);
  *spec = (VmPlugSpec){0};
}

gboolean
vm_plug_is_id (const char *text)
{
  gsize n = strlen (text);

  return n > 0 && n <= ID_MAX && g_ascii_islower (*text) &&
         strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* Paths are shown, kept and sent as JSON. */
static gboolean
check_path (const char *what, const char *path, GError **error)
{
  if (*path != '/')
    return vm_error (error, VM_ERROR_USAGE, "%s: '%s' is no absolute path", what, path);
  if (!g_utf8_validate (path, -1, NULL))
    return vm_error (error, VM_ERROR_USAGE, "%s: a path that is not UTF-8 cannot be plugged", what);
  return TRUE;
}

static char *
absolute (const char *path, const char *cwd)
{
  return g_canonicalize_filename (path, cwd);
}

/* The last word behind a colon is one of an option; cut off then. */
static gboolean
take_word (char *args, const char *word)
{
  char *colon = strrchr (args, ':');

  if (colon == NULL || !g_str_equal (colon + 1, word))
    return FALSE;
  *colon = '\0';
  return TRUE;
}

/* HOST[:GUEST][:ro|:rw]. GUEST is absolute, so it begins behind the last ":/". */
static gboolean
parse_dir (const char *args, const char *cwd, VmPlugSpec *ret, GError **error)
{
  g_autofree char *text = g_strdup (args);
  char *guest;

  ret->read_only = take_word (text, "ro");
  if (!ret->read_only)
    (void)take_word (text, "rw");
  guest = g_strrstr (text, ":/");
  if (guest != NULL) {
    *guest = '\0';
    ret->target = absolute (guest + 1, "/");
  }
  if (*text == '\0')
    return vm_error (error, VM_ERROR_USAGE, "dir: '%s' names no directory; it is HOST[:GUEST][:ro]", args);
  ret->source = absolute (text, cwd);
  return TRUE;
}

/* FILE[:ro][:raw|:qcow2], or SIZE. What begins with a digit and has no slash is a size: "./4G" is a file. */
static gboolean
parse_disk (const char *args, const char *cwd, VmPlugSpec *ret, GError **error)
{
  g_autofree char *text = g_strdup (args);
  gboolean more = TRUE;

  if (g_ascii_isdigit (*args) && strchr (args, '/') == NULL)
    return vm_size_parse (args, 1, "disk", &ret->size, error);
  while (more) {
    const char *format = take_word (text, "raw") ? "raw" : take_word (text, "qcow2") ? "qcow2" : NULL;
    gboolean ro = format == NULL && take_word (text, "ro");

    if (format != NULL && ret->format != NULL)
      return vm_error (error, VM_ERROR_USAGE, "disk: '%s' names two formats", args);
    if (format != NULL)
      ret->format = g_strdup (format);
    ret->read_only |= ro;
    more = format != NULL || ro;
  }
  if (*text == '\0')
    return vm_error (error, VM_ERROR_USAGE, "disk: '%s' names no file; it is FILE[:ro][:raw|:qcow2] or SIZE",
                     args);
  ret->source = absolute (text, cwd);
  return TRUE;
}

static gboolean
parse_number (const char *text, guint base, guint max, guint *ret)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, base, base == 10 ? 1 : 0, max, &value, NULL))
    return FALSE;
  *ret = (guint)value;
  return TRUE;
}

static gboolean
parse_cpu (const char *args, VmPlugSpec *ret, GError **error)
{
  return parse_number (args, 10, CPUS_MAX, &ret->count) ||
         vm_error (error, VM_ERROR_USAGE, "cpu: '%s' is no number from 1 to %d", args, CPUS_MAX);
}

/* [ADDRESS:]HOST:GUEST[/tcp|/udp] */
static gboolean
parse_port (const char *args, VmPlugSpec *ret, GError **error)
{
  g_autofree char *text = g_strdup (args);
  char *slash = strrchr (text, '/'), *guest, *host;

  ret->udp = slash != NULL && g_str_equal (slash, "/udp");
  if (slash != NULL && (ret->udp || g_str_equal (slash, "/tcp")))
    *slash = '\0';
  guest = strrchr (text, ':');
  if (guest != NULL)
    *guest++ = '\0';
  host = guest != NULL ? strrchr (text, ':') : NULL;
  if (host != NULL) {
    *host++ = '\0';
    ret->address = g_strdup (text);
  } else {
    host = text;
  }
  if (guest == NULL || !parse_number (host, 10, PORT_MAX, &ret->host_port) ||
      !parse_number (guest, 10, PORT_MAX, &ret->guest_port))
    return vm_error (error, VM_ERROR_USAGE,
                     "port: '%s' is not [ADDRESS:]HOST:GUEST, two numbers from 1 to %d", args, PORT_MAX);
  return TRUE;
}

/* VENDOR:PRODUCT, hexadecimal as lsusb has it, or BUS.DEVICE. */
static gboolean
parse_usb (const char *args, VmPlugSpec *ret, GError **error)
{
  g_auto (GStrv) ids = g_strsplit (args, ":", -1), place = g_strsplit (args, ".", -1);

  if (g_strv_length (ids) == 2 && strlen (ids[0]) == 4 && strlen (ids[1]) == 4 &&
      parse_number (ids[0], 16, USB_MAX, &ret->vendor) && parse_number (ids[1], 16, USB_MAX, &ret->product) &&
      (ret->vendor != 0 || ret->product != 0))
    return TRUE;
  ret->vendor = ret->product = 0;
  if (g_strv_length (place) == 2 && parse_number (place[0], 10, BUS_MAX, &ret->bus) &&
      parse_number (place[1], 10, BUS_MAX, &ret->device))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE,
                   "usb: '%s' is neither VENDOR:PRODUCT nor BUS.DEVICE as lsusb shows them", args);
}

static gboolean
find_kind (const char *name, VmPlugKind *ret, GError **error)
{
  g_autofree char *all = NULL;

  for (guint i = 0; i < VM_PLUG_KINDS; i++)
    if (g_strcmp0 (name, kind_names[i]) == 0) {
      *ret = (VmPlugKind)i;
      return TRUE;
    }
  all = g_strjoin (", ", kind_names[0], kind_names[1], kind_names[2], kind_names[3], kind_names[4],
                   kind_names[5], kind_names[6], kind_names[7], NULL);
  return vm_error (error, VM_ERROR_USAGE, "'%s' cannot be plugged; what can be: %s", name, all);
}

static gboolean
check_serial (const char *name, GError **error)
{
  if (vm_plug_is_id (name))
    return TRUE;
  return vm_error (error, VM_ERROR_USAGE,
                   "serial: '%s' is no name; one has up to %d letters a-z, digits and '-'", name, ID_MAX);
}

static gboolean
check_address (const char *address, GError **error)
{
  guint8 room[16];

  return address == NULL || inet_pton (AF_INET, address, room) == 1 ||
         vm_error (error, VM_ERROR_USAGE, "port: '%s' is no IPv4 address", address);
}

/* What must hold however it was written. */
static gboolean
check (const VmPlugSpec *spec, GError **error)
{
  if (spec->id != NULL && !vm_plug_is_id (spec->id))
    return vm_error (error, VM_ERROR_USAGE,
                     "'%s' is no id; one has up to %d letters a-z, digits and '-', a letter first", spec->id,
                     ID_MAX);
  switch (spec->kind) {
  case VM_PLUG_DIR:
    return check_path ("dir", spec->source, error) &&
           (spec->target == NULL || check_path ("dir", spec->target, error));
  case VM_PLUG_DISK:
    if (spec->source == NULL && (spec->size < DISK_MIN || spec->size > DISK_MAX))
      return vm_error (error, VM_ERROR_USAGE, "disk: a new disk has from 1M to 16T");
    if (spec->format != NULL && !g_str_equal (spec->format, "raw") && !g_str_equal (spec->format, "qcow2"))
      return vm_error (error, VM_ERROR_USAGE, "disk: the format '%s' is neither raw nor qcow2", spec->format);
    return spec->source == NULL || check_path ("disk", spec->source, error);
  case VM_PLUG_SERIAL:
    return check_serial (spec->name, error);
  case VM_PLUG_PORT:
    return check_address (spec->address, error);
  case VM_PLUG_NIC:
    return spec->net == NULL || vm_plug_check_net (spec->net, error);
  case VM_PLUG_CPU:
  case VM_PLUG_MEM:
  case VM_PLUG_USB:
  case VM_PLUG_KINDS:
    break;
  }
  return TRUE;
}

static gboolean
parse_args (const char *args, const char *cwd, VmPlugSpec *ret, GError **error)
{
  switch (ret->kind) {
  case VM_PLUG_DIR:
    return parse_dir (args, cwd, ret, error);
  case VM_PLUG_DISK:
    return parse_disk (args, cwd, ret, error);
  case VM_PLUG_CPU:
    return parse_cpu (args, ret, error);
  case VM_PLUG_MEM:
    return vm_size_parse (args, G_GUINT64_CONSTANT (1) << 20, "mem", &ret->size, error);
  case VM_PLUG_SERIAL:
    ret->name = g_strdup (args);
    return TRUE;
  case VM_PLUG_USB:
    return parse_usb (args, ret, error);
  case VM_PLUG_PORT:
    return parse_port (args, ret, error);
  case VM_PLUG_NIC:
    ret->net = *args != '\0' ? g_strdup (args) : NULL;
    return TRUE;
  case VM_PLUG_KINDS:
    break;
  }
  return FALSE;
}

gboolean
vm_plug_spec_parse (const char *kind, const char *args, const char *cwd, VmPlugSpec *ret, GError **error)
{
  *ret = (VmPlugSpec){0};
  if (find_kind (kind, &ret->kind, error) && parse_args (args, cwd, ret, error) && check (ret, error))
    return TRUE;
  vm_plug_spec_clear (ret);
  return FALSE;
}

gboolean
vm_plug_spec_parse_word (const char *word, const char *cwd, VmPlugSpec *ret, GError **error)
{
  const char *equals = strchr (word, '=');
  g_autofree char *kind = equals != NULL ? g_strndup (word, (gsize)(equals - word)) : g_strdup (word);

  return vm_plug_spec_parse (kind, equals != NULL ? equals + 1 : "", cwd, ret, error);
}

/* JSON */

static void
add_number (json_object *object, const char *key, guint64 value)
{
  if (value != 0)
    vm_json_add_int (object, key, (gint64)value);
}

json_object *
vm_plug_spec_to_json (const VmPlugSpec *spec)
{
  json_object *object = json_object_new_object ();

  vm_json_add_str (object, "id", spec->id);
  vm_json_add_str (object, "kind", kind_names[spec->kind]);
  vm_json_add_str (object, "source", spec->source);
  vm_json_add_str (object, "target", spec->target);
  if (spec->read_only)
    vm_json_add_bool (object, "read-only", TRUE);
  vm_json_add_str (object, "format", spec->format);
  vm_json_add_str (object, "snapshot", spec->snapshot);
  add_number (object, "size", spec->size);
  add_number (object, "count", spec->count);
  vm_json_add_str (object, "name", spec->name);
  vm_json_add_str (object, "address", spec->address);
  add_number (object, "host-port", spec->host_port);
  add_number (object, "guest-port", spec->guest_port);
  if (spec->udp)
    vm_json_add_bool (object, "udp", TRUE);
  add_number (object, "vendor", spec->vendor);
  add_number (object, "product", spec->product);
  add_number (object, "bus", spec->bus);
  add_number (object, "device", spec->device);
  vm_json_add_str (object, "net", spec->net);
  return object;
}

static gboolean
read_number (json_object *object, const char *key, guint64 max, gboolean needed, guint64 *ret, GError **error)
{
  gint64 value = vm_json_int (object, key, 0);

  if (value < 0 || (guint64)value > max || (needed && value == 0))
    return vm_error (error, VM_ERROR_USAGE, "'%s' must be from %d to %" G_GUINT64_FORMAT, key, needed ? 1 : 0,
                     max);
  *ret = (guint64)value;
  return TRUE;
}

static gboolean
read_numbers (json_object *object, VmPlugSpec *ret, GError **error)
{
  const struct {
    const char *key;
    guint64 max;
    guint *value;
    gboolean needed;
  } table[] = {
      {"count", CPUS_MAX, &ret->count, ret->kind == VM_PLUG_CPU},
      {"host-port", PORT_MAX, &ret->host_port, ret->kind == VM_PLUG_PORT},
      {"guest-port", PORT_MAX, &ret->guest_port, ret->kind == VM_PLUG_PORT},
      {"vendor", USB_MAX, &ret->vendor, FALSE},
      {"product", USB_MAX, &ret->product, FALSE},
      {"bus", BUS_MAX, &ret->bus, FALSE},
      {"device", BUS_MAX, &ret->device, FALSE},
  };
  guint64 value;

  for (guint i = 0; i < G_N_ELEMENTS (table); i++) {
    if (!read_number (object, table[i].key, table[i].max, table[i].needed, &value, error))
      return FALSE;
    *table[i].value = (guint)value;
  }
  return read_number (object, "size", G_MAXINT64, ret->kind == VM_PLUG_MEM, &ret->size, error);
}

static gboolean
has_needed (const VmPlugSpec *spec, GError **error)
{
  if (spec->kind == VM_PLUG_DIR && spec->source == NULL)
    return vm_error (error, VM_ERROR_USAGE, "'source' is missing");
  if (spec->kind == VM_PLUG_SERIAL && spec->name == NULL)
    return vm_error (error, VM_ERROR_USAGE, "'name' is missing");
  if (spec->kind == VM_PLUG_USB && spec->vendor == 0 && spec->product == 0 &&
      (spec->bus == 0 || spec->device == 0))
    return vm_error (error, VM_ERROR_USAGE, "'vendor' and 'product', or 'bus' and 'device', are missing");
  return TRUE;
}

gboolean
vm_plug_spec_from_json (json_object *object, VmPlugSpec *ret, GError **error)
{
  *ret = (VmPlugSpec){0};
  if (!find_kind (vm_json_str (object, "kind", ""), &ret->kind, error))
    return FALSE;
  ret->id = g_strdup (vm_json_str (object, "id", NULL));
  ret->source = g_strdup (vm_json_str (object, "source", NULL));
  ret->target = g_strdup (vm_json_str (object, "target", NULL));
  ret->read_only = vm_json_bool (object, "read-only", FALSE);
  ret->udp = vm_json_bool (object, "udp", FALSE);
  ret->format = g_strdup (vm_json_str (object, "format", NULL));
  ret->name = g_strdup (vm_json_str (object, "name", NULL));
  ret->address = g_strdup (vm_json_str (object, "address", NULL));
  ret->net = g_strdup (vm_json_str (object, "net", NULL));
  if (read_numbers (object, ret, error) && has_needed (ret, error) && check (ret, error))
    return TRUE;
  vm_plug_spec_clear (ret);
  return FALSE;
}
