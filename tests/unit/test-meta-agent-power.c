/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "meta/agent/power.h"

/* As Linux shows it in a machine of QEMU 7.2, q35: the first 76 bytes. */
static const guint8 q35[] = {
    'F', 'A', 'C', 'P', 0xf4, 0, 0, 0, 3, 0x90, 'B',  'O', 'C', 'H', 'S', ' ', 'B', 'X', 'P',
    'C', ' ', ' ', ' ', ' ',  1, 0, 0, 0, 'B',  'X',  'P', 'C', 1,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,    0, 1, 0, 9, 0,    0xb2, 0,   0,   0,   2,   3,   0,   0,   0,
    6,   0,   0,   0,   0,    0, 0, 4, 6, 0,    0,    0,   0,   0,   0,   0,   0,   0,   0,
};

static void
test_port (void)
{
  g_assert_cmpuint (power_port (q35, sizeof q35), ==, 0x604);
  g_assert_cmpuint (power_port (q35, 68), ==, 0x604);
}

static void
test_refused (void)
{
  guint8 other[sizeof q35];

  g_assert_cmpuint (power_port (q35, 67), ==, 0);
  g_assert_cmpuint (power_port (q35, 0), ==, 0);
  memcpy (other, q35, sizeof q35);
  memcpy (other + 10, "LENOVO", 6);
  g_assert_cmpuint (power_port (other, sizeof other), ==, 0);
  memcpy (other, q35, sizeof q35);
  other[0] = 'D';
  g_assert_cmpuint (power_port (other, sizeof other), ==, 0);
  memcpy (other, q35, sizeof q35);
  other[66] = 1;
  g_assert_cmpuint (power_port (other, sizeof other), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/agent/power/port", test_port);
  g_test_add_func ("/agent/power/refused", test_refused);
  return g_test_run ();
}
