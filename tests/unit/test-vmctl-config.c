/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmctl/base/error.h"
#include "vmctl/base/file.h"
#include "vmctl/config.h"

typedef struct {
  char *root;    /* owned; a temporary directory */
  char *project; /* owned */
  char *system;  /* owned; path of the system's config */
  VmDirs dirs;
  VmSpec spec;
  VmProfile profile;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->root = g_dir_make_tmp ("vmctl-config-XXXXXX", NULL);
  f->project = g_build_filename (f->root, "project", NULL);
  f->system = g_build_filename (f->root, "etc", "config", NULL);
  f->dirs.config = g_build_filename (f->root, "user", NULL);
  g_assert_cmpint (g_mkdir_with_parents (f->project, 0700), ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vm_file_remove_tree (AT_FDCWD, f->root, NULL);
  g_free (f->root);
  g_free (f->project);
  g_free (f->system);
  g_free (f->dirs.config);
  vm_spec_clear (&f->spec);
  vm_profile_clear (&f->profile);
  g_clear_error (&f->error);
}

static void
put (Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (f->root, name, NULL);
  g_autofree char *dir = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static gboolean
apply (Fixture *f)
{
  return vm_config_apply (&f->dirs, f->system, f->project, &f->spec, &f->profile, &f->error);
}

static void
assert_refused (Fixture *f, const char *file, const char *key)
{
  g_assert_false (apply (f));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (f->error->message, file));
  g_assert_nonnull (strstr (f->error->message, key));
}

/* The sentence about `what` in spec->ignored, or NULL. */
static const char *
ignored (const Fixture *f, const char *what)
{
  for (char **one = f->spec.ignored; one != NULL && *one != NULL; one++)
    if (strstr (*one, what) != NULL)
      return *one;
  return NULL;
}

static void
test_nothing (Fixture *f, gconstpointer data)
{
  g_assert_true (apply (f));
  g_assert_cmpstr (f->profile.name, ==, "shell");
  g_assert_null (f->profile.entrypoint);
  g_assert_true (f->profile.is_builtin);
  g_assert_true (g_strv_contains ((const char *const *)f->profile.grants, "git"));
  g_assert_cmpuint (f->spec.memory, ==, 0);
  g_assert_null (f->spec.ignored);
}

static void
test_order (Fixture *f, gconstpointer data)
{
  put (f, "etc/config",
       "[defaults]\nmemory=1G\ncpus=1\ndisk=1G\nnet=none\nprofile=mine\nboot-timeout=9\nenv=A=s;S=s\n");
  put (f, "user/config", "[defaults]\naccel=tcg\nmemory=2G\ncpus=2\ndisk=2G\nenv=A=u;U=u\n");
  put (f, "user/profiles/mine.conf",
       "[profile]\nsummary=mine\nentrypoint=make;check\ngrants=tz\nenv=A=p\n[defaults]\nmemory=3G\ncpus=3\n");
  f->spec.memory = 1;
  g_assert_true (apply (f));
  g_assert_cmpstr (f->spec.accel, ==, "tcg");
  g_assert_cmpuint (f->spec.memory, ==, 1);
  g_assert_cmpuint (f->spec.cpus, ==, 3);
  g_assert_cmpuint (f->spec.disk, ==, G_GUINT64_CONSTANT (2) << 30);
  g_assert_cmpint (f->spec.net, ==, VM_NET_NONE);
  g_assert_cmpuint (f->spec.boot_timeout, ==, 9);
  g_assert_cmpstr (f->profile.entrypoint[1], ==, "check");
  g_assert_cmpstr (f->profile.grants[0], ==, "tz");
  g_assert_cmpstr (f->spec.env[0], ==, "A=p");
  g_assert_cmpuint (g_strv_length (f->spec.env), ==, 3);
}

static void
test_grants_merge (Fixture *f, gconstpointer data)
{
  static const char *const named[] = {"git", NULL}, *const taken[] = {"dns", NULL};

  put (f, "user/config", "[defaults]\ngrants=dns;fonts\nno-grants=git;tz\n");
  put (f, "etc/config", "[defaults]\ngrants=tz\n");
  f->spec.grants = g_strdupv ((char **)named);
  f->spec.no_grants = g_strdupv ((char **)taken);
  g_assert_true (apply (f));
  g_assert_cmpuint (g_strv_length (f->spec.grants), ==, 2);
  g_assert_true (g_strv_contains ((const char *const *)f->spec.grants, "fonts"));
  g_assert_cmpuint (g_strv_length (f->spec.no_grants), ==, 2);
  g_assert_true (g_strv_contains ((const char *const *)f->spec.no_grants, "tz"));
}

static void
test_profiles (Fixture *f, gconstpointer data)
{
  put (f, "user/profiles/shell.conf", "[profile]\nentrypoint=fish\n");
  g_assert_true (apply (f));
  g_assert_false (f->profile.is_builtin);
  g_assert_cmpstr (f->profile.entrypoint[0], ==, "fish");
  g_assert_cmpuint (g_strv_length (f->profile.grants), ==, 0);
}

static void
test_profile_unknown (Fixture *f, gconstpointer data)
{
  f->spec.profile = g_strdup ("../x");
  assert_refused (f, "--profile", "../x");
  g_clear_error (&f->error);
  g_free (f->spec.profile);
  f->spec.profile = g_strdup ("absent");
  assert_refused (f, "absent", "there is no profile");
}

static void
test_refusals (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *file, *text, *key;
  } cases[] = {
      {"user/config", "[defaults]\nmemroy=1G\n", "memroy"},
      {"user/config", "[defaults]\nno-root[de]=true\n", "no-root[de]"},
      {"user/config", "[default]\nmemory=1G\n", "[default]"},
      {"user/config", "[profile]\nsummary=x\n", "[profile]"},
      {"user/config", "[defaults]\nno-root=yes\n", "no-root"},
      {"user/config", "[defaults]\ncpus=0\n", "cpus"},
      {"user/config", "[defaults]\nenv=1=2\n", "env"},
      {"user/config", "[defaults]\naccel=hvf\n", "accel"},
      {"user/config", "[defaults]\nkernel=vmlinuz\n", "kernel"},
      {"user/config", "[defaults]\nprofile=../x\n", "profile"},
      {"user/config", "[terminal]\ndetach-key=ctrl-[\n", "detach-key"},
      {"user/config", "memory=1G\n", "user/config"},
      {"user/config", "[defaults]\nnet=no\xff\n", "UTF-8"},
      {"etc/config", "[defaults]\nnet=all\n", "net"},
      {"project/.vmctl.conf", "[defaults]\nnet=non\n", "net"},
      {"user/profiles/shell.conf", "[defaults]\nprofile=claude\n", "profile"},
      {"user/profiles/shell.conf", "[terminal]\ndetach-key=ctrl-]\n", "[terminal]"},
      {"user/profiles/shell.conf", "[profile]\nentrypoint=\n", "entrypoint"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_build_filename (f->root, cases[i].file, NULL);

    put (f, cases[i].file, cases[i].text);
    g_autofree char *shown = g_strescape (cases[i].text, NULL);

    g_test_message ("%s: %s", cases[i].file, shown);
    assert_refused (f, cases[i].file, cases[i].key);
    g_clear_error (&f->error);
    vm_spec_clear (&f->spec);
    g_assert_cmpint (unlink (path), ==, 0);
  }
}

/* Wherever it stands in the file, the message has the number of the line. */
static void
test_lines (Fixture *f, gconstpointer data)
{
  static const struct {
    const char *file, *text, *where;
  } cases[] = {
      {"user/config", "# a comment\n\n[defaults]\nmemory=1G\nmemroy=2G\n",
       "line 5: there is no key 'memroy'"},
      {"user/config", "[defaults]\nmemory=1G\n[more]\nx=1\n", "line 3: there is no group [more]"},
      {"user/config", "[defaults]\n  cpus  =  many\n", "line 2: cpus: 'many'"},
      {"user/config", "[defaults]\ncpus=1\ncpus=many\n", "line 3: cpus"},
      {"user/config", "[defaults]\ncpus=1\nwhatever\n", "line 3: "},
      {"user/config", "[defaults]\ngrants=git;gti\n", "line 2: grants: 'gti' is not a grant"},
      {"user/config", "[defaults]\n\nno-grants=gti\n", "line 3: no-grants: 'gti' is not a grant"},
      {"user/config", "[defaults]\nprofile=absent\n", "line 2: profile: there is no profile 'absent'"},
      {"user/profiles/shell.conf", "[profile]\ngrants=\n[defaults]\nnet=all\n", "line 4: net"},
      {"user/profiles/shell.conf", "[profile]\ngrants=nothing\n", "line 2: grants: 'nothing' is not a grant"},
      {"user/profiles/shell.conf", "[profile]\nentrypiont=x\n", "line 2: there is no key 'entrypiont'"},
      {"user/profiles/shell.conf", "[profile]\narguments=yes\n",
       "line 2: arguments: write 'true' or 'false'"},
      {"user/profiles/shell.conf", "[profile]\npath=bin\n", "line 2: path: 'bin' is not an absolute path"},
      {"user/profiles/shell.conf", "[profile]\npath=/a:/b\n", "line 2: path: '/a:/b'"},
      {"user/profiles/shell.conf", "[profile]\nprompt-option=about\n",
       "line 2: prompt-option: not an option"},
      {"project/.vmctl.conf", "[defaults]\nno-grants=gti\n", "line 2: no-grants: 'gti'"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_build_filename (f->root, cases[i].file, NULL);

    put (f, cases[i].file, cases[i].text);
    assert_refused (f, cases[i].file, cases[i].where);
    g_clear_error (&f->error);
    vm_spec_clear (&f->spec);
    g_assert_cmpint (unlink (path), ==, 0);
  }
}

static void
test_profile_keys (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) whole = NULL, bare = NULL;

  put (f, "user/profiles/agent.conf",
       "[profile]\nentrypoint=agent;--fast\narguments=true\nprompt-option=--about\npath=/a;~/b\ngrants=git\n"
       "[defaults]\nmemory=1G\nnet=none\n");
  f->spec.profile = g_strdup ("agent");
  g_assert_true (apply (f));
  g_assert_true (f->profile.appends);
  g_assert_cmpstr (f->profile.prompt, ==, "--about");
  g_assert_cmpstr (f->profile.path[1], ==, "~/b");
  g_assert_cmpint (f->spec.net, ==, VM_NET_NONE);
  whole = vm_profile_command (&f->profile, (char *[]){(char *)"x", (char *)"y", NULL});
  g_assert_cmpuint (g_strv_length (whole), ==, 4);
  g_assert_cmpstr (whole[1], ==, "--fast");
  g_assert_cmpstr (whole[3], ==, "y");
  f->profile.appends = FALSE;
  bare = vm_profile_command (&f->profile, (char *[]){(char *)"x", NULL});
  g_assert_cmpuint (g_strv_length (bare), ==, 1);
}

static void
test_builtin (Fixture *f, gconstpointer data)
{
  VmProfile shell = {0}, claude = {0}, none = {0};

  g_assert_true (vm_profile_builtin ("shell", &shell));
  g_assert_true (vm_profile_builtin ("claude", &claude));
  g_assert_false (vm_profile_builtin ("other", &none));
  g_assert_null (vm_profile_command (&shell, NULL));
  g_assert_false (g_strv_contains ((const char *const *)shell.grants, "ssh-agent"));
  g_assert_true (g_strv_contains ((const char *const *)claude.grants, "ssh-agent"));
  g_assert_false (g_strv_contains ((const char *const *)claude.grants, "ssh-keys"));
  g_assert_nonnull (strstr (claude.get, "npm"));
  vm_profile_clear (&shell);
  vm_profile_clear (&claude);
}

static void
test_unreadable (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->project, ".vmctl.conf", NULL);

  g_assert_cmpint (mkdir (path, 0700), ==, 0);
  assert_refused (f, ".vmctl.conf", "regular");
  g_clear_error (&f->error);
  vm_spec_clear (&f->spec);
  g_assert_cmpint (rmdir (path), ==, 0);
  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  assert_refused (f, ".vmctl.conf", "regular");
  g_clear_error (&f->error);
  vm_spec_clear (&f->spec);
  g_assert_cmpint (unlink (path), ==, 0);
  put (f, "elsewhere", "[defaults]\nno-root=true\n");
  g_assert_cmpint (symlink ("../elsewhere", path), ==, 0);
  assert_refused (f, ".vmctl.conf", "symbolic link");
}

/* The user's own file may be a link: that is how dotfiles are kept. */
static void
test_user_link (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->dirs.config, "config", NULL);

  put (f, "dotfiles/config", "[defaults]\nno-root=true\n");
  g_assert_cmpint (g_mkdir_with_parents (f->dirs.config, 0700), ==, 0);
  g_assert_cmpint (symlink ("../dotfiles/config", path), ==, 0);
  g_assert_true (apply (f));
  g_assert_true (f->spec.no_root);
}

static void
test_project_tightens (Fixture *f, gconstpointer data)
{
  put (f, "user/config", "[defaults]\nmemory=2G\ndisk=8G\n");
  put (f, "project/.vmctl.conf",
       "[defaults]\nmemory=1G\ncpus=2\ndisk=1G\nnet=none\nno-root=true\nno-grants=git;dns\n");
  g_assert_true (apply (f));
  g_assert_null (f->spec.ignored);
  g_assert_cmpuint (f->spec.memory, ==, G_GUINT64_CONSTANT (1) << 30);
  g_assert_cmpuint (f->spec.cpus, ==, 0);
  g_assert_cmpuint (f->spec.cpus_limit, ==, 2);
  g_assert_cmpuint (f->spec.disk, ==, G_GUINT64_CONSTANT (1) << 30);
  g_assert_cmpint (f->spec.net, ==, VM_NET_NONE);
  g_assert_true (f->spec.no_root);
  g_assert_true (g_strv_contains ((const char *const *)f->spec.no_grants, "dns"));
}

static void
test_project_cannot_widen (Fixture *f, gconstpointer data)
{
  put (f, "user/config", "[defaults]\nmemory=1G\ncpus=1\ndisk=none\nnet=none\nno-root=true\n");
  put (f, "project/.vmctl.conf",
       "[defaults]\nmemory=2G\ncpus=2\ndisk=1G\nnet=public\nno-root=false\naccel=kvm\ndriver=null\nprofile="
       "claude\n"
       "env=LD_PRELOAD=./x.so\ngrants=git\nkernel=/tmp/k\nboot-timeout=1\n[terminal]\ndetach-key=ctrl-a\n");
  g_assert_true (apply (f));
  g_assert_cmpuint (f->spec.memory, ==, G_GUINT64_CONSTANT (1) << 30);
  g_assert_cmpuint (f->spec.cpus, ==, 1);
  g_assert_true (f->spec.disk_none);
  g_assert_null (f->spec.accel);
  g_assert_cmpint (f->spec.net, ==, VM_NET_NONE);
  g_assert_true (f->spec.no_root);
  g_assert_null (f->spec.driver);
  g_assert_cmpstr (f->profile.name, ==, "shell");
  g_assert_null (f->spec.env);
  g_assert_null (f->spec.grants);
  g_assert_null (f->spec.kernel);
  g_assert_cmpuint (f->spec.boot_timeout, ==, 0);
  g_assert_cmpuint (g_strv_length (f->spec.ignored), ==, 13);
  g_assert_nonnull (ignored (f, "env=LD_PRELOAD=./x.so"));
  g_assert_nonnull (ignored (f, "accel=kvm"));
  g_assert_nonnull (ignored (f, "detach-key=ctrl-a"));
}

/* Against the defaults, and against the command line. */
static void
test_project_limits (Fixture *f, gconstpointer data)
{
  static const char *const named[] = {"git", NULL};

  put (f, "project/.vmctl.conf", "[defaults]\nmemory=8G\ncpus=2\ndisk=17G\nnet=none\nno-grants=git\n");
  f->spec.cpus = 4;
  f->spec.net = VM_NET_PUBLIC;
  f->spec.grants = g_strdupv ((char **)named);
  g_assert_true (apply (f));
  g_assert_cmpuint (f->spec.memory, ==, 0);
  g_assert_cmpuint (f->spec.cpus, ==, 4);
  g_assert_cmpint (f->spec.net, ==, VM_NET_PUBLIC);
  g_assert_null (f->spec.no_grants);
  g_assert_cmpuint (f->spec.disk, ==, 0);
  g_assert_cmpuint (g_strv_length (f->spec.ignored), ==, 5);
}

/* The strongest of all, whoever says so. */
static void
test_min_isolation (Fixture *f, gconstpointer data)
{
  put (f, "etc/config", "[defaults]\nmin-isolation=container\n");
  put (f, "user/config", "[defaults]\nmin-isolation=namespace\n");
  put (f, "project/.vmctl.conf", "[defaults]\nmin-isolation=namespace\n");
  g_assert_true (vm_spec_set_min_isolation (&f->spec, "namespace", "--min-isolation", NULL));
  g_assert_true (apply (f));
  g_assert_cmpint (f->spec.min_isolation, ==, VM_ISOLATION_CONTAINER);
  g_assert_nonnull (strstr (f->spec.min_isolation_by, "the system's configuration"));
  g_assert_nonnull (ignored (f, "min-isolation=namespace"));
}

static void
test_min_isolation_raised (Fixture *f, gconstpointer data)
{
  put (f, "etc/config", "[defaults]\nmin-isolation=namespace\n");
  put (f, "user/profiles/p.conf", "[defaults]\nmin-isolation=container\n");
  put (f, "project/.vmctl.conf", "[defaults]\nmin-isolation=vm\n");
  f->spec.profile = g_strdup ("p");
  g_assert_true (apply (f));
  g_assert_cmpint (f->spec.min_isolation, ==, VM_ISOLATION_VM);
  g_assert_nonnull (strstr (f->spec.min_isolation_by, "project"));
  g_assert_null (f->spec.ignored);
}

/* Without any configuration the system's policy still counts, and a broken file is no way around it. */
static void
test_policy (Fixture *f, gconstpointer data)
{
  g_assert_true (vm_config_apply_policy (f->system, &f->spec, NULL));
  g_assert_cmpint (f->spec.min_isolation, ==, VM_ISOLATION_NONE);
  put (f, "etc/config", "[defaults]\nmin-isolation=vm\nmemory=1G\n");
  g_assert_true (vm_config_apply_policy (f->system, &f->spec, NULL));
  g_assert_cmpint (f->spec.min_isolation, ==, VM_ISOLATION_VM);
  g_assert_cmpuint (f->spec.memory, ==, 0);
  put (f, "etc/config", "[defaults]\nmin-isolation=hypervisor\n");
  g_assert_false (vm_config_apply_policy (f->system, &f->spec, &f->error));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_USAGE);
}

static void
test_detach_key (Fixture *f, gconstpointer data)
{
  char key = 0;

  g_assert_true (vm_config_detach_key (&f->dirs, &key, NULL));
  g_assert_cmpint (key, ==, 0x1d);
  put (f, "user/config", "[terminal]\ndetach-key=Ctrl-Q\n");
  g_assert_true (vm_config_detach_key (&f->dirs, &key, NULL));
  g_assert_cmpint (key, ==, 0x11);
  put (f, "user/config", "[terminal]\ndetach-key=ctrl-m\n");
  g_assert_false (vm_config_detach_key (&f->dirs, &key, &f->error));
  g_assert_error (f->error, VM_ERROR, VM_ERROR_USAGE);
}

#define ADD(name, test) g_test_add ("/vmctl/config/" name, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("nothing-is-fine", test_nothing);
  ADD ("stronger-layers-win", test_order);
  ADD ("grants-merge", test_grants_merge);
  ADD ("own-profile-replaces-built-in", test_profiles);
  ADD ("unknown-profile", test_profile_unknown);
  ADD ("refusals-name-file-and-key", test_refusals);
  ADD ("builtin", test_builtin);
  ADD ("profile-keys", test_profile_keys);
  ADD ("lines", test_lines);
  ADD ("unreadable-is-an-error", test_unreadable);
  ADD ("user-config-may-be-a-link", test_user_link);
  ADD ("project-tightens", test_project_tightens);
  ADD ("project-cannot-widen", test_project_cannot_widen);
  ADD ("project-against-defaults-and-command-line", test_project_limits);
  ADD ("min-isolation", test_min_isolation);
  ADD ("min-isolation-raised", test_min_isolation_raised);
  ADD ("policy", test_policy);
  ADD ("detach-key", test_detach_key);
  return g_test_run ();
}
