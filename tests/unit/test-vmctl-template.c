/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key of a template: whatever QEMU does not check itself, or a plan may differ in, gives another one, and
 * nothing else does. */
#include <string.h>

#include "vmctl/base/json.h"
#include "vmctl/drivers/qemu-argv.h"
#include "vmctl/plan.h"

/* The host, the plan, and the key. */
typedef struct {
  VmHost host;
  VmPlan plan;
} Case;

static Case
base_case (void)
{
  return (Case){.host = {.qemu_id = (char *)"q1",
                         .qemu_version = (char *)"7.2.22",
                         .firmware_id = (char *)"f1",
                         .vmlinux = (char *)"/c/kernels/6.1-aa.vmlinux",
                         .initramfs = (char *)"/c/initramfs/6.1-bb.cpio",
                         .cpu_id = (char *)"c1"},
                .plan = {.id = (char *)"ab12cd34",
                         .qemu = (char *)"/usr/bin/qemu-system-x86_64",
                         .accel = (char *)"tcg",
                         .memory = G_GUINT64_CONSTANT (1) << 30,
                         .cpus = 1,
                         .root_ports = 4,
                         .disk = G_GUINT64_CONSTANT (16) << 30,
                         .disk_base = (char *)"/c/disks/ext4-16.qcow2",
                         .net = VM_NET_PUBLIC,
                         .mac = (char *)"52:54:00:00:00:01"}};
}

static char *
key_of (const Case *c)
{
  g_auto (GStrv) inputs = vm_qemu_template_inputs (&c->host);

  return vm_qemu_template_key (&c->plan, (const char *const *)inputs);
}

static void
qemu_content (Case *c)
{
  c->host.qemu_id = (char *)"q2";
}

static void
qemu_path (Case *c)
{
  c->plan.qemu = (char *)"/opt/qemu";
}

static void
qemu_version (Case *c)
{
  c->host.qemu_version = (char *)"7.2.23";
}

static void
firmware (Case *c)
{
  c->host.firmware_id = (char *)"f2";
}

static void
no_firmware (Case *c)
{
  c->host.firmware_id = NULL;
}

static void
vmlinux (Case *c)
{
  c->host.vmlinux = (char *)"/c/kernels/6.1-ab.vmlinux";
}

static void
initramfs (Case *c)
{
  c->host.initramfs = (char *)"/c/initramfs/6.1-bc.cpio";
}

static void
processor (Case *c)
{
  c->host.cpu_id = (char *)"c2";
}

static void
accelerator (Case *c)
{
  c->plan.accel = (char *)"kvm";
}

static void
memory (Case *c)
{
  c->plan.memory *= 2;
}

static void
processors (Case *c)
{
  c->plan.cpus = 2;
}

static void
disk (Case *c)
{
  c->plan.disk_base = (char *)"/c/disks/ext4-17.qcow2";
}

static const struct {
  const char *name;
  void (*change) (Case *);
} others[] = {
    {"qemu", qemu_content},   {"qemu's path", qemu_path},   {"qemu's version", qemu_version},
    {"firmware", firmware},   {"no firmware", no_firmware}, {"vmlinux", vmlinux},
    {"initramfs", initramfs}, {"processor", processor},     {"accelerator", accelerator},
    {"memory", memory},       {"processors", processors},   {"disk", disk},
};

static void
test_changes (void)
{
  g_autoptr (GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Case base = base_case ();

  g_hash_table_add (keys, key_of (&base));
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    Case c = base_case ();

    others[i].change (&c);
    if (!g_hash_table_add (keys, key_of (&c)))
      g_error ("the same key though %s changed", others[i].name);
  }
}

/* Every word of the machine counts, whatever it is. */
static void
test_words (void)
{
  Case c = base_case ();
  g_autoptr (VmArgv) argv = vm_argv_new ();
  const char *const *words;
  gboolean has_line = FALSE;

  vm_qemu_argv (&c.plan, VM_QEMU_BUILD, argv);
  words = vm_argv_words (argv);
  g_assert_true (g_strv_contains (words, "q35,memory-backend=ram"));
  g_assert_true (g_strv_contains (words, "max,la57=off"));
  for (; *words != NULL; words++)
    has_line = has_line || strstr (*words, "vmctl-template") != NULL;
  g_assert_true (has_line);
}

/* What is a sandbox's own must not need a template of its own, nor be in one. */
static void
test_same (void)
{
  Case base = base_case (), other = base_case ();
  g_autofree char *a = key_of (&base), *b = NULL;
  g_autoptr (VmArgv) argv = vm_argv_new ();

  other.plan.id = (char *)"zz99zz99";
  other.plan.mac = (char *)"52:54:00:00:00:02";
  other.plan.net = VM_NET_NONE;
  other.plan.project = (char *)"/home/ada/secret";
  other.plan.disk = 0;
  b = key_of (&other);
  g_assert_cmpstr (a, ==, b);
  g_assert_cmpuint (strlen (a), ==, 32);
  vm_qemu_argv (&other.plan, VM_QEMU_BUILD, argv);
  for (const char *const *word = vm_argv_words (argv); *word != NULL; word++) {
    g_assert_null (strstr (*word, "zz99zz99"));
    g_assert_null (strstr (*word, "52:54"));
    g_assert_null (strstr (*word, "secret"));
  }
}

/* A machine that goes on has the very devices that the saved one had. */
static void
test_same_devices (void)
{
  Case c = base_case ();
  g_autoptr (VmArgv) build = vm_argv_new (), clone = vm_argv_new ();
  g_autoptr (GPtrArray) a = g_ptr_array_new (), b = g_ptr_array_new ();

  c.plan.net = VM_NET_NONE;
  c.plan.mac = NULL;
  vm_qemu_argv (&c.plan, VM_QEMU_BUILD, build);
  vm_qemu_argv (&c.plan, VM_QEMU_CLONE, clone);
  for (const char *const *word = vm_argv_words (build); *word != NULL; word++)
    if (g_str_equal (*word, "-device"))
      g_ptr_array_add (a, (gpointer)word[1]);
  for (const char *const *word = vm_argv_words (clone); *word != NULL; word++)
    if (g_str_equal (*word, "-device"))
      g_ptr_array_add (b, (gpointer)word[1]);
  g_assert_cmpuint (a->len, ==, b->len);
  g_assert_cmpuint (a->len, >, 8);
  for (guint i = 0; i < a->len; i++)
    g_assert_cmpstr (g_ptr_array_index (a, i), ==, g_ptr_array_index (b, i));
}

/* Of an image: which one, which root of it, and which init. Its name does not matter. */
static void
test_image (void)
{
  const VmImage base = {.name = (char *)"debian",
                        .dir = (char *)"/d/sha256-01",
                        .filesystem = (char *)"ext4",
                        .init = (char *)"/lib/systemd/systemd",
                        .partition = 1,
                        .size = 1 << 30};
  VmImage images[] = {base, base, base, base, base, base};
  g_autoptr (GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Case c = base_case ();

  images[1].dir = (char *)"/d/sha256-02";
  images[2].filesystem = (char *)"ext3";
  images[3].init = (char *)"/sbin/init";
  images[4].init = NULL;
  images[5].partition = 2;
  g_hash_table_add (keys, key_of (&c));
  for (gsize i = 0; i < G_N_ELEMENTS (images); i++) {
    c.host.image = c.plan.image = images[i];
    c.plan.disk_base = g_build_filename (images[i].dir, "disk.qcow2", NULL);
    g_assert_true (g_hash_table_add (keys, key_of (&c)));
    g_free (c.plan.disk_base);
  }
  c.host.image = c.plan.image = base;
  c.host.image.name = c.plan.image.name = (char *)"other";
  c.plan.disk_base = (char *)"/d/sha256-01/disk.qcow2";
  g_assert_false (g_hash_table_add (keys, key_of (&c)));
}

static void
test_image_words (void)
{
  VmImage image = {0};
  Case c = base_case ();
  g_autofree char *build = NULL, *cold = NULL;

  g_assert_true (vm_qemu_image_has_template (&image));
  image = (VmImage){.name = (char *)"x", .filesystem = (char *)"ext4", .init = (char *)"/sbin/init"};
  g_assert_true (vm_qemu_image_has_template (&image));
  c.plan.image = image;
  build = vm_qemu_kernel_command_line (&c.plan, VM_QEMU_BUILD);
  cold = vm_qemu_kernel_command_line (&c.plan, VM_QEMU_COLD);
  g_assert_true (g_str_has_suffix (build, " vmctl-template vmctl_root=0,ext4,/sbin/init"));
  g_assert_true (g_str_has_suffix (cold, " vmctl-image"));
  image.init = (char *)"/sbin/init root=/dev/vdb"; /* the image says so, and may say anything */
  g_assert_false (vm_qemu_image_has_template (&image));
  image.init = NULL;
  image.keep = (char *)"/d/disks/x";
  g_assert_false (vm_qemu_image_has_template (&image));
}

/* The host's own systemd: the agent is told of no root, and another state of the host is another template. */
static void
test_host_systemd (void)
{
  VmImage image = {.name = (char *)"host-systemd",
                   .dir = (char *)"/d/sha256-01",
                   .init = (char *)"/usr/lib/systemd/systemd",
                   .host_state = (char *)"one"};
  Case c = base_case ();
  g_autofree char *build = NULL, *first = NULL, *second = NULL, *plain = key_of (&c);

  g_assert_true (vm_qemu_image_has_template (&image));
  c.plan.image = c.host.image = image;
  build = vm_qemu_kernel_command_line (&c.plan, VM_QEMU_BUILD);
  g_assert_true (g_str_has_suffix (build, " vmctl-template vmctl_root=host,/usr/lib/systemd/systemd"));
  first = key_of (&c);
  c.host.image.host_state = (char *)"two";
  second = key_of (&c);
  g_assert_cmpstr (first, !=, second);
  g_assert_cmpstr (first, !=, plain);
  image.init = (char *)"/sbin/init,more words";
  g_assert_false (vm_qemu_image_has_template (&image));
  image.init = NULL;
  g_assert_false (vm_qemu_image_has_template (&image));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/template/image", test_image);
  g_test_add_func ("/vmctl/template/image-words", test_image_words);
  g_test_add_func ("/vmctl/template/host-systemd", test_host_systemd);
  g_test_add_func ("/vmctl/template/key-changes", test_changes);
  g_test_add_func ("/vmctl/template/key-words", test_words);
  g_test_add_func ("/vmctl/template/key-same", test_same);
  g_test_add_func ("/vmctl/template/same-devices", test_same_devices);
  return g_test_run ();
}
