/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/power.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#ifdef __x86_64__
#include <sys/io.h>
#endif

#include "meta/agent/util.h"

/* ACPI 6.4, tables 5.4 (header: the OEM's name at 10) and 5.9 (PM1a_CNT_BLK, four bytes, at 64),
 * and 4.8.3.2.1 (the register: SLP_TYP in bits 10 to 12, SLP_EN bit 13). In QEMU's machines type 0 is "off"
 * (hw/acpi/core.c). */
enum {
  OEM_AT = 10,
  PORT_AT = 64,
  TABLE_MIN = PORT_AT + 4,
  PORT_MAX = 0xffff - 1,
  SLEEP_NOW = 1 << 13,
  WAIT_MS = 1000
};

#define QEMU_OEM "BOCHS "
#define TABLE "/sys/firmware/acpi/tables/FACP"

unsigned
power_port (const unsigned char *table, unsigned long n)
{
  const unsigned char *at = table + PORT_AT;
  unsigned port;

  if (n < TABLE_MIN || memcmp (table, "FACP", 4) != 0 ||
      memcmp (table + OEM_AT, QEMU_OEM, strlen (QEMU_OEM)) != 0)
    return 0;
  port = at[0] | (unsigned)at[1] << 8 | (unsigned)at[2] << 16 | (unsigned)at[3] << 24;
  return port <= PORT_MAX ? port : 0;
}

unsigned
power_find_port (void)
{
  unsigned char table[TABLE_MIN];
  int fd = open (TABLE, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read (fd, table, sizeof table);

  close_fd (&fd);
  return n < 0 ? 0 : power_port (table, (unsigned long)n);
}

void
power_off_now (unsigned port)
{
#ifdef __x86_64__
  if (port == 0 || ioperm (port, 2, 1) < 0)
    return;
  outw (SLEEP_NOW, (unsigned short)port);
  usleep (WAIT_MS * 1000); /* QEMU stops us in between */
#else
  (void)port;
#endif
}
