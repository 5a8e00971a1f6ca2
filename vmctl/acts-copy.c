/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the copy of a plugged disk needs before it can begin (vmctl/snapshot.h). What counts is what QEMU has
 * open, not what the file has become since it was plugged. The arguments:
 *
 *   room   {nodes}                for what these disks have there is room beside the snapshots
 *   make   {snapshot, id, node}   the file for the copy of this disk, which has its size; is opened
 */
#include "vmctl/acts-private.h"

#include <sys/statvfs.h>

#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/snapshot.h"

typedef struct {
  VmActs *acts; /* borrowed */
  guint serial;
  gboolean makes;
  json_object *arguments; /* owned */
} Question;

static json_object *
image_of (json_object *list, const char *node)
{
  for (gsize i = 0; json_object_is_type (list, json_type_array) && i < json_object_array_length (list); i++) {
    json_object *one = json_object_array_get_idx (list, i);

    if (g_strcmp0 (vm_json_str (one, "node-name", NULL), node) == 0)
      return vm_json_object (one, "image");
  }
  return NULL;
}

static gboolean
check_room (const VmSupervisor *sup, json_object *nodes, json_object *list, GError **error)
{
  guint64 wanted = 0, room;
  struct statvfs st;
  g_autofree char *has = NULL, *wants = NULL;

  for (gsize i = 0; nodes != NULL && i < json_object_array_length (nodes); i++) {
    const char *node = json_object_get_string (json_object_array_get_idx (nodes, i));

    wanted += (guint64)MAX (vm_json_int (image_of (list, node), "actual-size", 0), 0);
  }
  if (fstatvfs (sup->state_fd, &st) < 0)
    return TRUE; /* then the copy itself will say */
  room = (guint64)st.f_bavail * st.f_frsize;
  if (wanted <= room)
    return TRUE;
  has = vm_size_format (room);
  wants = vm_size_format (wanted);
  return vm_error (
      error, VM_ERROR_HOST,
      "the copies of its disks may take %s, and in '%s' there is room for %s; make room, or leave "
      "out those that were plugged: --skip-plugged",
      wants, sup->plan->state_dir, has);
}

static gboolean
make_file (VmActs *acts, json_object *arguments, json_object *list, GError **error)
{
  const char *id = vm_json_str (arguments, "id", "");
  gint64 size = vm_json_int (image_of (list, vm_json_str (arguments, "node", "")), "virtual-size", 0);

  if (size <= 0)
    return vm_error (error, VM_ERROR_FAILED, "QEMU knows nothing of the plugged disk '%s'", id);
  vm_fd_clear (&acts->fd); /* of the disk before it */
  acts->fd = vm_snapshot_disk_new (acts->sup->state_fd, vm_json_str (arguments, "snapshot", ""), id,
                                   (guint64)size, error);
  return acts->fd >= 0;
}

static void
disks_listed (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  g_autofree Question *question = data;
  g_autoptr (json_object) arguments = question->arguments;
  VmActs *acts = question->acts;
  GError *why = NULL;

  if (question->serial != acts->serial)
    return;
  if (error != NULL)
    why = g_error_copy (error);
  else if (question->makes)
    (void)make_file (acts, arguments, ret, &why);
  else
    (void)check_room (acts->sup, vm_json_array (arguments, "nodes"), ret, &why);
  vm_acts_finish (acts, why, NULL);
}

void
vm_acts_copy (VmActs *acts, const char *command, json_object *arguments)
{
  json_object *flat = json_object_new_object ();
  Question *question;

  if (acts->sup->qmp == NULL) {
    json_object_put (flat);
    vm_acts_fail (acts, VM_ERROR_FAILED, "QEMU's monitor is lost");
    return;
  }
  question = g_new (Question, 1);
  *question = (Question){.acts = acts,
                         .serial = acts->serial,
                         .makes = g_str_equal (command, "make"),
                         .arguments = json_object_get (arguments)};
  vm_json_add_bool (flat, "flat", TRUE);
  qmp_client_send (acts->sup->qmp, "query-named-block-nodes", flat, NULL, 0, VM_ACT_WAIT_MS, disks_listed,
                   question);
}
