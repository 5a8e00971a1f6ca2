/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The predecessor's words, and what they become. */
#include <string.h>

#include "vmctl/base/error.h"
#include "vmctl/legacy.h"

static const struct {
  const char *old, *new; /* words with one space between them */
} cases[] = {
    {"claude-sandbox", "up --driver bwrap --profile claude"},
    {"claude-sandbox-container", "up --driver nspawn --profile claude"},
    {"/usr/bin/claude-sandbox-vm", "up --driver qemu --profile claude"},
    {"claude-sandbox ./p", "up --driver bwrap --profile claude ./p"},
    {"claude-sandbox ./p -- -p hello", "up --driver bwrap --profile claude ./p -- -p hello"},
    {"claude-sandbox ./p --continue", "up --driver bwrap --profile claude ./p -- --continue"},
    {"claude-sandbox -- --version", "up --driver bwrap --profile claude -- --version"},
    {"claude-sandbox --", "up --driver bwrap --profile claude"},
    {"claude-sandbox -- --", "up --driver bwrap --profile claude -- --"},
    {"claude-sandbox --shell p", "up --driver bwrap --profile claude-shell p"},
    {"claude-sandbox --shell p -- make", "up --driver bwrap --profile claude-shell p -- make"},
    {"claude-sandbox --gh-token --shell --new p",
     "up --driver bwrap --profile claude-shell --grant gh-token --new p"},
    {"claude-sandbox --grant display --no-grant=gh --net none p",
     "up --driver bwrap --profile claude --grant display --no-grant=gh --net none p"},
    {"claude-sandbox --tmux p", "up --driver bwrap --profile claude --tmux p"},
    {"claude-sandbox-vm --enter", "enter ."},
    {"claude-sandbox-vm --enter p", "enter p"},
    {"claude-sandbox-vm --enter p -- ls -l", "exec p -- ls -l"},
    {"claude-sandbox --stop", "stop ."},
    {"claude-sandbox --stop /a/b", "stop /a/b"},
};

static char **
translate (const char *words, gboolean *ret_help, GError **error)
{
  g_auto (GStrv) argv = g_strsplit (words, " ", -1);

  g_assert_true (vm_legacy_is_name (argv[0]));
  return vm_legacy_translate (argv[0], argv + 1, ret_help, error);
}

static void
test_words (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    gboolean help;
    g_auto (GStrv) argv = translate (cases[i].old, &help, &error);
    g_autofree char *text = NULL;

    g_assert_no_error (error);
    g_assert_false (help);
    text = g_strjoinv (" ", argv);
    g_assert_cmpstr (text, ==, cases[i].new);
  }
}

static void
test_refusals (void)
{
  static const struct {
    const char *old, *part;
  } wrong[] = {
      {"claude-sandbox --shel", "--shel"},
      {"claude-sandbox -x", "-x"},
      {"claude-sandbox --grants x", "--grants"},
      {"claude-sandbox --grant", "--grant needs a value"},
      {"claude-sandbox --stop --net none", "no other option"},
      {"claude-sandbox --enter --stop", "exclude each other"},
      {"claude-sandbox --stop --new", "no other option"},
      {"claude-sandbox --enter --tmux p", "no other option"},
      {"claude-sandbox --stop p -- x", "no command"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;
    gboolean help;

    g_assert_null (translate (wrong[i].old, &help, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_assert_nonnull (strstr (error->message, wrong[i].part));
  }
}

/* Words are words, whatever is in them. */
static void
test_odd_words (void)
{
  char *args[] = {(char *)"a b", (char *)"--", (char *)"$(x)", (char *)"", (char *)"q'q", NULL};
  gboolean help;
  g_auto (GStrv) argv = vm_legacy_translate ("claude-sandbox", args, &help, NULL);

  g_assert_cmpuint (g_strv_length (argv), ==, 10);
  g_assert_cmpstr (argv[5], ==, "a b");
  g_assert_cmpstr (argv[7], ==, "$(x)");
  g_assert_cmpstr (argv[8], ==, "");
  g_assert_cmpstr (argv[9], ==, "q'q");
}

static void
test_help (void)
{
  gboolean help = FALSE;
  g_autofree char *text = vm_legacy_help_text ("x/claude-sandbox-container");

  g_assert_null (translate ("claude-sandbox --help", &help, NULL));
  g_assert_true (help);
  help = FALSE;
  g_assert_null (translate ("claude-sandbox --shell -h p", &help, NULL));
  g_assert_true (help);
  g_assert_nonnull (strstr (text, "--driver nspawn"));
  g_assert_nonnull (strstr (text, "--gh-token"));
}

static void
test_names (void)
{
  g_assert_false (vm_legacy_is_name ("vmctl"));
  g_assert_false (vm_legacy_is_name ("claude-sandbox-x"));
  g_assert_false (vm_legacy_is_name ("claude"));
  g_assert_true (vm_legacy_is_name ("./claude-sandbox-vm"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmctl/legacy/words", test_words);
  g_test_add_func ("/vmctl/legacy/refusals", test_refusals);
  g_test_add_func ("/vmctl/legacy/odd-words", test_odd_words);
  g_test_add_func ("/vmctl/legacy/help", test_help);
  g_test_add_func ("/vmctl/legacy/names", test_names);
  return g_test_run ();
}
