/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * A connection a sandbox. One that closes after SANDBOX_ENDED is done with; else the supervisor has died, and
 * looking for the sandbox gives it a new one, or buries it. New sandboxes are seen by inotify: their
 * directory appears whole, and its control socket a little later, after which the record is written again. So
 * whatever happens in such a directory, the socket is tried, until somebody answers. */
#include "vmctl/following.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp/client.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"
#include "vmctl/base/json.h"
#include "vmctl/store.h"

enum { ASK_MS = 10000, INOTIFY_ROOM = 4096, AGAIN_MS = 50, TRIES_MAX = 200 };

typedef struct {
  VmFollowing *owner; /* borrowed */
  VmRecord *record;   /* owned */
  QmpClient *client;  /* owned; NULL: none, or closed */
  guint closed_tag, tries;
  gboolean answered; /* on this connection */
  gboolean has_state, ended;
} Followed;

struct VmFollowing {
  const VmDirs *dirs; /* borrowed */
  VmFollowingEvent event;
  gpointer data;
  GHashTable *table; /* id -> Followed, owned */
  GHashTable *fresh; /* watch -> id of a directory whose socket is not there yet; owned */
  int inotify;       /* owned; -1: only those that were added */
  guint inotify_tag;
};

static void
free_followed (gpointer data)
{
  Followed *one = data;

  if (one->closed_tag != 0)
    g_source_remove (one->closed_tag);
  qmp_client_free (one->client);
  vm_record_free (one->record);
  g_free (one);
}

VmFollowing *
vm_following_new (const VmDirs *dirs, VmFollowingEvent event, gpointer data)
{
  VmFollowing *following = g_new0 (VmFollowing, 1);

  following->dirs = dirs;
  following->event = event;
  following->data = data;
  following->table = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, free_followed);
  following->fresh = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  following->inotify = -1;
  return following;
}

void
vm_following_free (VmFollowing *following)
{
  if (following == NULL)
    return;
  if (following->inotify_tag != 0)
    g_source_remove (following->inotify_tag);
  vm_fd_clear (&following->inotify);
  g_hash_table_unref (following->table);
  g_hash_table_unref (following->fresh);
  g_free (following);
}

guint
vm_following_count (const VmFollowing *following)
{
  return g_hash_table_size (following->table);
}

static void
tell (Followed *one, const char *name, json_object *event_data, json_object *message)
{
  one->owner->event (one->record, name, event_data, message, one->owner->data);
}

static void
tell_state (Followed *one, const char *state)
{
  g_autoptr (json_object) data = json_object_new_object ();

  one->has_state = TRUE;
  vm_json_add_str (data, "state", state);
  tell (one, "SANDBOX_STATE", data, NULL);
}

static void
got_event (QmpClient *client, const char *name, json_object *event_data, json_object *message, gpointer data)
{
  Followed *one = data;

  one->ended |= g_str_equal (name, "SANDBOX_ENDED");
  tell (one, name, event_data, message);
}

static void
got_sandbox (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Followed *one = data;

  one->answered |= ret != NULL;
  if (ret != NULL && !one->has_state)
    tell_state (one, vm_json_str (ret, "state", "?"));
}

static gboolean connect_to (Followed *one, GError **error);

/* As the supervisor would have said. */
static void
tell_end (Followed *one, const VmRecord *now)
{
  g_autoptr (json_object) data = json_object_new_object ();
  g_autofree char *text = now != NULL ? vm_record_reason_text (now) : g_strdup ("it is gone");

  vm_json_add_str (data, "reason", vm_reason_name (now != NULL ? now->reason : VM_REASON_NONE));
  vm_json_add_str (data, "text", text);
  if (now != NULL && now->status >= 0)
    vm_json_add_int (data, "status", now->status);
  tell (one, "SANDBOX_ENDED", data, NULL);
}

static gboolean after_close (gpointer data);

/* Somebody else may be just giving it a supervisor, which does not listen yet. */
static gboolean
connect_or_wait (Followed *one)
{
  if (connect_to (one, NULL))
    return TRUE;
  if (++one->tries > TRIES_MAX)
    return FALSE;
  one->closed_tag = g_timeout_add (AGAIN_MS, after_close, one);
  return TRUE;
}

/* A supervisor that closes before it has answered would do so again. */
static gboolean
after_close (gpointer data)
{
  Followed *one = data;
  VmFollowing *following = one->owner;
  g_autoptr (VmRecord) now = NULL;

  one->closed_tag = 0;
  g_clear_pointer (&one->client, qmp_client_free);
  if (!one->ended && one->answered) {
    now = vm_store_find (following->dirs, one->record->id, TRUE, NULL);
    if (now != NULL && now->state != VM_STATE_ENDED && connect_or_wait (one))
      return G_SOURCE_REMOVE;
  }
  if (!one->ended)
    tell_end (one, now);
  (void)g_hash_table_remove (following->table, one->record->id);
  return G_SOURCE_REMOVE;
}

static void
got_closed (QmpClient *client, const GError *error, gpointer data)
{
  Followed *one = data;

  if (one->closed_tag == 0)
    one->closed_tag = g_idle_add (after_close, one);
}

static gboolean
connect_to (Followed *one, GError **error)
{
  static const QmpClientHandlers handlers = {.event = got_event, .closed = got_closed};
  vm_autofd dir = vm_store_open_runtime (one->owner->dirs, one->record->id, error);
  int fd = dir >= 0 ? vm_fd_connect_unix (dir, "control.sock", SOCK_STREAM, error) : -1;

  if (fd < 0)
    return FALSE;
  one->answered = one->has_state = FALSE;
  one->tries = 0;
  one->client = qmp_client_new (fd, &handlers, one);
  qmp_client_send (one->client, "query-sandbox", NULL, NULL, 0, ASK_MS, got_sandbox, one);
  return TRUE;
}

gboolean
vm_following_add (VmFollowing *following, VmRecord *take_record, GError **error)
{
  Followed *one = g_new0 (Followed, 1);

  one->owner = following;
  one->record = take_record;
  if (!connect_to (one, error)) {
    free_followed (one);
    return FALSE;
  }
  g_hash_table_replace (following->table, one->record->id, one);
  return TRUE;
}

/* Those that start */

/* TRUE: it is followed, or never will be. */
static gboolean
try_new (VmFollowing *following, const char *id)
{
  vm_autofd dir = vm_store_open_runtime (following->dirs, id, NULL);
  VmRecord *record = dir >= 0 ? vm_record_read (dir, NULL) : NULL;

  if (dir < 0 || g_hash_table_contains (following->table, id))
    return TRUE;
  return record != NULL && vm_following_add (following, record, NULL);
}

static void
see_new (VmFollowing *following, const char *id)
{
  g_autofree char *path = g_build_filename (following->dirs->runtime, id, NULL);
  int watch = inotify_add_watch (following->inotify, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);

  if (try_new (following, id)) {
    if (watch >= 0)
      (void)inotify_rm_watch (following->inotify, watch);
  } else if (watch >= 0) {
    g_hash_table_replace (following->fresh, GINT_TO_POINTER (watch), g_strdup (id));
  }
}

static void
see_change (VmFollowing *following, const struct inotify_event *event)
{
  const char *id = g_hash_table_lookup (following->fresh, GINT_TO_POINTER (event->wd));

  if (id == NULL && event->len > 0 && vm_store_is_id (event->name)) {
    see_new (following, event->name);
  } else if (id != NULL && (event->mask & IN_IGNORED) != 0) {
    g_hash_table_remove (following->fresh, GINT_TO_POINTER (event->wd));
  } else if (id != NULL && try_new (following, id)) {
    g_hash_table_remove (following->fresh, GINT_TO_POINTER (event->wd));
    (void)inotify_rm_watch (following->inotify, event->wd);
  }
}

static gboolean
directory_changed (int fd, GIOCondition condition, gpointer data)
{
  _Alignas(struct inotify_event) char room[INOTIFY_ROOM];
  ssize_t n = read (fd, room, sizeof room);

  for (ssize_t at = 0; at < n;) {
    const struct inotify_event *event = (const struct inotify_event *)(const void *)(room + at);

    see_change (data, event);
    at += (ssize_t)(sizeof *event + event->len);
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
watch_directory (VmFollowing *following, GError **error)
{
  if (!vm_file_make_private_dir (following->dirs->runtime, error))
    return FALSE;
  following->inotify = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (following->inotify < 0 ||
      inotify_add_watch (following->inotify, following->dirs->runtime, IN_CREATE | IN_MOVED_TO) < 0)
    return vm_error_errno (error, errno, "cannot watch '%s' for new sandboxes", following->dirs->runtime);
  following->inotify_tag = g_unix_fd_add (following->inotify, G_IO_IN, directory_changed, following);
  return TRUE;
}

/* First the watch, then the look: none starts in between. */
gboolean
vm_following_add_all (VmFollowing *following, GPtrArray *problems, GError **error)
{
  g_autoptr (GPtrArray) records = NULL;

  if (!watch_directory (following, error) ||
      (records = vm_store_list (following->dirs, FALSE, problems, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < records->len; i++)
    if (!try_new (following, ((const VmRecord *)g_ptr_array_index (records, i))->id))
      see_new (following, ((const VmRecord *)g_ptr_array_index (records, i))->id);
  return TRUE;
}
