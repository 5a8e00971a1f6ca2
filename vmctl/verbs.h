/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Declares vm_verb_NAME for every verb of the table. */
#pragma once

#include "vmctl/verb.h"

#define VERB(name) extern const VmVerb vm_verb_##name;
#include "vmctl/verbs.def"
#undef VERB
