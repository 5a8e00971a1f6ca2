/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* query-stats: what the processes use is known here, what the guest's disk and balloon do only to QEMU. */
#include "vmctl/control-life.h"

#include "vmctl/base/json.h"
#include "vmctl/supervisor-net.h"
#include "vmctl/usage.h"

enum { ASK_MS = 5000 };

#define SCRATCH_NODE "scratch"
#define INTERFACE "tap0"

typedef struct {
  QmpRequest *request; /* owned */
  json_object *object; /* owned */
  json_object *disk;   /* borrowed from it */
  guint pending;       /* answers of QEMU */
} Stats;

static void
finish (Stats *stats)
{
  if (--stats->pending > 0)
    return;
  qmp_request_return (stats->request, stats->object);
  g_free (stats);
}

/* The members that are there, of each device. */
static void
got_blockstats (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Stats *stats = data;
  gint64 bytes_read = 0, written = 0;

  for (gsize i = 0; json_object_is_type (ret, json_type_array) && i < json_object_array_length (ret); i++) {
    json_object *one = vm_json_object (json_object_array_get_idx (ret, i), "stats");

    bytes_read += vm_json_int (one, "rd_bytes", 0);
    written += vm_json_int (one, "wr_bytes", 0);
  }
  if (ret != NULL) {
    vm_json_add_int (stats->disk, "read", bytes_read);
    vm_json_add_int (stats->disk, "written", written);
  }
  finish (stats);
}

static void
got_block (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Stats *stats = data;

  for (gsize i = 0; json_object_is_type (ret, json_type_array) && i < json_object_array_length (ret); i++) {
    json_object *inserted = vm_json_object (json_object_array_get_idx (ret, i), "inserted");

    if (g_strcmp0 (vm_json_str (inserted, "node-name", NULL), SCRATCH_NODE) == 0)
      vm_json_add_int (stats->disk, "allocated",
                       vm_json_int (vm_json_object (inserted, "image"), "actual-size", 0));
  }
  finish (stats);
}

static void
got_balloon (QmpClient *client, json_object *ret, json_object *reply, const GError *error, gpointer data)
{
  Stats *stats = data;

  if (ret != NULL)
    vm_json_add_int (vm_json_object (stats->object, "memory"), "balloon", vm_json_int (ret, "actual", 0));
  finish (stats);
}

static void
ask_qemu (VmSupervisor *sup, Stats *stats)
{
  static const struct {
    const char *command;
    QmpReplyFunc got;
  } questions[] = {
      {"query-blockstats", got_blockstats}, {"query-block", got_block}, {"query-balloon", got_balloon}};

  stats->disk = json_object_new_object ();
  vm_json_add (stats->object, "disk", stats->disk);
  stats->pending += G_N_ELEMENTS (questions);
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    qmp_client_send (sup->qmp, questions[i].command, NULL, NULL, 0, ASK_MS, questions[i].got, stats);
}

static json_object *
memory_of (const VmSupervisor *sup, const VmUsage *usage)
{
  json_object *memory = json_object_new_object ();

  vm_json_add_int (memory, "rss", (gint64)usage->rss);
  if (usage->has_pss)
    vm_json_add_int (memory, "pss", (gint64)usage->pss);
  vm_json_add_int (memory, "limit", (gint64)sup->plan->memory);
  return memory;
}

static json_object *
net_of (const VmUsage *usage)
{
  json_object *net;

  if (!usage->has_net)
    return NULL;
  net = json_object_new_object ();
  vm_json_add_int (net, "received", (gint64)usage->received);
  vm_json_add_int (net, "sent", (gint64)usage->sent);
  return net;
}

static json_object *
stats_of (VmSupervisor *sup)
{
  gboolean counts = sup->driver->net == VM_KEEPER_NET_NAMESPACE && vm_plan_has_card (sup->plan);
  const VmRecord *record = sup->record;
  json_object *object = json_object_new_object ();
  VmUsage usage = {0};

  if (record->keeper.pid > 0)
    vm_usage_gather (record->keeper.pid, &sup->plan->groups, counts ? INTERFACE : NULL, &usage);
  vm_json_add_str (object, "id", record->id);
  vm_json_add_str (object, "name", record->name);
  vm_json_add_str (object, "state", vm_state_name (record->state));
  vm_json_add_int (object, "now-us", g_get_monotonic_time ());
  vm_json_add_int (object, "uptime-us",
                   record->started != 0 ? MAX (g_get_real_time () - record->started, 0) : 0);
  vm_json_add_int (object, "cpu-us", (gint64)usage.cpu_us);
  vm_json_add_int (object, "cpus", sup->plan->cpus);
  vm_json_add_int (object, "processes", usage.processes);
  vm_json_add (object, "memory", memory_of (sup, &usage));
  vm_json_add (object, "disk", NULL);
  vm_json_add (object, "net", net_of (&usage));
  vm_json_add_int (object, "restarts", record->restarts);
  return object;
}

/* Payload is what a virtual machine's are: nobody else counts those. */
static void
got_net (json_object *counted, gpointer data)
{
  static const struct {
    const char *key, *word;
    gboolean always;
  } table[] = {{"flows", "flows", TRUE},        {"half-open", "half_open", TRUE}, {"udp-flows", "udp", TRUE},
               {"allowed", "allowed", TRUE},    {"refused", "refused", TRUE},     {"questions", "dns", TRUE},
               {"received", "bytes_in", FALSE}, {"sent", "bytes_out", FALSE}};
  Stats *stats = data;
  json_object *net = vm_json_object (stats->object, "net");

  if (counted != NULL && net == NULL) {
    net = json_object_new_object ();
    vm_json_add (stats->object, "net", net);
  }
  for (gsize i = 0; counted != NULL && i < G_N_ELEMENTS (table); i++)
    if (json_object_object_get_ex (counted, table[i].word, NULL) &&
        (table[i].always || !json_object_object_get_ex (net, table[i].key, NULL)))
      vm_json_add_int (net, table[i].key, vm_json_int (counted, table[i].word, 0));
  finish (stats);
}

void
vm_control_stats (VmSupervisor *sup, json_object *arguments, QmpRequest *take_request)
{
  Stats *stats = g_new0 (Stats, 1);

  stats->request = take_request;
  stats->object = stats_of (sup);
  stats->pending = 2;
  vm_supervisor_ask_net_stats (sup, got_net, stats);
  if (sup->qmp != NULL && qmp_client_is_ready (sup->qmp) && !qmp_client_is_closed (sup->qmp))
    ask_qemu (sup, stats);
  finish (stats);
}
