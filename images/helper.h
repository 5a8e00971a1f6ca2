/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vmctl's own programs for images (vmctl-image, vmctl-ext) have in common: they read what others made,
 * and so may do little. */
#pragma once

#include <glib.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
#define IMAGE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IMAGE_SANITIZED 1
#endif
#endif

void image_helper_limit (int what, rlim_t value);
/* It reads and writes files, and nothing else: no network, no programs, at most `memory` bytes. A file that
 * becomes too large is an error and no signal. The sanitizers need more than that. */
gboolean image_helper_restrict (rlim_t memory, GError **error);
