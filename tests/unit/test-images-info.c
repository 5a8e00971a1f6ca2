/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/info.h"

#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

static const char sample[] =
    "{\"origin\":\"/x/"
    "debian.qcow2\",\"format\":\"qcow2\",\"filesystem\":\"ext4\",\"arch\":\"x86_64\",\"os-id\":\"debian\","
    "\"os-name\":\"Debian "
    "\\u00e9\",\"init\":\"/usr/lib/systemd/systemd\",\"init-kind\":\"systemd\",\"kernel\":\"6.1.0-56-amd64\","
    "\"created\":17,\"size\":8589934592,\"partition\":1,\"inspection\":{\"agent\":false}}";

static ImageInfo *
parse (const char *text, GError **error)
{
  g_autoptr (json_object) object = vm_json_parse_object (text, strlen (text), error);

  return object != NULL ? image_info_from_json (object, error) : NULL;
}

static void
test_round_trip (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = parse (sample, &error);
  g_autoptr (json_object) first = NULL, again = NULL;
  g_autofree char *root = NULL;

  g_assert_no_error (error);
  g_assert_cmpstr (info->os_id, ==, "debian");
  g_assert_cmpint (info->init_kind, ==, IMAGE_INIT_SYSTEMD);
  g_assert_cmpuint (info->size, ==, (guint64)8 << 30);
  g_assert_cmpint (info->partition, ==, 1);
  g_assert_null (info->os_version);
  first = image_info_to_json (info);
  again = vm_json_parse_object (sample, strlen (sample), &error);
  g_assert_true (json_object_equal (first, again));
  info->dir = g_strdup ("/store/sha256-0");
  root = image_info_kernel_root (info);
  g_assert_cmpstr (root, ==, "/store/sha256-0/kernel");
}

/* One member made bad: what is said has that word. */
static void
refuse (const char *from, const char *to, const char *word)
{
  g_auto (GStrv) parts = g_strsplit (sample, from, -1);
  g_autofree char *text = g_strjoinv (to, parts);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = NULL;

  g_assert_cmpuint (g_strv_length (parts), >, 1);
  info = parse (text, &error);
  g_assert_null (info);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_refuses (void)
{
  refuse ("\"origin\"", "\"other\"", "origin");
  refuse ("\"filesystem\":\"ext4\"", "\"filesystem\":\"\"", "filesystem");
  refuse ("Debian \\u00e9", "Debian \\u001b[2J", "os-name");
  refuse ("Debian \\u00e9", "Debian \\u202e", "os-name");
  refuse ("/usr/lib/systemd/systemd", "/usr/../../etc", "init");
  refuse ("/usr/lib/systemd/systemd", "sbin/init", "init");
  refuse ("\"systemd\",\"kernel\"", "\"upstart\",\"kernel\"", "init-kind");
  refuse ("\"systemd\",\"kernel\"", "\"none\",\"kernel\"", "init-kind");
  refuse ("6.1.0-56-amd64", "../../x", "kernel");
  refuse ("\"size\":8589934592", "\"size\":-1", "size");
  refuse ("\"partition\":1", "\"partition\":4096", "partition");
  refuse ("\"created\":17", "\"created\":\"now\"", "created");
}

/* Nobody may get a disk opened that the description says is not there, or the other way round. */
static void
test_host_root (void)
{
#define HOST                                                                                                 \
  "{\"origin\":\"host-systemd\",\"format\":\"host-systemd\",\"arch\":\"x86_64\",\"init\":\"/usr/lib/"        \
  "systemd/"                                                                                                 \
  "systemd\",\"created\":17,\"partition\":0,\"host-root\":true"
#define INIT ",\"init-kind\":\"systemd\""
  static const char *const bad[] = {
      HOST INIT ",\"size\":1}",
      HOST INIT ",\"size\":0,\"filesystem\":\"ext4\"}",
      HOST INIT ",\"size\":0,\"kernel\":\"6.1\"}",
      HOST ",\"init-kind\":\"other\",\"size\":0}",
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = parse (HOST INIT ",\"size\":0}", &error);
  g_autoptr (json_object) object = NULL;
  g_autoptr (ImageInfo) again = NULL;

  g_assert_no_error (error);
  g_assert_true (info->is_host);
  g_assert_null (info->filesystem);
  object = image_info_to_json (info);
  again = image_info_from_json (object, &error);
  g_assert_no_error (error);
  g_assert_true (again->is_host);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_null (parse (bad[i], &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
    g_clear_error (&error);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/info/round-trip", test_round_trip);
  g_test_add_func ("/images/info/refuses", test_refuses);
  g_test_add_func ("/images/info/host-root", test_host_root);
  return g_test_run ();
}
