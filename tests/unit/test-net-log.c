/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl/net/log.c: its lines, its rates, its end. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "vmctl/net/log.h"

typedef struct {
  char *path;
  NetLog log;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("net-log-XXXXXX", &f->path, &error);

  g_assert_no_error (error);
  f->log = (NetLog){.fd = fd};
  g_assert_cmpint (fcntl (fd, F_SETFL, O_APPEND), ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  (void)close (f->log.fd);
  (void)g_unlink (f->path);
  g_free (f->path);
}

/* The lines without their times. */
static char **
lines_of (const Fixture *f)
{
  g_autofree char *text = NULL;
  char **lines;

  g_assert_true (g_file_get_contents (f->path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL && **line != '\0'; line++) {
    char *space = strchr (*line, ' ');

    g_assert_nonnull (space);
    g_assert_true (g_regex_match_simple ("^[0-9]{10,}[.][0-9]{3} ", *line, 0, 0));
    memmove (*line, space + 1, strlen (space));
  }
  return lines;
}

static void
test_lines (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) lines = NULL;

  g_assert_true (net_log_write (&f->log, false, "tcp", NULL, 0xa9fea9fe, 80, "cloud metadata"));
  g_assert_true (net_log_write (&f->log, true, "tcp", "registry.npmjs.org", 0x68100122, 443, "@npm"));
  g_assert_true (net_log_write (&f->log, false, "dns", "evil.example", 0, 53, "not on the list"));
  lines = lines_of (f);
  g_assert_cmpuint (g_strv_length (lines), ==, 4);
  g_assert_cmpstr (lines[0], ==, "refuse tcp - 169.254.169.254 80 cloud metadata");
  g_assert_cmpstr (lines[1], ==, "allow tcp registry.npmjs.org 104.16.1.34 443 @npm");
  g_assert_cmpstr (lines[2], ==, "refuse dns evil.example - 53 not on the list");
}

/* A thousand that are allowed leave room for what is refused. */
static void
test_rates (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) lines = NULL;
  guint written = 0, n;

  for (guint i = 0; i < 1000; i++)
    written += net_log_write (&f->log, true, "tcp", NULL, 0x08080808, 443, "public");
  g_assert_cmpuint (written, >=, NET_LOG_BURST);
  g_assert_cmpuint (written, <, 1000);
  g_assert_true (net_log_write (&f->log, false, "tcp", NULL, 0x0a000001, 22, "private"));
  f->log.allowed.refilled_ms -= 1000; /* a second later */
  n = f->log.allowed.left_out;
  g_assert_cmpuint (n, ==, 1000 - written);
  g_assert_true (net_log_write (&f->log, true, "tcp", NULL, 0x08080808, 443, "public"));
  g_assert_cmpuint (f->log.allowed.left_out, ==, 0);
  lines = lines_of (f);
  g_assert_cmpuint (g_strv_length (lines), ==, written + 4);
  {
    g_autofree char *more = g_strdup_printf ("allow %u more", n);

    g_assert_cmpstr (lines[written + 1], ==, more);
  }
}

static void
test_bound (Fixture *f, gconstpointer data)
{
  char rule[1000];

  memset (rule, 'x', sizeof rule - 1);
  rule[sizeof rule - 1] = '\0';
  for (guint i = 0; i < 3000; i++) {
    f->log.refused.refilled_ms -= 1000;
    g_assert_true (net_log_write (&f->log, false, "tcp", NULL, 0x0a000001, 22, rule));
    g_assert_cmpint (lseek (f->log.fd, 0, SEEK_END), <=, NET_LOG_LIMIT);
  }
}

static void
test_none (Fixture *f, gconstpointer data)
{
  NetLog log = {.fd = -1};

  g_assert_false (net_log_write (&log, false, "tcp", NULL, 1, 1, "x"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/net/log/lines", Fixture, NULL, set_up, test_lines, tear_down);
  g_test_add ("/net/log/rates", Fixture, NULL, set_up, test_rates, tear_down);
  g_test_add ("/net/log/bound", Fixture, NULL, set_up, test_bound, tear_down);
  g_test_add ("/net/log/none", Fixture, NULL, set_up, test_none, tear_down);
  return g_test_run ();
}
