/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGINT, SIGTERM and SIGHUP while something long is made: it is given up, and cleaned up after, instead of
 * the process just ending. For programs of one thread. */
#pragma once

#include <glib.h>

/* From now on, for good. */
void image_interrupt_catch (void);
/* Readable once one has come; -1: they are not caught. Borrowed. */
int image_interrupt_fd (void);
/* FALSE and an error if one has come. */
gboolean image_interrupt_check (GError **error);
