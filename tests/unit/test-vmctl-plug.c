/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be plugged, as people write it and as JSON; the steps that are made of it; what is refused. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/plan-parts.h"
#include "vmctl/plug.h"

#define GIB (G_GUINT64_CONSTANT (1) << 30)

/* Parsing: as words, what comes out as JSON. */

static const struct {
  const char *kind, *args, *json;
} good[] = {
    {"dir", "/srv/data", "{'kind':'dir','source':'/srv/data'}"},
    {"dir", "sub", "{'kind':'dir','source':'/here/sub'}"},
    {"dir", ".", "{'kind':'dir','source':'/here'}"},
    {"dir", "/srv/data:ro", "{'kind':'dir','source':'/srv/data','read-only':true}"},
    {"dir", "/srv/data:rw", "{'kind':'dir','source':'/srv/data'}"},
    {"dir", "/srv/a:/data", "{'kind':'dir','source':'/srv/a','target':'/data'}"},
    {"dir", "/srv/a:b:/data:ro", "{'kind':'dir','source':'/srv/a:b','target':'/data','read-only':true}"},
    {"dir", "/srv/a:/data/../x", "{'kind':'dir','source':'/srv/a','target':'/x'}"},
    {"disk", "4G", "{'kind':'disk','size':4294967296}"},
    {"disk", "./4G", "{'kind':'disk','source':'/here/4G'}"},
    {"disk", "/d.img:ro", "{'kind':'disk','source':'/d.img','read-only':true}"},
    {"disk", "/d.img:raw:ro", "{'kind':'disk','source':'/d.img','read-only':true,'format':'raw'}"},
    {"disk", "/d.img:ro:qcow2", "{'kind':'disk','source':'/d.img','read-only':true,'format':'qcow2'}"},
    {"cpu", "4", "{'kind':'cpu','count':4}"},
    {"mem", "2G", "{'kind':'mem','size':2147483648}"},
    {"mem", "512", "{'kind':'mem','size':536870912}"},
    {"serial", "gdb-1", "{'kind':'serial','name':'gdb-1'}"},
    {"port", "8080:80", "{'kind':'port','host-port':8080,'guest-port':80}"},
    {"port", "8080:80/tcp", "{'kind':'port','host-port':8080,'guest-port':80}"},
    {"port", "8080:80/udp", "{'kind':'port','host-port':8080,'guest-port':80,'udp':true}"},
    {"port", "0.0.0.0:8080:80", "{'kind':'port','address':'0.0.0.0','host-port':8080,'guest-port':80}"},
    {"usb", "046d:c52b", "{'kind':'usb','vendor':1133,'product':50475}"},
    {"usb", "1.12", "{'kind':'usb','bus':1,'device':12}"},
};

static void
test_parse (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autofree char *want = g_strdelimit (g_strdup (good[i].json), "'", '"'), *word = NULL;
    g_autoptr (GError) error = NULL;
    VmPlugSpec spec, again;

    for (guint way = 0; way < 2; way++) {
      g_autoptr (json_object) object = NULL;
      g_autofree char *text = NULL, *back = NULL;
      g_autoptr (json_object) second = NULL;

      word = g_strconcat (good[i].kind, "=", good[i].args, NULL);
      if (way == 0)
        g_assert_true (vm_plug_spec_parse (good[i].kind, good[i].args, "/here", &spec, &error));
      else
        g_assert_true (vm_plug_spec_parse_word (word, "/here", &spec, &error));
      g_assert_no_error (error);
      object = vm_plug_spec_to_json (&spec);
      text = vm_json_line (object);
      g_assert_cmpstr (text, ==, want);
      g_assert_true (vm_plug_spec_from_json (object, &again, &error));
      second = vm_plug_spec_to_json (&again);
      back = vm_json_line (second);
      g_assert_cmpstr (back, ==, want);
      vm_plug_spec_clear (&spec);
      vm_plug_spec_clear (&again);
      g_clear_pointer (&word, g_free);
    }
  }
}

static void
test_text (void)
{
  static const char *const cases[][3] = {
      {"dir", "/srv/a:/data:ro", "dir /srv/a at /data, read-only"},
      {"dir", "/srv/a", "dir /srv/a"},
      {"disk", "4G", "disk 4 GiB"},
      {"disk", "/d.img:ro", "disk /d.img, read-only"},
      {"cpu", "2", "cpu 2"},
      {"mem", "1G", "mem 1 GiB"},
      {"serial", "a", "serial a"},
      {"port", "8080:80", "port 8080 of 127.0.0.1 to 80 inside"},
      {"usb", "046d:c52b", "usb 046d:c52b"},
      {"usb", "1.2", "usb 1.2"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = NULL;
    VmPlugSpec spec;

    g_assert_true (vm_plug_spec_parse (cases[i][0], cases[i][1], "/", &spec, NULL));
    text = vm_plug_spec_to_text (&spec);
    g_assert_cmpstr (text, ==, cases[i][2]);
    vm_plug_spec_clear (&spec);
  }
}

static void
test_parse_bad (void)
{
  static const char *const bad[][2] = {
      {"disk", ""},
      {"disk", ":ro"},
      {"disk", "1"},
      {"disk", "17T"},
      {"disk", "4X"},
      {"disk", "/a:raw:qcow2"},
      {"dir", ""},
      {"dir", ":/x"},
      {"dir", "/a\xff"},
      {"cpu", "0"},
      {"cpu", "-1"},
      {"cpu", "256"},
      {"cpu", "two"},
      {"cpu", ""},
      {"mem", "0"},
      {"mem", "lots"},
      {"serial", ""},
      {"serial", "../x"},
      {"serial", "A"},
      {"serial", "a.b"},
      {"port", "80"},
      {"port", "0:80"},
      {"port", "80:65536"},
      {"port", "80:80:80"},
      {"port", "::1:80:80"},
      {"port", "localhost:1:2"},
      {"port", "8080:80/icmp"},
      {"port", ":80"},
      {"usb", ""},
      {"usb", "46d:c52b"},
      {"usb", "0000:0000"},
      {"usb", "1.0"},
      {"usb", "1.2.3"},
      {"usb", "zzzz:0000"},
      {"nic", ""},
      {"", ""},
      {"serial", "abcdefghijklmnopqrstu"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    VmPlugSpec spec;

    g_test_message ("%s %s", bad[i][0], bad[i][1]);
    g_assert_false (vm_plug_spec_parse (bad[i][0], bad[i][1], "/here", &spec, &error));
    g_assert_nonnull (error);
    g_assert_null (spec.source);
  }
}

/* The control socket takes what anybody writes. */
static void
test_json_bad (void)
{
  static const char *const bad[] = {
      "{}",
      "{'kind':'nothing'}",
      "{'kind':'dir'}",
      "{'kind':'dir','source':'relative'}",
      "{'kind':'dir','source':'/a','target':'b'}",
      "{'kind':'dir','source':'/a','id':'A'}",
      "{'kind':'dir','source':'/a','id':''}",
      "{'kind':'dir','source':'/a','id':'a b'}",
      "{'kind':'disk'}",
      "{'kind':'disk','size':-1}",
      "{'kind':'disk','source':'/a','format':'vmdk'}",
      "{'kind':'cpu'}",
      "{'kind':'cpu','count':-3}",
      "{'kind':'cpu','count':1000}",
      "{'kind':'mem'}",
      "{'kind':'serial'}",
      "{'kind':'serial','name':'a/b'}",
      "{'kind':'port','host-port':1}",
      "{'kind':'port','host-port':70000,'guest-port':1}",
      "{'kind':'port','host-port':1,'guest-port':1,'address':'::1'}",
      "{'kind':'usb','bus':1}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *text = g_strdelimit (g_strdup (bad[i]), "'", '"');
    g_autoptr (json_object) object = vm_json_parse_object (text, strlen (text), NULL);
    g_autoptr (GError) error = NULL;
    VmPlugSpec spec;

    g_test_message ("%s", text);
    g_assert_false (vm_plug_spec_from_json (object, &spec, &error));
    g_assert_nonnull (error);
  }
}

/* Plans */

typedef struct {
  VmPlan *plan;
  json_object *devices;
  VmPlugFacts facts;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->plan = vm_plan_new ();
  f->plan->isolation = VM_ISOLATION_VM;
  f->plan->accel = g_strdup ("tcg");
  f->plan->home = g_strdup ("/home/ada");
  f->plan->project = g_strdup ("/home/ada/p");
  f->plan->runtime_dir = g_strdup ("/run/user/1/vmctl/abcd1234");
  f->plan->cpus = 2;
  f->plan->cpus_max = 8;
  f->plan->memory = GIB;
  f->plan->memory_max = 8 * GIB;
  f->devices = json_object_new_array ();
  f->facts = (VmPlugFacts){.plan = f->plan, .devices = f->devices, .host_cpus = 8, .host_memory = 8 * GIB};
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_plan_free (f->plan);
  json_object_put (f->devices);
}

static VmPlugPlan *
make (Fixture *f, const char *word, const char *id, GError **error)
{
  VmPlugPlan *plan;
  VmPlugSpec spec;

  g_assert_true (vm_plug_spec_parse_word (word, "/here", &spec, NULL));
  spec.id = g_strdup (id);
  if (spec.kind == VM_PLUG_USB) /* as whoever has looked for it says */
    spec.source = g_strdup ("/dev/bus/usb/001/002");
  plan = vm_plug_plan_make (&spec, &f->facts, error);
  vm_plug_spec_clear (&spec);
  return plan;
}

static void
refuse (Fixture *f, const char *word, const char *id, int code, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlugPlan) plan = make (f, word, id, &error);

  g_test_message ("%s", word);
  g_assert_null (plan);
  g_assert_error (error, VM_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

/* As if it had been plugged. */
static void
plug (Fixture *f, const char *word)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlugPlan) plan = make (f, word, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < json_object_array_length (f->devices); i++)
    if (g_str_equal (vm_json_str (json_object_array_get_idx (f->devices, i), "id", ""), plan->id))
      json_object_array_del_idx (f->devices, i--, 1);
  json_object_array_add (f->devices, json_object_get (plan->device));
}

static char *
acts_text (json_object *acts)
{
  GString *out = g_string_new (NULL);

  for (gsize i = 0; i < json_object_array_length (acts); i++) {
    g_autofree char *line = vm_plug_act_to_text (json_object_array_get_idx (acts, i));

    g_string_append_printf (out, "%s\n", line);
  }
  return g_string_free (out, FALSE);
}

static char *
steps_text (const VmPlugPlan *plan)
{
  g_autoptr (json_object) acts = json_object_new_array ();

  for (guint i = 0; i < plan->steps->len; i++)
    json_object_array_add (acts, json_object_get (((VmPlugStep *)g_ptr_array_index (plan->steps, i))->act));
  return acts_text (acts);
}

static void
expect (Fixture *f, const char *word, const char *steps, const char *unplug)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlugPlan) plan = make (f, word, NULL, &error);
  g_autofree char *text = NULL, *back = NULL;

  g_assert_no_error (error);
  text = steps_text (plan);
  back = acts_text (plan->unplug);
  g_assert_cmpstr (text, ==, steps);
  g_assert_cmpstr (back, ==, unplug);
}

static void
test_dir (Fixture *f, gconstpointer data)
{
  expect (f, "dir=/srv/a:/data:ro",
          "keeper  bind [\"/srv/a\",\"dir0\",\"ro\"]\nagent   bind [\"door/dir0\",\"/data\",\"ro\"]\n",
          "agent   unbind [\"/data\"]\nkeeper  unbind [\"dir0\"]\n");
  f->plan->isolation = VM_ISOLATION_NAMESPACE;
  expect (f, "dir=/srv/a", "keeper  enter [\"/srv/a\",\"dir0\",\"/srv/a\",\"rw\"]\n",
          "keeper  leave [\"dir0\"]\n");
}

static void
test_dir_bad (Fixture *f, gconstpointer data)
{
  static const char *const places[] = {"/",          "/home",        "/home/ada",  "/home/ada/p", "/run",
                                       "/run/vmctl", "/run/vmctl/x", "/proc/self", "/sys",        "/dev/shm"};

  for (guint i = 0; i < G_N_ELEMENTS (places); i++) {
    g_autofree char *word = g_strconcat ("dir=/srv/a:", places[i], NULL);

    refuse (f, word, NULL, VM_ERROR_USAGE, places[i]);
  }
  g_free (f->plan->project);
  f->plan->project = g_strdup ("/srv/p");
  refuse (f, "dir=/srv/a:/home/ada", NULL, VM_ERROR_USAGE, "the home");
  plug (f, "dir=/srv/a:/data/deep");
  refuse (f, "dir=/srv/b:/data", NULL, VM_ERROR_USAGE, "plugged before");
  refuse (f, "dir=/srv/b:/data/deep", NULL, VM_ERROR_USAGE, "plugged before");
  f->plan->isolation = VM_ISOLATION_NONE;
  refuse (f, "dir=/srv/a", NULL, VM_ERROR_UNSUPPORTED, "null driver");
}

static void
test_disk (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = make (f, "disk=4G", NULL, NULL);
  g_autofree char *steps = steps_text (plan), *back = acts_text (plan->unplug);

  g_assert_nonnull (strstr (steps, "here    make-disk {\"size\":4294967296}\n"
                                   "qmp     add-fd {\"opaque\":\"plug-disk0\",\"fdset-id\":16}\n"
                                   "qmp     blockdev-add "));
  g_assert_nonnull (strstr (steps, "\"driver\":\"qcow2\",\"node-name\":\"plug-disk0\""));
  g_assert_nonnull (strstr (steps, "\"backing\":null"));
  g_assert_nonnull (strstr (steps, "\"filename\":\"/dev/fdset/16\",\"locking\":\"on\""));
  g_assert_nonnull (strstr (steps, "\"driver\":\"virtio-blk-pci\",\"id\":\"plug-disk0\",\"bus\":\"port0\""));
  g_assert_true (g_str_has_suffix (steps, "agent   disk [\"disk0\"]\n"));
  g_assert_cmpstr (
      back, ==,
      "qmp     device_del {\"id\":\"plug-disk0\"}\nqmp     blockdev-del {\"node-name\":\"plug-disk0\"}\n"
      "qmp     remove-fd {\"fdset-id\":16}\n");
}

/* Ports and descriptors are counted; what was taken away makes room. */
static void
test_places (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 4; i++)
    plug (f, "disk=1G");
  refuse (f, "disk=1G", NULL, VM_ERROR_BUSY, "has 4");
  refuse (f, "disk=1G", NULL, VM_ERROR_BUSY, "--root-ports");
  json_object_array_del_idx (f->devices, 1, 1);
  plug (f, "disk=1G");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->devices, 3), "id", ""), ==, "disk1");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->devices, 3), "port", ""), ==, "port1");
  g_assert_cmpint (vm_json_int (json_object_array_get_idx (f->devices, 3), "fdset", 0), ==, 17);
  f->plan->root_ports = 5;
  plug (f, "disk=1G");
}

static void
test_ids (Fixture *f, gconstpointer data)
{
  plug (f, "dir=/srv/a");
  plug (f, "dir=/srv/b");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->devices, 1), "id", ""), ==, "dir1");
  refuse (f, "dir=/srv/c", "dir1", VM_ERROR_EXISTS, "'dir1'");
  refuse (f, "port=1:1", "dir0", VM_ERROR_EXISTS, "'dir0'");
  refuse (f, "cpu=1", "other", VM_ERROR_USAGE, "'cpu'");
}

static void
test_serial (Fixture *f, gconstpointer data)
{
  plug (f, "serial=log");
  g_assert_cmpstr (vm_json_str (json_object_array_get_idx (f->devices, 0), "socket", ""), ==,
                   "/run/user/1/vmctl/abcd1234/serial-log.sock");
  refuse (f, "serial=log", NULL, VM_ERROR_EXISTS, "'log'");
  for (guint i = 1; i < 6; i++) {
    g_autofree char *word = g_strdup_printf ("serial=s%u", i);

    plug (f, word);
  }
  refuse (f, "serial=more", NULL, VM_ERROR_BUSY, "6");
}

static void
test_cpu (Fixture *f, gconstpointer data)
{
  refuse (f, "cpu=9", NULL, VM_ERROR_USAGE, "8 of this host");
  f->plan->cpus_max = 4;
  refuse (f, "cpu=5", NULL, VM_ERROR_USAGE, "--cpus");
  expect (
      f, "cpu=3",
      "qmp     device_add {\"driver\":\"max-x86_64-cpu\",\"id\":\"plug-cpu2\",\"socket-id\":0,\"die-id\":0,"
      "\"core-id\":2,\"thread-id\":0}\nagent   cpus [\"3\"]\n",
      "agent   cpus [\"2\"]\n");
  plug (f, "cpu=3");
  expect (f, "cpu=1", "agent   cpus [\"1\"]\n", "agent   cpus [\"2\"]\n");
  f->plan->isolation = VM_ISOLATION_CONTAINER;
  expect (f, "cpu=1", "here    limit {\"memory\":0,\"cpus\":1}\n",
          "here    limit {\"memory\":0,\"cpus\":2}\n");
  f->plan->groups.kind = VM_GROUP_V1;
  f->plan->groups.is_roots = TRUE;
  expect (f, "cpu=1", "keeper  limit [\"0\",\"1\"]\n", "keeper  limit [\"0\",\"2\"]\n");
}

static void
test_mem (Fixture *f, gconstpointer data)
{
  refuse (f, "mem=9G", NULL, VM_ERROR_USAGE, "this host");
  refuse (f, "mem=64M", NULL, VM_ERROR_USAGE, "128M");
  refuse (f, "mem=1025M", NULL, VM_ERROR_USAGE, "128M");
  expect (f, "mem=512M",
          "here    limit {\"memory\":1073741824,\"cpus\":0}\nagent   balloon []\n"
          "qmp     balloon {\"value\":536870912}\n"
          "here    limit {\"memory\":1073741824,\"cpus\":0}\n",
          "qmp     balloon {\"value\":1073741824}\nhere    limit {\"memory\":1073741824,\"cpus\":0}\n");
  f->plan->memory_max = 2 * GIB;
  refuse (f, "mem=3G", NULL, VM_ERROR_USAGE, "--memory");
  f->plan->memory_max = 8 * GIB;
  plug (f, "mem=512M");
  expect (
      f, "mem=2G",
      "qmp     balloon {\"value\":1073741824}\nhere    limit {\"memory\":2147483648,\"cpus\":0}\n"
      "qmp     object-add {\"id\":\"plug-mem0\",\"qom-type\":\"memory-backend-ram\",\"size\":1073741824}\n"
      "qmp     device_add {\"id\":\"plug-dimm0\",\"driver\":\"pc-dimm\",\"memdev\":\"plug-mem0\"}\n"
      "agent   memory [\"2048\"]\n",
      "qmp     device_del {\"id\":\"plug-dimm0\"}\nqmp     object-del {\"id\":\"plug-mem0\"}\n"
      "here    limit {\"memory\":1073741824,\"cpus\":0}\n");
  plug (f, "mem=2G");
  expect (
      f, "mem=3G",
      "here    limit {\"memory\":3221225472,\"cpus\":0}\n"
      "qmp     object-add {\"id\":\"plug-mem1\",\"qom-type\":\"memory-backend-ram\",\"size\":1073741824}\n"
      "qmp     device_add {\"id\":\"plug-dimm1\",\"driver\":\"pc-dimm\",\"memdev\":\"plug-mem1\"}\n"
      "agent   memory [\"3072\"]\n",
      "qmp     device_del {\"id\":\"plug-dimm1\"}\nqmp     object-del {\"id\":\"plug-mem1\"}\n"
      "qmp     device_del {\"id\":\"plug-dimm0\"}\nqmp     object-del {\"id\":\"plug-mem0\"}\n"
      "here    limit {\"memory\":1073741824,\"cpus\":0}\n");
  refuse (f, "mem=1536M", NULL, VM_ERROR_USAGE, "1 GiB");
  expect (f, "mem=1G",
          "here    limit {\"memory\":2147483648,\"cpus\":0}\n"
          "qmp     device_del {\"id\":\"plug-dimm0\"}\nqmp     object-del {\"id\":\"plug-mem0\"}\n"
          "here    limit {\"memory\":1073741824,\"cpus\":0}\n",
          "here    limit {\"memory\":1073741824,\"cpus\":0}\n");
}

static void
test_elsewhere (Fixture *f, gconstpointer data)
{
  f->plan->isolation = VM_ISOLATION_NAMESPACE;
  refuse (f, "disk=1G", NULL, VM_ERROR_UNSUPPORTED, "namespaces");
  expect (f, "serial=a",
          "here    line [\"a\"]\nkeeper  enter "
          "[\"/run/user/1/vmctl/abcd1234/line-a\",\"serial0\",\"/run/vmctl/serial/a\","
          "\"ro\"]\n",
          "keeper  leave [\"serial0\"]\nhere    unline [\"a\"]\n");
  f->plan->isolation = VM_ISOLATION_CONTAINER;
  expect (f, "usb=1.2",
          "here    open-usb [\"/dev/bus/usb/001/002\"]\nkeeper  device "
          "[\"/dev/bus/usb/001/002\",\"usb0\",\"/dev/bus/usb/001/002\"]\n",
          "keeper  leave [\"usb0\"]\n");
  plug (f, "usb=1.2");
  refuse (f, "usb=1.2", NULL, VM_ERROR_EXISTS, "1.2");
  expect (
      f, "port=8080:80",
      "here    forward {\"id\":\"port0\",\"address\":\"127.0.0.1\",\"host-port\":8080,\"guest-port\":80}\n",
      "here    unforward [\"port0\"]\n");
  f->plan->isolation = VM_ISOLATION_NONE;
  refuse (f, "mem=1G", NULL, VM_ERROR_UNSUPPORTED, "limits");
  refuse (f, "serial=a", NULL, VM_ERROR_UNSUPPORTED, "null driver");
  refuse (f, "usb=1.1", NULL, VM_ERROR_UNSUPPORTED, "null driver");
}

static void
test_usb (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = make (f, "usb=1.2", NULL, NULL);
  g_autofree char *steps = steps_text (plan);

  g_assert_nonnull (strstr (steps, "open-usb [\"/dev/bus/usb/001/002\"]\nqmp     add-fd"));
  g_assert_nonnull (strstr (steps, "{\"driver\":\"qemu-xhci\",\"id\":\"plug-usb0-hc\",\"bus\":\"port0\"}"));
  g_assert_nonnull (strstr (steps, "\"bus\":\"plug-usb0-hc.0\",\"hostdevice\":\"/dev/fdset/16\""));
  g_assert_true (vm_json_bool (json_object_array_get_idx (plan->unplug, 1), "repeats", FALSE));
}

/* What a plan undoes, it undoes from behind; what may fail is not kept for the unplug. */
static void
test_undo (Fixture *f, gconstpointer data)
{
  g_autoptr (VmPlugPlan) plan = make (f, "serial=a", NULL, NULL);
  g_autofree char *back = acts_text (plan->unplug);

  g_assert_cmpstr (back, ==,
                   "agent   unport [\"a\"]\nqmp     device_del {\"id\":\"plug-serial0\"}\n"
                   "qmp     chardev-remove {\"id\":\"plug-serial0\"}\nhere    unlink [\"serial-a.sock\"]\n");
}

/* Looking at files */

static void
test_check_dir (Fixture *f, gconstpointer data)
{
  VmDirs dirs = {.runtime = (char *)"/run/user/1/vmctl",
                 .state = (char *)"/home/ada/.local/state/vmctl",
                 .cache = (char *)"/home/ada/.cache/vmctl",
                 .config = (char *)"/home/ada/.config/vmctl"};
  static const char *const bad[] = {"/",
                                    "/home",
                                    "/home/ada",
                                    "/run",
                                    "/run/user/1/vmctl/x",
                                    "/home/ada/.local",
                                    "/home/ada/.cache/vmctl",
                                    "/home/ada/.config"};
  static const char *const fine[] = {"/srv", "/home/ada/p", "/home/ada/.cache/other", "/home/adam", "/usr"};

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (vm_plug_check_dir (f->plan, &dirs, bad[i], &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  }
  for (guint i = 0; i < G_N_ELEMENTS (fine); i++)
    g_assert_true (vm_plug_check_dir (f->plan, &dirs, fine[i], NULL));
}

static void
check_disk (const guint8 *head, const char *wanted, const char *file, const char *format)
{
  g_autoptr (GError) error = NULL;
  const char *got = NULL;
  gboolean ok = vm_plug_check_disk (head, VM_PLUG_HEAD, wanted, file, &got, &error);

  g_test_message ("%s %s", file, wanted);
  g_assert_true (ok == (format != NULL));
  if (ok)
    g_assert_cmpstr (got, ==, format);
  else
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

static void
test_check_disk (void)
{
  guint8 raw[VM_PLUG_HEAD] = {0}, qcow2[VM_PLUG_HEAD] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3},
         vmdk[VM_PLUG_HEAD] = "KDMV";

  check_disk (raw, NULL, "/a.img", "raw");
  check_disk (raw, "raw", "/a.img", "raw");
  check_disk (raw, "qcow2", "/a.img", NULL);
  check_disk (raw, NULL, "/a.qcow2", NULL);
  check_disk (qcow2, NULL, "/a.img", NULL); /* a guest may have written that */
  check_disk (qcow2, "raw", "/a.img", "raw");
  check_disk (qcow2, "qcow2", "/a.img", "qcow2");
  check_disk (qcow2, NULL, "/a.qcow2", "qcow2");
  check_disk (vmdk, NULL, "/a", NULL);
  check_disk (vmdk, "raw", "/a", "raw");
  qcow2[15] = 1; /* a backing file */
  check_disk (qcow2, "qcow2", "/a", NULL);
  qcow2[15] = 0;
  qcow2[79] = 4; /* a data file */
  check_disk (qcow2, "qcow2", "/a", NULL);
  qcow2[79] = 0;
  qcow2[7] = 9;
  check_disk (qcow2, "qcow2", "/a", NULL);
}

#define ADD(name, function) g_test_add ("/vmctl/plug/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/plug/parse", test_parse);
  g_test_add_func ("/vmctl/plug/parse-bad", test_parse_bad);
  g_test_add_func ("/vmctl/plug/text", test_text);
  g_test_add_func ("/vmctl/plug/json-bad", test_json_bad);
  g_test_add_func ("/vmctl/plug/check-disk", test_check_disk);
  ADD ("check-dir", test_check_dir);
  ADD ("dir", test_dir);
  ADD ("dir-bad", test_dir_bad);
  ADD ("disk", test_disk);
  ADD ("places", test_places);
  ADD ("ids", test_ids);
  ADD ("serial", test_serial);
  ADD ("cpu", test_cpu);
  ADD ("mem", test_mem);
  ADD ("usb", test_usb);
  ADD ("elsewhere", test_elsewhere);
  ADD ("undo", test_undo);
  return g_test_run ();
}
