/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The allow-list of the host's /etc: the one list that says what of it may come in, and with which grant.
 * Read by the gathering (which looks for nothing else) and again by the plan (which trusts no fact that is
 * not on it). */
#pragma once

#include <glib.h>

typedef struct {
  const char *name;  /* below /etc; a last component may end in '*' */
  const char *grant; /* NULL: always in */
} VmEtcRule;

extern const VmEtcRule vm_etc_rules[]; /* ends with name NULL */

/* The rule for an absolute path; NULL: not allowed. */
const VmEtcRule *vm_etc_rule_find (const char *path);
