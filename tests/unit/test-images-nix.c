/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/nix.h"

#include "vmctl/base/error.h"

static void
test_words (void)
{
  static const char *const cases[][2] = {
      {"nix:.#box", ".#nixosConfigurations.box"},
      {"nix:/a b/c#box", "/a b/c#nixosConfigurations.box"},
      {"nix:path:./x?dir=a&narHash=y#nixosConfigurations.box",
       "path:./x?dir=a&narHash=y#nixosConfigurations.box"},
      {"nix:github:a/b/v1.0#legacyPackages.x.y", "github:a/b/v1.0#legacyPackages.x.y"},
      {"nix:.#nixosConfigurations.\"a.b\"", ".#nixosConfigurations.\"a.b\""},
      {"nix:./-x#box", "./-x#nixosConfigurations.box"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) words = image_nix_words (cases[i][0], "/part/link", &error);
    g_autofree char *text = NULL, *wanted = NULL;

    g_assert_no_error (error);
    text = g_strjoinv ("|", words);
    wanted = g_strconcat (
        "--extra-experimental-features|nix-command flakes|build|--verbose|--out-link|/part/link|",
        cases[i][1], ".config.system.build.toplevel", NULL);
    g_assert_cmpstr (text, ==, wanted);
  }
}

static void
test_names (void)
{
  static const char *const cases[][2] = {
      {"nix:.#box", "box"},
      {"nix:.#nixosConfigurations.box", "box"},
      {"nix:.#nixosConfigurations.\"my-box\"", "my-box"},
      {"nix:.#x.\"", NULL},
      {"nix:.#x.\"\"", NULL},
      {"nix:.#a b", NULL},
      {"nix:.#x.", NULL},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *name = image_nix_name (cases[i][0], &error);

    g_assert_cmpstr (name, ==, cases[i][1]);
    if (cases[i][1] == NULL)
      g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  }
}

/* None may be an option of Nix's, or name no system. */
static void
test_refuses (void)
{
  static const char *const cases[] = {"nix:",    "nix:.",          "nix:.#",        "nix:#box",
                                      "nix:-#b", "nix:--eval#box", "nix:-I x=y#box"};

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_null (image_nix_words (cases[i], "l", &error));
    g_assert_error (error, VM_ERROR, VM_ERROR_USAGE);
  }
  g_assert_true (image_nix_is ("nix:x"));
  g_assert_false (image_nix_is ("debian:nix"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/images/nix/words", test_words);
  g_test_add_func ("/images/nix/names", test_names);
  g_test_add_func ("/images/nix/refuses", test_refuses);
  return g_test_run ();
}
