/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people type after `vmctl qmp SANDBOX COMMAND`. */
#include "vmctl/base/error.h"
#include "vmctl/base/json.h"
#include "vmctl/qmp-args.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define W(text) ((char *)text)

static void
check (char **words, const char *want)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (json_object) object = vm_qmp_arguments (words, &error);
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  g_assert_nonnull (object);
  text = vm_json_line (object);
  g_assert_cmpstr (text, ==, want);
}

static void
refuse (char **words, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_qmp_arguments (words, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (g_strstr_len (error->message, -1, part));
}

static void
values (void)
{
  check (WORDS (W ("a=1")), "{\"a\":1}");
  check (WORDS (W ("a=-1.5"), W ("b=true"), W ("c=null")), "{\"a\":-1.5,\"b\":true,\"c\":null}");
  check (WORDS (W ("a=text"), W ("b=007"), W ("c=")), "{\"a\":\"text\",\"b\":\"007\",\"c\":\"\"}");
  check (WORDS (W ("a=\"1\"")), "{\"a\":\"1\"}");
  check (WORDS (W ("a=[1,{\"b\":2}]")), "{\"a\":[1,{\"b\":2}]}");
  check (WORDS (W ("a=b=c")), "{\"a\":\"b=c\"}");
  check (WORDS (W ("a={not json")), "{\"a\":\"{not json\"}");
  check (WORDS (W ("device.driver=x"), W ("device.id=y"), W ("n=1")),
         "{\"device\":{\"driver\":\"x\",\"id\":\"y\"},\"n\":1}");
  check (WORDS (W ("a.b.c=1"), W ("a.b.d=2")), "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}");
}

static void
object (void)
{
  check (WORDS (W ("{\"a\": 1}")), "{\"a\":1}");
  check (WORDS (W (" {}")), "{}");
}

static void
none (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (vm_qmp_arguments ((char *[]){NULL}, &error));
  g_assert_no_error (error);
}

static void
refused (void)
{
  refuse (WORDS (W ("word")), "KEY=VALUE");
  refuse (WORDS (W ("=1")), "empty");
  refuse (WORDS (W (".a=1")), "empty");
  refuse (WORDS (W ("a.=1")), "empty");
  refuse (WORDS (W ("a..b=1")), "empty");
  refuse (WORDS (W ("a=1"), W ("a=2")), "given twice");
  refuse (WORDS (W ("a.b=1"), W ("a=2")), "given twice");
  refuse (WORDS (W ("a=1"), W ("a.b=2")), "has a value already");
  refuse (WORDS (W ("a=null"), W ("a.b=2")), "has a value already");
  refuse (WORDS (W ("a=\xff")), "UTF-8");
  refuse (WORDS (W ("{\"a\": ")), "not JSON");
  refuse (WORDS (W ("{\"a\": 1} x")), "not JSON");
  refuse (WORDS (W ("{\"a\": 1}"), W ("b=1")), "KEY=VALUE");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/qmp-args/values", values);
  g_test_add_func ("/vmctl/qmp-args/object", object);
  g_test_add_func ("/vmctl/qmp-args/none", none);
  g_test_add_func ("/vmctl/qmp-args/refused", refused);
  return g_test_run ();
}
