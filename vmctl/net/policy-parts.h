/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to policy*.c. */
#pragma once

#include "vmctl/net/policy.h"

/* Fills `buckets` and `next` for the names that are there. False: no memory. */
bool net_policy_index (NetPolicy *policy);
