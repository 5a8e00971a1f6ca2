/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp/schema.h"

#include <string.h>

#include "qmp/client.h"
#include "tests/unit/fake-qmp.h"
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"

static QmpSchema *
load (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "tests/data/qmp-schema-7.2.json", NULL);
  g_autoptr (GError) error = NULL;
  QmpSchema *schema = fake_qmp_load_schema (path, &error);

  g_assert_no_error (error);
  return schema;
}

static void
test_lookup (void)
{
  g_autoptr (QmpSchema) schema = load ();

  g_assert_true (qmp_schema_has_command (schema, "query-status"));
  g_assert_true (qmp_schema_has_command (schema, "qmp_capabilities"));
  g_assert_false (qmp_schema_has_command (schema, "query-nothing"));
  g_assert_false (qmp_schema_has_command (schema, "SHUTDOWN")); /* an event is no command */
  g_assert_false (qmp_schema_has_command (schema, "0"));        /* nor is a type */
  g_assert_true (qmp_schema_has_event (schema, "SHUTDOWN"));
  g_assert_false (qmp_schema_has_event (schema, "quit"));
}

static void
test_argument (void)
{
  g_autoptr (QmpSchema) schema = load ();
  static const struct {
    const char *command, *path;
    gboolean there;
  } cases[] = {
      {"device_add", "driver", TRUE},
      {"device_add", "driver.x", FALSE},
      {"stop", "x", FALSE},
      {"nothing", "x", FALSE},
      {"blockdev-add", "driver", TRUE},         /* of the base */
      {"blockdev-add", "locking", TRUE},        /* of a variant (file) */
      {"blockdev-add", "file.filename", TRUE},  /* through an alternate */
      {"blockdev-add", "cache.direct", TRUE},   /* member of a member */
      {"blockdev-add", "cache.nothing", FALSE}, /* */
      {"chardev-add", "backend.data.addr.data.host", TRUE},
      {"migrate-set-capabilities", "capabilities.state", TRUE}, /* element of an array */
      {"blockdev-add", "", FALSE},
      {"blockdev-add", ".", FALSE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_test_message ("%s %s", cases[i].command, cases[i].path);
    g_assert_true (qmp_schema_has_argument (schema, cases[i].command, cases[i].path) == cases[i].there);
  }
}

/* `complaint` NULL: it fits. */
static void
check (QmpSchema *schema, const char *command, const char *arguments, int code, const char *complaint)
{
  g_autoptr (json_object) object =
      arguments != NULL ? vm_json_parse (arguments, strlen (arguments), NULL) : NULL;
  g_autoptr (GError) error = NULL;
  gboolean fits = qmp_schema_check (schema, command, object, &error);

  g_test_message ("%s %s", command, arguments);
  if (complaint == NULL) {
    g_assert_no_error (error);
  } else {
    g_assert_error (error, QMP_ERROR, code);
    g_assert_cmpstr (error->message, ==, complaint);
  }
  g_assert_true (fits == (complaint == NULL));
}

static void
test_fits (void)
{
  g_autoptr (QmpSchema) schema = load ();

  check (schema, "query-status", NULL, 0, NULL);
  check (schema, "query-status", "{}", 0, NULL);
  check (schema, "device_add", "{\"driver\":\"virtio-9p-pci\",\"id\":\"a\",\"fsdev\":\"x\"}", 0, NULL);
  check (schema, "block_resize", "{\"node-name\":\"a\",\"size\":1048576}", 0, NULL);
  check (schema, "blockdev-add",
         "{\"driver\":\"qcow2\",\"node-name\":\"a\",\"file\":{\"driver\":\"file\",\"filename\":\"/x\"}}", 0,
         NULL);
  check (schema, "blockdev-add", "{\"driver\":\"qcow2\",\"node-name\":\"a\",\"file\":\"other\"}", 0, NULL);
  check (schema, "migrate-set-capabilities",
         "{\"capabilities\":[{\"capability\":\"xbzrle\",\"state\":true}]}", 0, NULL);
  check (schema, "getfd", "{\"fdname\":\"a\"}", 0, NULL);
  check (schema, "object-add", "{\"qom-type\":\"memory-backend-ram\",\"id\":\"m\",\"size\":4096}", 0, NULL);
}

static void
test_does_not_fit (void)
{
  g_autoptr (QmpSchema) schema = load ();

  check (schema, "nope", NULL, QMP_ERROR_COMMAND_NOT_FOUND, "The command nope has not been found");
  check (schema, "query-status", "{\"a\":1}", 0, "Parameter 'a' is unexpected");
  check (schema, "query-status", "[]", 0, "Invalid parameter type for '', expected: object");
  check (schema, "device_add", "{}", 0, "Parameter 'driver' is missing");
  check (schema, "device_add", "{\"driver\":1}", 0, "Invalid parameter type for 'driver', expected: string");
  check (schema, "block_resize", "{\"size\":\"x\"}", 0,
         "Invalid parameter type for 'size', expected: integer");
  check (schema, "block_resize", "{\"size\":1.5}", 0, "Invalid parameter type for 'size', expected: integer");
  check (schema, "block_resize", "{\"size\":null}", 0,
         "Invalid parameter type for 'size', expected: integer");
  check (schema, "blockdev-add", "{\"driver\":\"qcow3\"}", 0,
         "Parameter 'driver' does not accept value 'qcow3'");
  check (schema, "blockdev-add", "{\"driver\":\"qcow2\"}", 0, "Parameter 'file' is missing");
  check (schema, "blockdev-add", "{\"driver\":\"qcow2\",\"file\":\"f\",\"filename\":\"/x\"}", 0,
         "Parameter 'filename' is unexpected"); /* of another variant */
  check (schema, "blockdev-add", "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":1}}", 0,
         "Invalid parameter type for 'file.filename', expected: string");
  check (schema, "blockdev-add", "{\"driver\":\"qcow2\",\"file\":1}", 0, "Invalid parameter type for 'file'");
  check (schema, "migrate-set-capabilities", "{\"capabilities\":[{\"capability\":\"xbzrle\"}]}", 0,
         "Parameter 'capabilities[0].state' is missing");
  check (schema, "object-add", "{\"qom-type\":\"memory-backend-ram\",\"id\":\"m\"}", 0,
         "Parameter 'size' is missing");
}

static void
refuse_schema (const char *text)
{
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpSchema) schema = qmp_schema_new (object, &error);

  g_assert_null (schema);
  g_assert_error (error, VM_ERROR, VM_ERROR_INVALID);
}

static void
test_broken_schema (void)
{
  /* Types that are not there, that name themselves, that lack everything. */
  const char *text = "[{\"name\":\"a\",\"meta-type\":\"command\",\"arg-type\":\"gone\"},"
                     "{\"name\":\"b\",\"meta-type\":\"command\",\"arg-type\":\"loop\"},"
                     "{\"name\":\"loop\",\"meta-type\":\"object\",\"tag\":\"t\",\"members\":[1],"
                     "\"variants\":[{\"case\":\"x\",\"type\":\"loop\"}]},"
                     "{\"name\":\"c\",\"meta-type\":\"command\",\"arg-type\":\"array\"},"
                     "{\"name\":\"array\",\"meta-type\":\"array\",\"element-type\":\"array\"},"
                     "{\"name\":\"d\",\"meta-type\":\"command\"}]";
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (QmpSchema) schema = qmp_schema_new (object, NULL);
  g_autoptr (json_object) arguments = vm_json_parse ("{\"t\":\"x\"}", 9, NULL);
  static const char *const commands[] = {"a", "b", "c", "d"};

  g_assert_nonnull (schema);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++) {
    (void)qmp_schema_check (schema, commands[i], arguments, NULL);
    g_assert_false (qmp_schema_has_argument (schema, commands[i], "q.r"));
  }
  refuse_schema ("{}");
  refuse_schema ("null");
  refuse_schema ("[1]");
  refuse_schema ("[{\"name\":\"a\"}]");
  refuse_schema ("[{\"meta-type\":\"command\"}]");
}

/* device_add is open, but not what lies inside it. */
static void
test_open (void)
{
  const char *text =
      "[{\"name\":\"device_add\",\"meta-type\":\"command\",\"arg-type\":\"1\"},"
      "{\"name\":\"1\",\"meta-type\":\"object\",\"members\":[{\"name\":\"in\",\"type\":\"2\"}]},"
      "{\"name\":\"2\",\"meta-type\":\"object\",\"members\":[]}]";
  g_autoptr (json_object) object = vm_json_parse (text, strlen (text), NULL);
  g_autoptr (QmpSchema) schema = qmp_schema_new (object, NULL);

  check (schema, "device_add", "{\"in\":{},\"x\":1}", 0, NULL);
  check (schema, "device_add", "{\"in\":{\"x\":1}}", 0, "Parameter 'in.x' is unexpected");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/qmp/schema/lookup", test_lookup);
  g_test_add_func ("/qmp/schema/argument", test_argument);
  g_test_add_func ("/qmp/schema/fits", test_fits);
  g_test_add_func ("/qmp/schema/does-not-fit", test_does_not_fit);
  g_test_add_func ("/qmp/schema/open", test_open);
  g_test_add_func ("/qmp/schema/broken-schema", test_broken_schema);
  return g_test_run ();
}
