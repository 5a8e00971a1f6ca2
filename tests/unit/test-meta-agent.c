/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real vmctl-agent in --socket mode: what commands see of it. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/agent-host.h"

enum { BULK = 50 << 20 };

typedef struct {
  Host *host;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->host = host_new (FALSE, NULL);
  host_set_up (f->host);
  g_assert_cmpint (f->host->hello, ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  host_free (f->host);
}

static void
test_exit_status (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (host_run (f->host, "exit 0"), ==, 0);
  g_assert_cmpint (host_run (f->host, "exit 1"), ==, 1);
  g_assert_cmpint (host_run (f->host, "exit 42"), ==, 42);
  g_assert_cmpint (host_run (f->host, "exit 255"), ==, 255);
  g_assert_cmpint (host_run (f->host, "kill -TERM $$"), ==, 128 + SIGTERM);
  g_assert_cmpint (host_run (f->host, "kill -KILL $$"), ==, 128 + SIGKILL);
  g_assert_cmpuint (host_session (f->host, 9)->kind, ==, FRAME_EXIT_SIGNAL);
}

static int
run_words (Host *host, const char *const *argv)
{
  host_open (host, 9, argv);
  return host_feed (host, 9, NULL, 0);
}

static void
test_cannot_start (Fixture *f, gconstpointer data)
{
  HostSession *session;

  g_assert_cmpint (run_words (f->host, (const char *[]){"/no/such/program", NULL}), ==, 127);
  g_assert_cmpint (run_words (f->host, (const char *[]){"no-such-program", "x", NULL}), ==, 127);
  session = host_session (f->host, 9);
  g_assert_cmpuint (session->kind, ==, FRAME_EXIT_ERRNO);
  g_assert_cmpuint (session->value, ==, ENOENT);
  g_assert_false (session->started);
  g_assert_cmpint (run_words (f->host, (const char *[]){"/etc/passwd", NULL}), ==, 126);
  g_assert_cmpuint (host_session (f->host, 9)->value, ==, EACCES);
  g_assert_cmpint (run_words (f->host, (const char *[]){"/usr", NULL}), ==, 126);
  g_assert_cmpint (run_words (f->host, (const char *[]){"", NULL}), ==, 127);
}

static void
test_script_without_interpreter (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->host->meta, "script", NULL);

  g_assert_true (g_file_set_contents (path, "echo \"$0 $1\"; exit 3\n", -1, NULL));
  g_assert_cmpint (chmod (path, 0755), ==, 0);
  g_assert_cmpint (run_words (f->host, (const char *[]){path, "one", NULL}), ==, 3);
  g_assert_true (g_str_has_prefix ((char *)host_session (f->host, 9)->out[1]->data, path));
}

static void
test_streams_are_apart (Fixture *f, gconstpointer data)
{
  HostSession *session;

  g_assert_cmpint (host_run (f->host, "echo out; echo err >&2; cat; echo out2"), ==, 0);
  host_assert_output (f->host, 9, FRAME_STDOUT, "out\nout2\n");
  host_assert_output (f->host, 9, FRAME_STDERR, "err\n");
  session = host_session (f->host, 9);
  g_assert_true (session->started);
  g_assert_cmpuint (session->pid, >, 1);
  g_assert_true (session->eof[FRAME_STDOUT] && session->eof[FRAME_STDERR]);
}

static void
test_environment (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();
  const char *words[] = {"sh", "-c", "echo $META,${GONE-unset},$NEW,$PWD,$(pwd)"};

  for (int i = 0; i < 3; i++)
    host_field_text (fields, FRAME_TAG_ARG, words[i]);
  host_field_text (fields, FRAME_TAG_ENV, "GONE");
  host_field_text (fields, FRAME_TAG_ENV, "META=other");
  host_field_text (fields, FRAME_TAG_ENV, "NEW=a=b");
  host_field_text (fields, FRAME_TAG_CWD, "/");
  host_open_fields (f->host, 9, fields);
  g_assert_cmpint (host_feed (f->host, 9, NULL, 0), ==, 0);
  host_assert_output (f->host, 9, FRAME_STDOUT, "other,unset,a=b,/,/\n");
  g_assert_cmpint (host_run (f->host, "echo $META,$GONE,$PWD"), ==, 0);
  host_assert_output (f->host, 9, FRAME_STDOUT, "yes,soon,/usr\n");
  g_assert_cmpint (run_words (f->host, (const char *[]){"printenv", "PWD", NULL}), ==,
                   0); /* not by the shell */
  host_assert_output (f->host, 9, FRAME_STDOUT, "/usr\n");
}

static void
test_clean_start (Fixture *f, gconstpointer data)
{
  /* No descriptor of the agent leaks, no signal is blocked or ignored, it leads its own session. */
  g_assert_cmpint (host_run (f->host, "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status;"
                                      "cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$"),
                   ==, 0);
  g_assert_true (g_str_has_prefix ((char *)host_session (f->host, 9)->out[1]->data,
                                   "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"));
  g_assert_cmpint (host_run (f->host, "test \"$(cut -d' ' -f5,6 /proc/$$/stat)\" = \"$$ $$\""), ==, 0);
}

static void
expect_refusal (Host *host, const GByteArray *fields, FrameExitKind kind, int error)
{
  host_open_fields (host, 9, fields);
  host_until_exit (host, 9);
  g_assert_cmpuint (host_session (host, 9)->kind, ==, kind);
  g_assert_cmpint (host_session (host, 9)->value, ==, error);
}

static void
test_refused_fields (Fixture *f, gconstpointer data)
{
  static const struct {
    guint tag;
    const char *value;
    gsize n;
    int error;
    FrameExitKind kind;
  } table[] = {
      {FRAME_TAG_CWD, "relative", 8, EINVAL},
      {FRAME_TAG_CWD, "/no/such/dir", 12, ENOENT, FRAME_EXIT_CWD},
      {FRAME_TAG_CWD, "/a\0b", 4, EINVAL},
      {FRAME_TAG_CWD, "", 0, EINVAL},
      {FRAME_TAG_CWD, "/etc/passwd", 11, ENOTDIR, FRAME_EXIT_CWD},
      {FRAME_TAG_ENV, "=x", 2, EINVAL},
      {FRAME_TAG_ENV, "", 0, EINVAL},
      {FRAME_TAG_ARG, "a\0b", 3, EINVAL},
      {FRAME_TAG_ROOT, "", 0, EPERM},
      {FRAME_TAG_CONSOLE, "", 0, ENOTTY},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++) {
    g_autoptr (GByteArray) fields = g_byte_array_new ();
    host_field_text (fields, FRAME_TAG_ARG, "true");
    host_field (fields, table[i].tag, table[i].value, table[i].n);
    expect_refusal (f->host, fields, table[i].kind != 0 ? table[i].kind : FRAME_EXIT_ERRNO, table[i].error);
  }
  g_assert_cmpint (host_run (f->host, "exit 5"), ==, 5);
}

static void
test_entrypoint_and_shell (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();

  host_open_fields (f->host, 9, fields);
  g_assert_cmpint (host_feed (f->host, 9, NULL, 0), ==, 0);
  host_assert_output (f->host, 9, FRAME_STDOUT, "entrypoint\n");
  host_field (fields, FRAME_TAG_SHELL, NULL, 0);
  host_open_fields (f->host, 9, fields);
  g_assert_cmpint (host_feed (f->host, 9, "echo $((40+2)); exit 8\n", 23), ==, 8);
  host_assert_output (f->host, 9, FRAME_STDOUT, "42\n");
}

static void
test_bulk (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc (BULK);
  g_autofree char *want = NULL;
  HostSession *session;
  guint32 x = 12345;

  for (gsize i = 0; i < BULK; i++) {
    x = x * 1664525 + 1013904223;
    bytes[i] = (guint8)(x >> 24);
  }
  want = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, BULK);
  session = host_open_shell (f->host, 9, "cat; exit 6");
  g_assert_cmpint (host_feed (f->host, 9, bytes, BULK), ==, 6);
  g_assert_cmpmem (session->out[1]->data, session->out[1]->len, bytes, BULK);
  session = host_open_shell (f->host, 9, "sha256sum >&2");
  g_assert_cmpint (host_feed (f->host, 9, bytes, BULK), ==, 0);
  g_assert_cmpmem (session->out[2]->data, 64, want, 64);
}

static void
test_all_bytes (Fixture *f, gconstpointer data)
{
  guint8 bytes[256];

  for (guint i = 0; i < 256; i++)
    bytes[i] = (guint8)i;
  host_open (f->host, 9, (const char *[]){"cat", NULL});
  g_assert_cmpint (host_feed (f->host, 9, bytes, sizeof bytes), ==, 0);
  g_assert_cmpmem (host_session (f->host, 9)->out[1]->data, host_session (f->host, 9)->out[1]->len, bytes,
                   256);
}

static void
test_unread_input (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (4 << 20);

  host_open (f->host, 9, (const char *[]){"true", NULL});
  g_assert_cmpint (host_feed (f->host, 9, bytes, 4 << 20), ==, 0);
}

static void
test_closed_input_gives_credit (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (4 << 20);

  host_open_shell (f->host, 9, "exec <&-; echo closed; sleep 0.3; exit 3");
  host_until_output (f->host, 9, "closed");
  g_assert_cmpint (host_feed (f->host, 9, bytes, 4 << 20), ==, 3);
}

static GByteArray *
tty_fields (guint rows, guint columns, const char *script)
{
  GByteArray *fields = g_byte_array_new ();
  guint8 size[4];

  host_field_text (fields, FRAME_TAG_ARG, "sh");
  host_field_text (fields, FRAME_TAG_ARG, "-c");
  host_field_text (fields, FRAME_TAG_ARG, script);
  frame_put_u16 (size, (guint16)rows);
  frame_put_u16 (size + 2, (guint16)columns);
  host_field (fields, FRAME_TAG_TTY, size, sizeof size);
  return fields;
}

/* A trap may end the shell's `read`. */
static void
test_tty (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) fields =
      tty_fields (33, 77,
                  "test -t 0 && test -t 1 && test -t 2 && stty size; trap 'stty size; w=1' WINCH;"
                  "echo ready >&2; while read x || test \"$w\"; do w=; echo \"<$x>\"; done; exit 4");
  guint8 size[4] = {50, 0, 0xff, 0xff};

  host_open_fields (f->host, 9, fields);
  host_until_output (f->host, 9, "33 77\r\nready\r\n"); /* all of it is stdout's */
  host_send (f->host, FRAME_RESIZE, 9, 0, size, sizeof size);
  host_send (f->host, FRAME_DATA, 9, FRAME_STDIN, "abc\n", 4);
  host_until_output (f->host, 9, "<abc>");
  host_until_output (f->host, 9, "50 4096"); /* clamped */
  g_assert_cmpint (host_feed (f->host, 9, "no newline", 10), ==, 4);
  g_assert_false (host_session (f->host, 9)->eof[FRAME_STDERR]);
}

/* Programs close their descriptors just before they end: that is no reason to hang up. */
static void
test_tty_closed_early (Fixture *f, gconstpointer data)
{
  for (int i = 0; i < 20; i++) {
    g_autoptr (GByteArray) fields = tty_fields (24, 80, "echo x; exec 0<&- 1>&- 2>&-; sleep 0.02; exit 9");
    host_open_fields (f->host, 9, fields);
    (void)host_feed (f->host, 9, NULL, 0);
    g_assert_cmpuint (host_session (f->host, 9)->kind, ==, FRAME_EXIT_STATUS);
    g_assert_cmpuint (host_session (f->host, 9)->value, ==, 9);
    host_assert_output (f->host, 9, FRAME_STDOUT, "x\r\n");
  }
}

static void
test_signal (Fixture *f, gconstpointer data)
{
  /* To the whole group: the shell ends by its child's status. */
  host_open_shell (f->host, 9, "echo ready; sleep 100; exit $?");
  host_until_output (f->host, 9, "ready");
  host_send_u32 (f->host, FRAME_SIGNAL, 9, 0, SIGTERM);
  host_until_exit (f->host, 9);
  g_assert_cmpuint (host_session (f->host, 9)->value, ==, SIGTERM);
  host_open_shell (f->host, 9,
                   "trap 'echo got; exit 12' USR1; echo ready; while :; do sleep 0.05; done 2>/dev/null");
  host_until_output (f->host, 9, "ready");
  host_send_u32 (f->host, FRAME_SIGNAL, 9, 0, SIGUSR1);
  host_until_exit (f->host, 9);
  host_assert_output (f->host, 9, FRAME_STDOUT, "ready\ngot\n");
}

/* On a terminal the group in front gets it, not the shell behind. */
static void
test_tty_signal (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) fields =
      tty_fields (24, 80,
                  "set -m; trap 'echo shell' INT; sh -c 'trap \"echo front; exit 7\" INT; echo ready;"
                  "while :; do sleep 0.05; done'; echo status $?");

  host_open_fields (f->host, 9, fields);
  host_until_output (f->host, 9, "ready");
  host_send_u32 (f->host, FRAME_SIGNAL, 9, 0, SIGINT);
  host_until_output (f->host, 9, "status 7");
  host_until_exit (f->host, 9);
  g_assert_null (
      memmem (host_session (f->host, 9)->out[1]->data, host_session (f->host, 9)->out[1]->len, "shell", 5));
}

static void
test_background_keeps_pipe (Fixture *f, gconstpointer data)
{
  gint64 start = g_get_monotonic_time ();

  g_assert_cmpint (host_run (f->host, "sleep 100 & echo done; exit 3"), ==, 3);
  host_assert_output (f->host, 9, FRAME_STDOUT, "done\n");
  g_assert_cmpint (g_get_monotonic_time () - start, <, 30 * G_USEC_PER_SEC);
  /* Not even one that never stops talking. */
  g_assert_cmpint (host_run (f->host, "yes & echo done >&2; exit 4"), ==, 4);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 60 * G_USEC_PER_SEC);
}

static gboolean
has_a_window (Host *host, gpointer data)
{
  return ((HostSession *)data)->out[1]->len >= FRAME_WINDOW;
}

/* What was written before the end arrives, however long the reader takes. */
static void
test_output_before_exit_arrives (Fixture *f, gconstpointer data)
{
  HostSession *session = host_open_shell (f->host, 9, "sleep 100 & head -c 400000 /dev/zero; exit 0");

  session->keep_credit = TRUE;
  host_until (f->host, has_a_window, session);
  host_pump_for (f->host, 2500);
  g_assert_cmpuint (session->out[1]->len, ==, FRAME_WINDOW);
  g_assert_false (session->exited);
  session->keep_credit = FALSE;
  host_send_u32 (f->host, FRAME_CREDIT, 9, FRAME_STDOUT, FRAME_WINDOW);
  session->in_flight[FRAME_STDOUT] = 0;
  host_until_exit (f->host, 9);
  g_assert_cmpuint (session->out[1]->len, ==, 400000);
}

static void
test_close (Fixture *f, gconstpointer data)
{
  host_open_shell (f->host, 9, "trap 'exit 11' HUP; echo ready; while :; do sleep 0.05; done");
  host_until_output (f->host, 9, "ready");
  host_send (f->host, FRAME_CLOSE, 9, 0, NULL, 0);
  host_until_exit (f->host, 9);
  /* One that will not go is not read any more, but does not stand still either. */
  host_session (f->host, 9);
  host_open_shell (f->host, 10, "trap '' HUP; echo ready; head -c 3000000 /dev/zero; exit 13");
  host_session (f->host, 10)->keep_credit = TRUE;
  host_until_output (f->host, 10, "ready");
  host_send (f->host, FRAME_CLOSE, 10, 0, NULL, 0);
  host_until_exit (f->host, 10);
  g_assert_cmpuint (host_session (f->host, 10)->value, ==, 13);
}

static void
test_close_tty (Fixture *f, gconstpointer data)
{
  g_autoptr (GByteArray) fields = tty_fields (24, 80, "echo ready; sleep 100");

  host_open_fields (f->host, 9, fields);
  host_until_output (f->host, 9, "ready");
  host_send (f->host, FRAME_CLOSE, 9, 0, NULL, 0);
  host_until_exit (f->host, 9);
  g_assert_cmpuint (host_session (f->host, 9)->kind, ==, FRAME_EXIT_SIGNAL);
  g_assert_cmpuint (host_session (f->host, 9)->value, ==, SIGHUP);
}

/* Nobody reads stdout any more: as with any closed pipe. */
static void
test_unread_output (Fixture *f, gconstpointer data)
{
  host_open (f->host, 9, (const char *[]){"yes", NULL});
  host_until_output (f->host, 9, "y\n");
  host_send (f->host, FRAME_EOF, 9, FRAME_STDOUT, NULL, 0);
  host_until_exit (f->host, 9);
  g_assert_cmpuint (host_session (f->host, 9)->kind, ==, FRAME_EXIT_SIGNAL);
  g_assert_cmpuint (host_session (f->host, 9)->value, ==, SIGPIPE);
}

static gboolean
has_answered (Host *host, gpointer data)
{
  return host->up || host->failed != NULL;
}

/* What a machine from a template is told before SETUP: bit 0: a seed, bit 1: the clock. It goes on only with
 * both. */
static void
test_template (gconstpointer data)
{
  guint told = GPOINTER_TO_UINT (data);
  guint8 hello[8] = {0}, seed[64] = {1}, clock[16] = {0};
  Host *host = host_new_template ();

  frame_put_u32 (hello, FRAME_VERSION);
  frame_put_u64 (clock, 1700000000);
  host_send (host, FRAME_HELLO, FRAME_CHANNEL_CONTROL, 0, hello, sizeof hello);
  if (told & 1)
    host_send (host, FRAME_SEED, FRAME_CHANNEL_CONTROL, 0, seed, sizeof seed);
  if (told & 2)
    host_send (host, FRAME_CLOCK, FRAME_CHANNEL_CONTROL, 0, clock, sizeof clock);
  host_send (host, FRAME_SETUP, FRAME_CHANNEL_CONTROL, 0, NULL, 0);
  host_until (host, has_answered, NULL);
  g_assert_cmpint (host->hello, ==, FRAME_HELLO_TEMPLATE);
  g_assert_cmpint (host->up, ==, told == 3);
  if (told != 3)
    g_assert_nonnull (strstr (host->failed, "comes from a template"));
  host_free (host);
}

static gboolean
has_come_up (Host *host, gpointer data)
{
  return host->up;
}

static void
bundle_file (GByteArray *bundle, const char *name, const char *data, gsize n)
{
  g_autofree char *size = g_strdup_printf ("%" G_GSIZE_FORMAT, n);

  g_byte_array_append (bundle, (const guint8 *)name, (guint)strlen (name) + 1);
  g_byte_array_append (bundle, (const guint8 *)size, (guint)strlen (size) + 1);
  g_byte_array_append (bundle, (const guint8 *)data, (guint)n);
}

/* What comes with SETUP counts; what it lacks is read from the directory. */
static void
test_bundle (void)
{
  static const char environment[] = "PATH=/usr/bin:/bin\0FROM=bundle";
  g_autoptr (GByteArray) bundle = g_byte_array_new (), fields = g_byte_array_new ();
  Host *host = host_new (FALSE, NULL);
  guint8 hello[8] = {0};

  bundle_file (bundle, "environment", environment, sizeof environment);
  bundle_file (bundle, "cwd", "/usr", 4);
  host_field (fields, FRAME_TAG_META, bundle->data, bundle->len);
  frame_put_u32 (hello, FRAME_VERSION);
  host_send (host, FRAME_HELLO, FRAME_CHANNEL_CONTROL, 0, hello, sizeof hello);
  host_send (host, FRAME_SETUP, FRAME_CHANNEL_CONTROL, 0, fields->data, fields->len);
  host_until (host, has_come_up, NULL);
  g_assert_cmpint (host_run (host, "pwd; echo $FROM"), ==, 0);
  host_assert_output (host, 9, FRAME_STDOUT, "/usr\nbundle\n");
  host_free (host);
}

#define ADD(name, function) g_test_add ("/meta/agent/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("exit-status", test_exit_status);
  ADD ("cannot-start", test_cannot_start);
  ADD ("script-without-interpreter", test_script_without_interpreter);
  ADD ("streams-are-apart", test_streams_are_apart);
  ADD ("environment", test_environment);
  ADD ("clean-start", test_clean_start);
  ADD ("refused-fields", test_refused_fields);
  ADD ("entrypoint-and-shell", test_entrypoint_and_shell);
  ADD ("bulk", test_bulk);
  ADD ("all-bytes", test_all_bytes);
  ADD ("unread-input", test_unread_input);
  ADD ("closed-input-gives-credit", test_closed_input_gives_credit);
  ADD ("tty", test_tty);
  ADD ("tty-closed-early", test_tty_closed_early);
  ADD ("signal", test_signal);
  ADD ("tty-signal", test_tty_signal);
  ADD ("background-keeps-pipe", test_background_keeps_pipe);
  ADD ("output-before-exit-arrives", test_output_before_exit_arrives);
  ADD ("close", test_close);
  ADD ("close-tty", test_close_tty);
  ADD ("unread-output", test_unread_output);
  g_test_add_func ("/meta/agent/bundle", test_bundle);
  g_test_add_data_func ("/meta/agent/template-told-nothing", GUINT_TO_POINTER (0), test_template);
  g_test_add_data_func ("/meta/agent/template-without-clock", GUINT_TO_POINTER (1), test_template);
  g_test_add_data_func ("/meta/agent/template-without-seed", GUINT_TO_POINTER (2), test_template);
  g_test_add_data_func ("/meta/agent/template", GUINT_TO_POINTER (3), test_template);
  return g_test_run ();
}
