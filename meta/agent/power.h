/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes "soft off" to the ACPI register of a QEMU machine, so that it ends at once: the kernel's own way
 * there stops every device first and interprets the firmware's byte code, and emulation takes tens of
 * milliseconds over that. Whatever has to be written must have been. Returns if `port` is 0, or if it did not
 * end. */
void power_off_now (unsigned port);

/* Where that register is; 0: this is no such machine. A template finds it for those who go on from it. */
unsigned power_find_port (void);

/* Of the ACPI table FACP (`n` bytes of it): the port of the register PM1a_CNT, if it is QEMU's and has one;
 * else 0. */
unsigned power_port (const unsigned char *table, unsigned long n);
