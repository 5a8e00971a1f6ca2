/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the golden plans do not show: paths, refusals in number, broken JSON, the text for people, and the
 * time. */
#include <string.h>
#include <time.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/grant.h"
#include "vmctl/path.h"
#include "vmctl/plan.h"

static const char host_text[] =
    "{\"user\":\"ada\",\"group\":\"ada\",\"uid\":1000,\"gid\":1000,\"home\":\"/home/ada\",\"shell\":\"/bin/"
    "bash\","
    "\"hostname\":\"engine\",\"cwd\":\"/\",\"memory\":8589934592,\"cpus\":8,\"kvm\":true,\"qemu\":\"/usr/bin/"
    "q\","
    "\"bwrap\":\"/usr/bin/bwrap\",\"keeper\":\"/k\",\"agent\":\"/a\",\"kernel\":\"/boot/v\",\"vmlinux\":\"/c/"
    "v\","
    "\"initramfs\":\"/c/i\",\"disk-base\":\"/c/d\",\"runtime-dir\":\"/run/user/1000/vmctl\","
    "\"state-dir\":\"/home/ada/.local/state/vmctl\",\"cache-dir\":\"/home/ada/.cache/vmctl\","
    "\"data-dir\":\"/home/ada/.local/share/vmctl\",\"config-dir\":\"/home/ada/.config/vmctl\","
    "\"root\":[{\"path\":\"/usr\",\"dir\":true},{\"path\":\"/bin\",\"link\":\"usr/bin\",\"dir\":true}],"
    "\"environment\":[\"PATH=/usr/bin\"],\"project\":{\"path\":\"/home/ada/p\",\"uid\":1000}}";

static void
load_host (VmHost *ret)
{
  g_autoptr (json_object) object = vm_json_parse (host_text, strlen (host_text), NULL);

  g_assert_true (vm_host_from_json (object, ret, NULL));
}

static VmPlan *
make (const VmHost *host, char **command, GError **error)
{
  VmSpec spec = {.command = command};
  VmProfile profile = {.name = (char *)"shell", .grants = (char *[]){NULL}};

  return vm_plan_make (&spec, &profile, host, "ab12cd34", "p", error);
}

static void
test_within (void)
{
  g_assert_true (vm_path_is_within ("/a/b", "/a"));
  g_assert_true (vm_path_is_within ("/a", "/a"));
  g_assert_true (vm_path_is_within ("/a", "/"));
  g_assert_false (vm_path_is_within ("/ab", "/a"));
  g_assert_false (vm_path_is_within ("/a", "/a/b"));
}

static void
test_to_name (void)
{
  static const struct {
    const char *path, *name;
  } cases[] = {{"/a/hello", "hello"},   {"/a/-x y", "x-y"}, {"/a/...", "project"}, {"/", "project"},
               {"/x,path=/etc", "etc"}, {"/a\nb", "a-b"},   {"/\xc3\xa4z", "z"}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = vm_path_to_name (cases[i].path);

    g_assert_cmpstr (name, ==, cases[i].name);
    g_assert_true (vm_spec_is_name (name));
  }
}

/* TRUE if a plan can be made for this project. */
static gboolean
accepts (VmHost *host, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VmPlan) plan = NULL;

  g_free (host->project.path);
  host->project.path = g_strdup (path);
  plan = make (host, NULL, &error);
  if (plan == NULL) {
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_assert_nonnull (strstr (error->message, path));
  }
  return plan != NULL;
}

static void
test_projects (void)
{
  static const char *const no[] = {"/",
                                   "/home",
                                   "/home/ada",
                                   "/home/ada/.ssh",
                                   "/home/ada/.ssh/x",
                                   "/home/ada/.gnupg",
                                   "/home/ada/.local",
                                   "/home/ada/.local/state",
                                   "/home/ada/.local/state/vmctl",
                                   "/home/ada/.local/state/vmctl/sandboxes/x",
                                   "/home/ada/.config",
                                   "/home/ada/.config/vmctl/profiles",
                                   "/home/ada/.cache",
                                   "/home/ada/.local/share",
                                   "/run",
                                   "/run/user",
                                   "/run/user/1000",
                                   "/run/user/1000/vmctl/x",
                                   "/run/vmctl",
                                   "/proc",
                                   "/proc/1",
                                   "/sys/fs",
                                   "/dev/shm",
                                   "/usr",
                                   "/usr/bin",
                                   "/usr/lib/x",
                                   "/usr/local/bin",
                                   "/bin",
                                   "/boot/grub",
                                   "/nix",
                                   "/nix/store/x",
                                   "/etc",
                                   "/var",
                                   "/var/tmp",
                                   "/tmp",
                                   "/opt",
                                   "/mnt",
                                   "/mnt/meta",
                                   "/srv",
                                   "/root"};
  static const char *const yes[] = {"/home/ada/src",
                                    "/home/ada/.sshx",
                                    "/home/ada/.cache/x",
                                    "/home/bob/x",
                                    "/home/ada/.config/nvim",
                                    "/tmp/x",
                                    "/srv/x",
                                    "/work",
                                    "/etc/nixos",
                                    "/usr/src/x",
                                    "/usr/local/src/x",
                                    "/var/lib/x",
                                    "/run/user/1000/x",
                                    "/mnt/disk",
                                    "/opt/x",
                                    "/homes",
                                    "/home/ada/.local/share/x",
                                    "/home/ada/vmctl"};
  VmHost host = {0};

  load_host (&host);
  for (gsize i = 0; i < G_N_ELEMENTS (no); i++) {
    g_test_message ("%s", no[i]);
    g_assert_false (accepts (&host, no[i]));
  }
  for (gsize i = 0; i < G_N_ELEMENTS (yes); i++) {
    g_test_message ("%s", yes[i]);
    g_assert_true (accepts (&host, yes[i]));
  }
  vm_host_clear (&host);
}

static void
test_not_utf8 (void)
{
  VmHost host = {0};
  char *command[] = {(char *)"ls", (char *)"\xff", NULL}, *empty[] = {NULL};
  g_autoptr (GError) error = NULL;

  load_host (&host);
  g_assert_null (make (&host, command, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "word 2"));
  g_clear_error (&error);
  g_assert_null (make (&host, empty, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_clear_error (&error);
  g_free (host.cwd);
  host.cwd = g_strdup ("/home/ada/p/\xff");
  g_assert_null (make (&host, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  vm_host_clear (&host);
}

static void
test_identity (void)
{
  VmHost host = {0};
  g_autoptr (GError) error = NULL;

  load_host (&host);
  g_free (host.user);
  host.user = g_strdup ("ada:x:0");
  g_assert_null (make (&host, NULL, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_HOST);
  vm_host_clear (&host);
}

/* Foreign bytes reach a terminal escaped, and what was passed in is not shown. */
static void
test_text (void)
{
  VmHost host = {0};
  char *command[] = {(char *)"printf", (char *)"\033[2J", NULL}, *env[] = {(char *)"TOKEN=t0ps3cret", NULL};
  VmSpec spec = {.command = command, .env = env};
  VmProfile profile = {.name = (char *)"shell", .grants = (char *[]){NULL}};
  g_autoptr (VmPlan) plan = NULL;
  g_autofree char *text = NULL;

  load_host (&host);
  g_free (host.project.path);
  host.project.path = g_strdup ("/home/ada/a\033]0;x\007\nb");
  plan = vm_plan_make (&spec, &profile, &host, "ab12cd34", "p", NULL);
  text = vm_plan_to_text (plan);
  g_assert_null (strchr (text, '\033'));
  g_assert_null (strchr (text, '\007'));
  g_assert_nonnull (strstr (text, "a\\x1b]0;x\\x07\\nb"));
  g_assert_nonnull (strstr (text, "TOKEN"));
  g_assert_null (strstr (text, "t0ps3cret"));
  vm_host_clear (&host);
}

static void
test_from_json (void)
{
  VmHost host = {0};
  g_autoptr (VmPlan) plan = NULL;
  g_autoptr (json_object) object = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new_null_terminated (64, g_free, TRUE);

  load_host (&host);
  plan = make (&host, NULL, NULL);
  object = vm_plan_to_json (plan);
  json_object_object_foreach (object, key, value)
  {
    (void)value;
    g_ptr_array_add (names, g_strdup (key));
  }
  /* Each member turned into another type: an error or a default, never a crash. */
  for (guint i = 0; i < names->len; i++) {
    g_autoptr (json_object) copy = vm_plan_to_json (plan);
    g_autoptr (GError) error = NULL;
    VmPlan *read;

    vm_json_add (copy, names->pdata[i], json_object_new_double (0.5));
    read = vm_plan_from_json (copy, &error);
    g_assert_true ((read == NULL) == (error != NULL));
    vm_plan_free (read);
  }
  vm_host_clear (&host);
}

static void
test_broken_mounts (void)
{
  static const char *const broken[] = {
      "[1]",
      "[{}]",
      "[{\"kind\":\"ro\",\"target\":\"/x\",\"why\":\"root\"}]",
      "[{\"kind\":\"rw\",\"target\":\"/x\",\"source\":\"/x\",\"why\":\"root\"}]",
      "[{\"kind\":\"file\",\"target\":\"/x\",\"why\":\"root\"}]",
      "[{\"kind\":\"dir\",\"target\":\"x\",\"why\":\"root\"}]",
      "[{\"kind\":\"bind\",\"target\":\"/x\",\"why\":\"root\"}]",
  };
  VmHost host = {0};
  g_autoptr (VmPlan) plan = NULL;

  load_host (&host);
  plan = make (&host, NULL, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autoptr (json_object) object = vm_plan_to_json (plan);
    g_autoptr (GError) error = NULL;

    vm_json_add (object, "mounts", vm_json_parse (broken[i], strlen (broken[i]), NULL));
    g_assert_null (vm_plan_from_json (object, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  }
  vm_host_clear (&host);
}

static void
test_names (void)
{
  g_assert_cmpstr (vm_isolation_name (VM_ISOLATION_NONE), ==, "none");
  g_assert_cmpstr (vm_isolation_name (VM_ISOLATION_VM), ==, "vm");
  g_assert_null (vm_grant_find ("nothing"));
  g_assert_cmpstr (vm_grant_find ("git")->name, ==, "git");
}

/* The real figure is some 0.1 ms; the promise is 5. */
static void
test_cost (void)
{
  VmHost host = {0};
  clock_t start, best = CLOCKS_PER_SEC;

  load_host (&host);
  for (int i = 0; i < 20; i++) {
    VmPlan *plan;

    start = clock ();
    plan = make (&host, NULL, NULL);
    best = MIN (best, clock () - start);
    vm_plan_free (plan);
  }
  g_assert_cmpint (best, <, CLOCKS_PER_SEC / 200);
  vm_host_clear (&host);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/path/within", test_within);
  g_test_add_func ("/vmctl/path/to-name", test_to_name);
  g_test_add_func ("/vmctl/plan/projects", test_projects);
  g_test_add_func ("/vmctl/plan/not-utf8", test_not_utf8);
  g_test_add_func ("/vmctl/plan/identity", test_identity);
  g_test_add_func ("/vmctl/plan/text-is-escaped", test_text);
  g_test_add_func ("/vmctl/plan/from-json-wrong-types", test_from_json);
  g_test_add_func ("/vmctl/plan/from-json-broken-mounts", test_broken_mounts);
  g_test_add_func ("/vmctl/plan/names", test_names);
  g_test_add_func ("/vmctl/plan/cost", test_cost);
  return g_test_run ();
}
