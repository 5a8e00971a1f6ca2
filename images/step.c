/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/step.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/escape.h"

enum { HOSTNAME_MAX = 64, TEXT_MAX = 1 << 20 };

static const char *const names[] = {
    [IMAGE_STEP_DELETE] = "delete", [IMAGE_STEP_HOSTNAME] = "hostname",
    [IMAGE_STEP_MKDIR] = "mkdir",   [IMAGE_STEP_RUN_COMMAND] = "run-command",
    [IMAGE_STEP_UPLOAD] = "upload", [IMAGE_STEP_WRITE] = "write",
};

void
image_step_free (ImageStep *step)
{
  if (step == NULL)
    return;
  g_free (step->path);
  g_free (step->value);
  g_free (step);
}

const char *
image_step_name (ImageStepKind kind)
{
  return names[kind];
}

gboolean
image_step_kind (const char *name, ImageStepKind *ret)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (names[i], name)) {
      *ret = (ImageStepKind)i;
      return TRUE;
    }
  return FALSE;
}

char *
image_step_path (const char *path, GError **error)
{
  g_autofree char *shown = vm_escape_terminal (path, -1, 200);
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  g_autoptr (GString) out = g_string_new (NULL);

  if (*path != '/') {
    vm_error (error, VM_ERROR_USAGE, "'%s' is no path in the image: it has to begin with '/'", shown);
    return NULL;
  }
  for (char **part = parts; *part != NULL; part++) {
    if (g_str_equal (*part, ".") || g_str_equal (*part, "..")) {
      vm_error (error, VM_ERROR_USAGE, "'%s': write the path without '.' and '..'", shown);
      return NULL;
    }
    if (**part != '\0')
      g_string_append_printf (out, "/%s", *part);
  }
  return out->len > 0 ? g_string_free (g_steal_pointer (&out), FALSE) : g_strdup ("/");
}

const char *
image_step_base (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash != NULL && slash[1] != '\0' ? slash + 1 : NULL;
}

static gboolean
check_hostname (const char *name, GError **error)
{
  gsize length = strlen (name);

  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && *p != '-' && *p != '.')
      length = 0;
  return (length > 0 && length <= HOSTNAME_MAX && g_ascii_isalnum (*name)) ||
         vm_error (error, VM_ERROR_USAGE,
                   "--hostname: a name has letters, digits, '-' and '.', and at most 64 of them");
}

/* Splits "FILE:PATH" (`at` is the colon) or "PATH:TEXT". */
static gboolean
split (const ImageStep *step, const char *value, const char **ret)
{
  const char *at = step->kind == IMAGE_STEP_UPLOAD ? strstr (value, ":/") : strchr (value, ':');

  *ret = at;
  return at != NULL && at != value;
}

static gboolean
take_pair (ImageStep *step, const char *value, GError **error)
{
  g_autofree char *first = NULL;
  const char *at;

  if (!split (step, value, &at))
    return vm_error (error, VM_ERROR_USAGE,
                     step->kind == IMAGE_STEP_UPLOAD ? "--upload: write FILE:PATH, with an absolute PATH"
                                                     : "--write: write PATH:TEXT");
  first = g_strndup (value, (gsize)(at - value));
  step->path = image_step_path (step->kind == IMAGE_STEP_UPLOAD ? at + 1 : first, error);
  step->value = step->kind == IMAGE_STEP_UPLOAD ? g_steal_pointer (&first) : g_strdup (at + 1);
  return step->path != NULL;
}

static gboolean
take (ImageStep *step, const char *value, GError **error)
{
  if (strlen (value) > TEXT_MAX)
    return vm_error (error, VM_ERROR_USAGE, "--%s: that is too long", names[step->kind]);
  switch (step->kind) {
  case IMAGE_STEP_UPLOAD:
  case IMAGE_STEP_WRITE:
    return take_pair (step, value, error);
  case IMAGE_STEP_HOSTNAME:
    if (!check_hostname (value, error))
      return FALSE;
    break;
  case IMAGE_STEP_RUN_COMMAND:
    if (*value == '\0')
      return vm_error (error, VM_ERROR_USAGE, "--run-command: there is no command");
    break;
  case IMAGE_STEP_DELETE:
  case IMAGE_STEP_MKDIR:
    step->path = image_step_path (value, error);
    step->value = g_strdup ("");
    return step->path != NULL;
  }
  step->path = g_strdup ("");
  step->value = g_strdup (value);
  return TRUE;
}

ImageStep *
image_step_parse (const char *name, const char *value, GError **error)
{
  g_autoptr (ImageStep) step = g_new0 (ImageStep, 1);

  if (!image_step_kind (name, &step->kind)) {
    vm_error (error, VM_ERROR_USAGE, "'%s' is nothing that can be done to an image", name);
    return NULL;
  }
  if (!take (step, value, error))
    return NULL;
  if (step->kind != IMAGE_STEP_HOSTNAME && step->kind != IMAGE_STEP_RUN_COMMAND &&
      image_step_base (step->path) == NULL) {
    vm_error (error, VM_ERROR_USAGE, "--%s: '/' itself stays as it is", name);
    return NULL;
  }
  return g_steal_pointer (&step);
}
