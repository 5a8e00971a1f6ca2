/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which driver is taken, on made-up drivers: each row is a host and a wish. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/choice.h"

/* A host of these tests says by its hostname which drivers can work: "n" nspawn, "b" bwrap, "q" qemu. */
static gboolean
can (const VmHost *host, char letter, const char *why, GError **error)
{
  return strchr (host->hostname, letter) != NULL || vm_error (error, VM_ERROR_HOST, "%s", why);
}

static gboolean
probe_qemu (const VmHost *host, GError **error)
{
  return can (host, 'q', "no kernel; install one", error);
}

static gboolean
probe_nspawn (const VmHost *host, GError **error)
{
  return can (host, 'n', "needs root; use sudo", error);
}

static gboolean
probe_bwrap (const VmHost *host, GError **error)
{
  return can (host, 'b', "no namespaces; allow them", error);
}

static gboolean
probe_never (const VmHost *host, GError **error)
{
  g_assert_not_reached ();
  return FALSE;
}

static const VmDriver qemu = {.name = "qemu", .isolation = VM_ISOLATION_VM, .probe = probe_qemu};
static const VmDriver nspawn = {.name = "nspawn", .isolation = VM_ISOLATION_CONTAINER, .probe = probe_nspawn};
static const VmDriver bwrap = {.name = "bwrap", .isolation = VM_ISOLATION_NAMESPACE, .probe = probe_bwrap};
static const VmDriver none = {.name = "null", .isolation = VM_ISOLATION_NONE, .probe = probe_never};
static const VmDriver *const drivers[] = {&qemu, &nspawn, &bwrap, &none, NULL};

typedef struct {
  const char *host;   /* the drivers that can work */
  const char *driver; /* --driver; NULL: not given */
  VmIsolation min;
  const char *taken;       /* NULL: refused */
  const char *passed_over; /* the reasons, joined by '|' */
  VmErrorCode code;
  const char *parts[3]; /* what the error says */
} Case;

#define QEMU "qemu: no kernel; install one"
#define NSPAWN "nspawn: needs root; use sudo"
#define BWRAP "bwrap: no namespaces; allow them"

static const Case cases[] = {
    {"qnb", NULL, VM_ISOLATION_NONE, "qemu", ""},
    {"qnb", "auto", VM_ISOLATION_NONE, "qemu", ""},
    {"qnb", NULL, VM_ISOLATION_VM, "qemu", ""},
    {"nb", NULL, VM_ISOLATION_NONE, "nspawn", QEMU},
    {"b", NULL, VM_ISOLATION_NONE, "bwrap", QEMU "|" NSPAWN},
    {"b", "auto", VM_ISOLATION_NAMESPACE, "bwrap", QEMU "|" NSPAWN},
    {"qb", NULL, VM_ISOLATION_NAMESPACE, "qemu", ""},
    {"nb", NULL, VM_ISOLATION_CONTAINER, "nspawn", QEMU},
    /* Nothing weaker than what was asked for, whatever works. */
    {"nb", NULL, VM_ISOLATION_VM, NULL, NULL, VM_ERROR_HOST, {"'vm'", QEMU}},
    {"b", NULL, VM_ISOLATION_CONTAINER, NULL, NULL, VM_ERROR_HOST, {"'container'", QEMU, NSPAWN}},
    {"", NULL, VM_ISOLATION_NAMESPACE, NULL, NULL, VM_ERROR_HOST, {QEMU, NSPAWN, BWRAP}},
    /* Nothing at all; never the one without isolation. */
    {"", NULL, VM_ISOLATION_NONE, NULL, NULL, VM_ERROR_HOST, {QEMU, NSPAWN, BWRAP}},
    /* Named: that one or none; that it cannot work is told by whoever starts it. */
    {"qnb", "bwrap", VM_ISOLATION_NONE, "bwrap", ""},
    {"", "bwrap", VM_ISOLATION_NONE, "bwrap", ""},
    {"qnb", "null", VM_ISOLATION_NONE, "null", ""},
    {"qnb", "nspawn", VM_ISOLATION_NAMESPACE, "nspawn", ""},
    {"qnb", "nspawn", VM_ISOLATION_CONTAINER, "nspawn", ""},
    {"qnb",
     "bwrap",
     VM_ISOLATION_VM,
     NULL,
     NULL,
     VM_ERROR_USAGE,
     {"'bwrap' is 'namespace'", "'vm' at least"}},
    {"qnb", "bwrap", VM_ISOLATION_CONTAINER, NULL, NULL, VM_ERROR_USAGE, {"--min-isolation"}},
    {"qnb", "null", VM_ISOLATION_NAMESPACE, NULL, NULL, VM_ERROR_USAGE, {"'null' is 'none'"}},
    {"qnb", "xen", VM_ISOLATION_NONE, NULL, NULL, VM_ERROR_USAGE, {"xen"}},
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  VmHost host = {.hostname = (char *)c->host};
  VmSpec spec = {.driver = (char *)c->driver, .min_isolation = c->min};
  g_autoptr (GError) error = NULL;
  g_autofree char *passed_over = NULL;
  VmChoice choice = {0};
  gboolean ok = vm_choice_make (drivers, &spec, &host, &choice, &error);

  g_assert_cmpint (ok, ==, c->taken != NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (c->parts) && c->parts[i] != NULL; i++)
    if (strstr (error->message, c->parts[i]) == NULL)
      g_error ("'%s' is not in '%s'", c->parts[i], error->message);
  if (!ok) {
    g_assert_error (error, VM_ERROR, (int)c->code);
    return;
  }
  g_assert_cmpstr (choice.driver->name, ==, c->taken);
  passed_over = g_strjoinv ("|", choice.passed_over);
  g_assert_cmpstr (passed_over, ==, c->passed_over);
  vm_choice_clear (&choice);
}

static void
assert_line (VmPlan plan, const char *want)
{
  g_autofree char *line = vm_choice_line (&plan);

  g_assert_cmpstr (line, ==, want);
}

static void
test_line (void)
{
  char *nothing[] = {NULL};
  char *two[] = {(char *)QEMU, (char *)NSPAWN, NULL};

  assert_line ((VmPlan){.driver = (char *)"qemu",
                        .isolation = VM_ISOLATION_VM,
                        .accel = (char *)"kvm",
                        .passed_over = nothing},
               "driver qemu (vm)");
  assert_line ((VmPlan){.driver = (char *)"qemu",
                        .isolation = VM_ISOLATION_VM,
                        .accel = (char *)"tcg",
                        .passed_over = nothing},
               "driver qemu (vm, emulated: not a security boundary)");
  assert_line ((VmPlan){.driver = (char *)"bwrap", .isolation = VM_ISOLATION_NAMESPACE, .passed_over = two},
               "driver bwrap (namespace); not " QEMU "; not " NSPAWN);
}

static void
test_joining (void)
{
  VmSpec spec = {0};
  g_autoptr (GError) error = NULL;

  g_assert_true (vm_choice_allows (&spec, "none", NULL));
  vm_spec_raise_isolation (&spec, VM_ISOLATION_CONTAINER, "somebody");
  g_assert_true (vm_choice_allows (&spec, "vm", NULL));
  g_assert_true (vm_choice_allows (&spec, "container", NULL));
  g_assert_false (vm_choice_allows (&spec, "a word of a later version", NULL));
  g_assert_false (vm_choice_allows (&spec, NULL, NULL));
  g_assert_false (vm_choice_allows (&spec, "namespace", &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "somebody"));
}

/* The table itself: what `auto` walks through. */
static void
test_table (void)
{
  for (guint i = 0; vm_drivers[i] != NULL; i++) {
    g_assert_true (vm_driver_find (vm_drivers[i]->name) == vm_drivers[i]);
    g_assert_nonnull (vm_drivers[i]->probe);
    g_assert_nonnull (vm_drivers[i]->fill);
    g_assert_nonnull (vm_drivers[i]->render);
    if (i > 0)
      g_assert_cmpint (vm_drivers[i]->isolation, <, vm_drivers[i - 1]->isolation);
  }
}

/* Nothing is known of this host, so no driver may think that it can work. */
static void
test_bare_host (void)
{
  VmHost host = {.uid = 1000};
  VmSpec spec = {0};
  VmChoice choice = {0};
  g_autoptr (GError) error = NULL;

  g_assert_false (vm_choice_make (vm_drivers, &spec, &host, &choice, &error));
  g_assert_error (error, VM_ERROR, VM_ERROR_HOST);
  for (const VmDriver *const *d = vm_drivers; *d != NULL; d++) {
    g_autofree char *part = g_strdup_printf ("%s: ", (*d)->name);

    g_assert_cmpint (strstr (error->message, part) != NULL, ==, (*d)->isolation != VM_ISOLATION_NONE);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name =
        g_strdup_printf ("/vmctl/choice/%" G_GSIZE_FORMAT "-%s-%s-%s", i, cases[i].host,
                         cases[i].driver != NULL ? cases[i].driver : "", vm_isolation_name (cases[i].min));

    g_test_add_data_func (name, &cases[i], test_case);
  }
  g_test_add_func ("/vmctl/choice/line", test_line);
  g_test_add_func ("/vmctl/choice/joining", test_joining);
  g_test_add_func ("/vmctl/choice/table", test_table);
  g_test_add_func ("/vmctl/choice/bare-host", test_bare_host);
  return g_test_run ();
}
