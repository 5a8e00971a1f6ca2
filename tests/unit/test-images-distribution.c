/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/distribution.h"

#include "images/subids.h"

#include "vmctl/base/error.h"

static char *
words_of (const ImageDistribution *d, gboolean is_root)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) words = image_distribution_words (d, "/x/root.tar", is_root, &error);

  g_assert_no_error (error);
  return g_strjoinv ("|", words);
}

static void
test_words (void)
{
  ImageDistribution d = {.what = "debian:bookworm"};
  g_autofree char *plain = words_of (&d, FALSE), *more = NULL;

  g_assert_cmpstr (
      plain, ==,
      "--variant=minbase|--format=tar|--mode=unshare|--include=systemd,systemd-sysv,udev,dbus,login,passwd,"
      "util-linux,mount,iproute2,kmod,procps,netbase,ca-certificates|bookworm|/x/root.tar");
  d.packages = "git,g++";
  d.mirror = "http://localhost:8000/debian";
  more = words_of (&d, TRUE);
  g_assert_true (g_str_has_prefix (more, "--variant=minbase|--format=tar|--mode=root|"));
  g_assert_true (
      g_str_has_suffix (more, ",ca-certificates,git,g++|bookworm|/x/root.tar|http://localhost:8000/debian"));
}

/* None of it may become an option, a second word, or a command of apt's. */
static void
test_refuses (void)
{
  static const char *const whats[] = {"debian",      "debian:", "debian:-x", "debian:a b",
                                      "debian:../x", "nix:x#y", "-x"};
  static const char *const packages[] = {"",    "a,",    "-a",         "a b", "a/sid",
                                         "a=1", "a$(x)", "?essential", "a,,b"};
  static const char *const mirrors[] = {"", "/x", "ftp://x", "http://x y", "copy:/x", "http://[x]/"};
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (whats); i++) {
    ImageDistribution d = {.what = whats[i]};

    g_assert_null (image_distribution_words (&d, "t", FALSE, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_clear_error (&error);
  }
  for (guint i = 0; i < G_N_ELEMENTS (packages); i++) {
    ImageDistribution d = {.what = "debian:sid", .packages = packages[i]};

    g_assert_null (image_distribution_words (&d, "t", FALSE, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_clear_error (&error);
  }
  for (guint i = 0; i < G_N_ELEMENTS (mirrors); i++) {
    ImageDistribution d = {.what = "debian:sid", .mirror = mirrors[i]};

    g_assert_null (image_distribution_words (&d, "t", FALSE, &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
    g_clear_error (&error);
  }
}

static void
test_subids (void)
{
  const char *text =
      "# none\nbob:1:70000\nann:100000:1000\nann:x:65536\nann:200000:65536\n1234:300000:100000\n"
      "eve:4294967295:65536\nann:1:2:3\n";
  g_autofree char *ann = image_subids_parse (text, "ann", 5), *number = image_subids_parse (text, NULL, 1234);

  g_assert_cmpstr (ann, ==, "200000:65536");
  g_assert_cmpstr (number, ==, "300000:65536");
  g_assert_null (image_subids_parse (text, "eve", 5));
  g_assert_null (image_subids_parse (text, "an", 6));
  g_assert_null (image_subids_parse ("", "ann", 5));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/distribution/words", test_words);
  g_test_add_func ("/images/distribution/refuses", test_refuses);
  g_test_add_func ("/images/distribution/subids", test_subids);
  return g_test_run ();
}
