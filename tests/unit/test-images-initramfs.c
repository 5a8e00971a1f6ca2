/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Building: the initramfs, its helper program, and what happens when building goes wrong. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images/boot.h"
#include "tests/unit/image-fixture.h"
#include "vmctl/base/argv.h"
#include "vmctl/base/error.h"
#include "vmctl/base/fd.h"

static const char *
helper (void)
{
  const char *path = g_getenv ("VMCTL_IMAGE");

  g_assert_nonnull (path);
  return path;
}

/* A host with a kernel and some modules, an agent, and a place for results. */
typedef struct {
  ImageKernel kernel;
  char *agent, *cache, *vmlinux, *initramfs;
  guint steps; /* progress calls that began a vmlinux */
} Host;

static void
host_clear (Host *h)
{
  image_kernel_clear (&h->kernel);
  g_free (h->agent);
  g_free (h->cache);
  g_free (h->vmlinux);
  g_free (h->initramfs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Host, host_clear)

static void
locate (Host *h)
{
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&h->vmlinux, g_free);
  g_clear_pointer (&h->initramfs, g_free);
  (void)image_boot_locate (h->cache, &h->kernel, h->agent, &h->vmlinux, &h->initramfs, &error);
  g_assert_no_error (error);
}

/* One module as it is, and one through each tool that is installed. */
static char **
make_modules (Fixture *f, const GByteArray *module)
{
  static const struct {
    const char *name, *words[4];
  } packed[] = {{"m/b-two.ko.gz", {"gzip", "-c"}},
                {"m/c_three.ko.xz", {"xz", "-c"}},
                {"m/d.ko.zst", {"zstd", "-q", "-c"}}};
  g_autoptr (GPtrArray) files = g_ptr_array_new ();

  g_ptr_array_add (files, fixture_write (f, "m/z-first.ko", module->data, module->len));
  for (guint i = 0; i < G_N_ELEMENTS (packed); i++) {
    g_autoptr (GByteArray) bytes = fixture_compress (f, packed[i].words, module->data, module->len);

    if (bytes != NULL)
      g_ptr_array_add (files, fixture_write (f, packed[i].name, bytes->data, bytes->len));
  }
  g_ptr_array_add (files, NULL);
  return (char **)g_ptr_array_steal (files, NULL);
}

static void
host_init (Host *h, Fixture *f)
{
  g_autoptr (GByteArray) agent = fixture_program (TRUE), module = fixture_module (70000);
  g_autoptr (GByteArray) vmlinux = fixture_vmlinux (4 << 20, TRUE);

  *h = (Host){.agent = fixture_write (f, "agent", agent->data, agent->len),
              .cache = fixture_path (f, "cache"),
              .kernel = {.version = g_strdup ("6.1.0-1"),
                         .path = fixture_write (f, "vmlinux", vmlinux->data, vmlinux->len),
                         .modules_dir = fixture_path (f, "m"),
                         .modules = make_modules (f, module)}};
  locate (h);
}

static void
count_steps (const char *what, int percent, gpointer data)
{
  Host *h = data;

  if (strcmp (what, "unpacking the kernel") == 0 && percent == 0)
    g_atomic_int_inc (&h->steps);
}

static gboolean
build (Host *h, GError **error)
{
  return image_boot_build (helper (), h->cache, &h->kernel, h->agent, h->vmlinux, h->initramfs, count_steps,
                           h, error);
}

static void
assert_no_parts (Host *h)
{
  g_autofree char *kernels = g_build_filename (h->cache, "kernels", NULL);
  g_autofree char *initramfs = g_build_filename (h->cache, "initramfs", NULL);

  g_assert_cmpuint (fixture_count (kernels, ".part-"), ==, 0);
  g_assert_cmpuint (fixture_count (initramfs, ".part-"), ==, 0);
}

static void
build_well (Host *h)
{
  g_autoptr (GError) error = NULL;

  (void)build (h, &error);
  g_assert_no_error (error);
  g_assert_true (image_boot_ready (h->vmlinux, h->initramfs));
  assert_no_parts (h);
}

static void
build_badly (Host *h, const char *word, const char *other_word)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (build (h, &error));
  fixture_assert_error (&error, word, other_word, NULL);
  g_assert_false (image_boot_ready (h->vmlinux, h->initramfs));
  g_assert_false (g_file_test (h->initramfs, G_FILE_TEST_EXISTS));
  assert_no_parts (h);
}

typedef struct {
  const char *name;
  guint mode;
  dev_t device;
  const GByteArray *content;
} Expected;

static void
assert_entry (struct archive *a, struct archive_entry *entry, const Expected *expected)
{
  g_autofree guint8 *data = g_malloc (1 << 20);
  gsize length = expected->content != NULL ? expected->content->len : 0;

  g_assert_cmpstr (archive_entry_pathname (entry), ==, expected->name);
  g_assert_cmpuint (archive_entry_mode (entry), ==, expected->mode);
  g_assert_cmpint (archive_entry_uid (entry), ==, 0);
  g_assert_cmpint (archive_entry_gid (entry), ==, 0);
  g_assert_cmpint (archive_entry_mtime (entry), ==, 0);
  if (S_ISCHR (expected->mode))
    g_assert_cmpuint (archive_entry_rdev (entry), ==, expected->device);
  g_assert_cmpint (archive_read_data (a, data, 1 << 20), ==, (gint64)length);
  if (length > 0)
    g_assert_cmpmem (data, length, expected->content->data, length);
}

static void
test_content (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) agent = fixture_program (TRUE), module = fixture_module (70000);
  struct archive *a = archive_read_new ();
  struct archive_entry *entry;
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  build_well (&h);
  Expected expected[] = {{"dev", S_IFDIR | 0755, 0, NULL},
                         {"proc", S_IFDIR | 0755, 0, NULL},
                         {"sys", S_IFDIR | 0755, 0, NULL},
                         {"modules", S_IFDIR | 0755, 0, NULL},
                         {"lower", S_IFDIR | 0755, 0, NULL},
                         {"newroot", S_IFDIR | 0755, 0, NULL},
                         {"scratch", S_IFDIR | 0755, 0, NULL},
                         {"dev/console", S_IFCHR | 0600, makedev (5, 1), NULL},
                         {"dev/null", S_IFCHR | 0666, makedev (1, 3), NULL},
                         {"init", S_IFREG | 0755, 0, agent},
                         {"modules/01-z_first.ko", S_IFREG | 0644, 0, module},
                         {"modules/02-b_two.ko", S_IFREG | 0644, 0, module},
                         {"modules/03-c_three.ko", S_IFREG | 0644, 0, module},
                         {"modules/04-d.ko", S_IFREG | 0644, 0, module}};

  g_assert_cmpint (archive_read_support_format_cpio (a), ==, ARCHIVE_OK);
  g_assert_cmpint (archive_read_open_filename (a, h.initramfs, 65536), ==, ARCHIVE_OK);
  for (guint i = 0; i < 10 + g_strv_length (h.kernel.modules); i++) {
    g_assert_cmpint (archive_read_next_header (a, &entry), ==, ARCHIVE_OK);
    assert_entry (a, entry, &expected[i]);
  }
  g_assert_cmpint (archive_read_next_header (a, &entry), ==, ARCHIVE_EOF);
  g_assert_cmpint (archive_format (a), ==, ARCHIVE_FORMAT_CPIO_SVR4_NOCRC);
  (void)archive_read_free (a);
}

static void
test_reproducible (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) first = NULL, second = NULL;
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  build_well (&h);
  first = fixture_read (h.initramfs);
  g_assert_cmpint (g_unlink (h.initramfs), ==, 0);
  build_well (&h);
  second = fixture_read (h.initramfs);
  g_assert_cmpmem (first->data, first->len, second->data, second->len);
}

static void
test_refuses (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) dynamic = fixture_program (FALSE), zeros = g_byte_array_new (), packed = NULL;
  static const char *const gzip[] = {"gzip", "-c", NULL};
  g_autofree char *first = NULL, *agent = NULL;
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  first = g_strdup (h.kernel.modules[0]);
  g_free (fixture_write_text (f, "m/z-first.ko", "no module"));
  locate (&h);
  build_badly (&h, first, "not an ELF file");
  g_byte_array_set_size (zeros, (64 << 20) + 1);
  memset (zeros->data, 0, zeros->len);
  packed = fixture_compress (f, gzip, zeros->data, zeros->len);
  if (packed != NULL) {
    g_free (fixture_write (f, "m/z-first.ko", packed->data, packed->len));
    locate (&h);
    build_badly (&h, first, "more than 64 MiB");
  }
  agent = fixture_write (f, "agent", dynamic->data, dynamic->len);
  locate (&h);
  build_badly (&h, agent, "not statically linked");
}

/* Cut off in the middle: the header of the module would be good. */
static void
test_cut_modules (Fixture *f, gconstpointer unused)
{
  static const char *const suffixes[] = {"b-two.ko.gz", "c_three.ko.xz", "d.ko.zst", NULL};
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  for (guint i = 1; h.kernel.modules[i] != NULL; i++) {
    g_autoptr (GByteArray) whole = fixture_read (h.kernel.modules[i]);
    g_autofree char *name = g_path_get_basename (h.kernel.modules[i]);
    g_autofree char *relative = g_build_filename ("m", name, NULL);

    g_assert_true (g_strv_contains (suffixes, name));
    g_free (fixture_write (f, relative, whole->data, whole->len - whole->len / 4));
    locate (&h);
    build_badly (&h, h.kernel.modules[i], "damaged or cut off");
    g_free (fixture_write (f, relative, whole->data, whole->len));
  }
}

/* They go while somebody builds. */
static void
test_vanished_input (Fixture *f, gconstpointer unused)
{
  g_auto (Host) h = {.steps = 0};
  g_autoptr (GError) error = NULL;
  char *vmlinux = NULL, *initramfs = NULL;

  host_init (&h, f);
  g_assert_cmpint (g_unlink (h.agent), ==, 0);
  build_badly (&h, h.agent, "No such file");
  g_assert_false (image_boot_locate (h.cache, &h.kernel, h.agent, &vmlinux, &initramfs, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_NOT_FOUND);
  g_assert_null (vmlinux);
}

/* The result would have the name of other content. */
static void
test_changed_input (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) other = fixture_program (TRUE);
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  g_byte_array_append (other, (const guint8 *)"more", 4);
  g_free (fixture_write (f, "agent", other->data, other->len));
  build_badly (&h, "changed while", "6.1.0-1");
}

static void
test_missing_helper (Fixture *f, gconstpointer unused)
{
  g_auto (Host) h = {.steps = 0};
  g_autoptr (GError) error = NULL;

  host_init (&h, f);
  g_assert_false (image_boot_build ("/nonexistent/vmctl-image", h.cache, &h.kernel, h.agent, h.vmlinux,
                                    h.initramfs, NULL, NULL, &error));
  fixture_assert_error (&error, "/nonexistent/vmctl-image", "No such file", NULL);
  assert_no_parts (&h);
}

static void
test_keys (Fixture *f, gconstpointer unused)
{
  g_autoptr (GByteArray) other = fixture_program (TRUE);
  g_autofree char *vmlinux = NULL, *initramfs = NULL;
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  vmlinux = g_strdup (h.vmlinux);
  initramfs = g_strdup (h.initramfs);
  locate (&h);
  g_assert_cmpstr (h.vmlinux, ==, vmlinux);
  g_assert_cmpstr (h.initramfs, ==, initramfs);
  g_byte_array_append (other, (const guint8 *)"more", 4);
  g_free (fixture_write (f, "agent", other->data, other->len));
  locate (&h);
  g_assert_cmpstr (h.vmlinux, ==, vmlinux);
  g_assert_cmpstr (h.initramfs, !=, initramfs);
  g_clear_pointer (&initramfs, g_free);
  initramfs = g_strdup (h.initramfs);
  /* Another order of loading is another initramfs. */
  char *swap = h.kernel.modules[0];
  h.kernel.modules[0] = h.kernel.modules[1];
  h.kernel.modules[1] = swap;
  locate (&h);
  g_assert_cmpstr (h.initramfs, !=, initramfs);
}

/* A remembered hash is used, whatever it is: so nothing was read. A damaged index does no harm. */
static void
test_index (Fixture *f, gconstpointer unused)
{
  g_auto (Host) h = {.steps = 0};
  g_autofree char *path = NULL, *vmlinux = NULL;
  g_autoptr (GByteArray) text = NULL;
  g_autoptr (GError) error = NULL;
  char *digit;

  host_init (&h, f);
  image_kernel_clear (&h.kernel);
  if (!image_kernel_find ("", NULL, &h.kernel, &error)) { /* files that have not changed just now */
    g_test_skip (error->message);
    return;
  }
  g_free (h.cache); /* without what the first look at made-up files left */
  h.cache = fixture_path (f, "other");
  locate (&h);
  vmlinux = g_strdup (h.vmlinux);
  path = g_build_filename (h.cache, "index", NULL);
  text = fixture_read (path);
  digit = memchr (text->data, '\n', text->len);
  g_assert_nonnull (digit);
  digit--; /* the last digit of the kernel's hash */
  *digit = *digit == '0' ? '1' : '0';
  g_free (fixture_write (f, "other/index", text->data, text->len));
  locate (&h);
  g_assert_cmpstr (h.vmlinux, !=, vmlinux);
  g_free (fixture_write_text (f, "other/index", "what\n\n1:2:3 4\n \xff"));
  locate (&h);
  g_assert_cmpstr (h.vmlinux, ==, vmlinux);
}

static gpointer
build_in_thread (gpointer data)
{
  build_well (data);
  return NULL;
}

static void
test_concurrent (Fixture *f, gconstpointer unused)
{
  g_auto (Host) h = {.steps = 0};
  GThread *threads[3];

  host_init (&h, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("builder", build_in_thread, &h);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (h.steps, ==, 1);
}

/* A pipe that takes no more: the helper stops at its first word, with its output open. */
static int
full_pipe (int *ret_read)
{
  int fds[2];
  g_autofree char *again = NULL;
  vm_autofd filler = -1;

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  again = g_strdup_printf ("/proc/self/fd/%d", fds[1]);
  filler = open (again, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* so that the child's end still blocks */
  g_assert_cmpint (filler, >=, 0);
  while (write (filler, "x", 1) == 1)
    ;
  g_assert_cmpint (errno, ==, EAGAIN);
  *ret_read = fds[0];
  return fds[1];
}

static void
wait_for_part (int inotify_fd)
{
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  const struct inotify_event *event = (const struct inotify_event *)buffer;

  g_assert_cmpint (read (inotify_fd, buffer, sizeof buffer), >, 0);
  g_assert_true (g_str_has_prefix (event->name, ".part-"));
}

static void
test_killed_helper (Fixture *f, gconstpointer unused)
{
  g_autofree char *kernels = fixture_mkdir (f, "cache/kernels");
  g_autoptr (VmArgv) argv = vm_argv_new ();
  vm_autofd watch = inotify_init1 (IN_CLOEXEC), out_read = -1, pidfd = -1;
  g_autoptr (GError) error = NULL;
  g_auto (Host) h = {.steps = 0};
  pid_t pid;
  int status;

  host_init (&h, f);
  g_assert_cmpint (inotify_add_watch (watch, kernels, IN_CREATE), >=, 0);
  vm_argv_add_many (argv, helper (), "kernel", h.kernel.path, h.vmlinux, NULL);
  vm_argv_bind_stdio (argv, 1, full_pipe (&out_read));
  (void)vm_argv_spawn (argv, 0, &pid, &pidfd, &error);
  g_assert_no_error (error);
  wait_for_part (watch);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpuint (fixture_count (kernels, ".part-"), ==, 1);
  g_assert_false (g_file_test (h.vmlinux, G_FILE_TEST_EXISTS));
  build_well (&h); /* sweeps it */
}

static void
test_disk_full (Fixture *f, gconstpointer unused)
{
  struct rlimit old, low;
  g_auto (Host) h = {.steps = 0};

  host_init (&h, f);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  low = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = old.rlim_max};
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &low), ==, 0);
  build_badly (&h, h.vmlinux, "File too large");
  low.rlim_cur = 200000; /* the kernel is there now, and the initramfs does not fit */
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  build_well (&h);
  g_assert_cmpint (g_unlink (h.initramfs), ==, 0);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &low), ==, 0);
  build_badly (&h, h.initramfs, "File too large");
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  build_well (&h);
}

static void
assert_usage (const char *first, ...)
{
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  const char *word;
  va_list ap;

  vm_argv_add (argv, helper ());
  va_start (ap, first);
  for (word = first; word != NULL; word = va_arg (ap, const char *))
    vm_argv_add (argv, word);
  va_end (ap);
  g_assert_false (vm_argv_run (argv, NULL, &error));
  fixture_assert_error (&error, "status 2", "usage: vmctl-image", NULL);
}

static void
test_usage (void)
{
  assert_usage (NULL);
  assert_usage ("what", NULL);
  assert_usage ("kernel", "one", NULL);
  assert_usage ("kernel", "one", "two", "three", NULL);
  assert_usage ("initramfs", NULL);
  assert_usage ("initramfs", "out", NULL);
  assert_usage ("initramfs", "out", "--agent", NULL);
  assert_usage ("initramfs", "out", "--module", "m", NULL);
  assert_usage ("initramfs", "out", "--agent", "a", "--other", "b", NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  fixture_test ("/images/initramfs/content", test_content);
  fixture_test ("/images/initramfs/reproducible", test_reproducible);
  fixture_test ("/images/initramfs/refuses", test_refuses);
  fixture_test ("/images/initramfs/refuses-cut-modules", test_cut_modules);
  fixture_test ("/images/build/vanished-input", test_vanished_input);
  fixture_test ("/images/build/changed-input", test_changed_input);
  fixture_test ("/images/build/missing-helper", test_missing_helper);
  fixture_test ("/images/build/concurrent-builds-once", test_concurrent);
  fixture_test ("/images/build/killed-helper-leaves-nothing-half", test_killed_helper);
  fixture_test ("/images/build/disk-full", test_disk_full);
  fixture_test ("/images/locate/keys-follow-content", test_keys);
  fixture_test ("/images/locate/index", test_index);
  g_test_add_func ("/images/helper/usage", test_usage);
  return g_test_run ();
}
