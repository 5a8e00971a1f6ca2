/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds where one JSON value ends, a byte at a time. It knows the grammar of values, objects, arrays and
 * strings; what numbers and words really are, and UTF-8, is left to vm_json_parse. Nothing is stored but the
 * shape, so input in pieces of any size gives the same answer. */
#pragma once

#include <glib.h>

#include "vmctl/base/json.h"

enum { QMP_SCAN_VALUES_MAX = 1 << 20 }; /* values and members in one message: bounds what json-c allocates */

typedef enum {
  QMP_SCAN_MORE,        /* this byte belongs to a value that goes on */
  QMP_SCAN_DONE,        /* this byte is the last of the value */
  QMP_SCAN_DONE_BEFORE, /* the value, a number or word, ended before this byte; feed it to a new scan */
  QMP_SCAN_BAD,         /* no JSON value goes on with this byte */
} QmpScanResult;

typedef enum {
  QMP_SCAN_VALUE,        /* a value must come */
  QMP_SCAN_VALUE_OR_END, /* after '[' */
  QMP_SCAN_KEY,          /* after ',' in an object */
  QMP_SCAN_KEY_OR_END,   /* after '{' */
  QMP_SCAN_COLON,
  QMP_SCAN_NEXT, /* after a value in a container: ',' or its end */
  QMP_SCAN_STRING,
  QMP_SCAN_ESCAPE, /* after a backslash */
  QMP_SCAN_WORD,   /* number, true, false, null */
} QmpScanState;

/* All zero is a scan that has not begun. */
typedef struct {
  QmpScanState state;
  gboolean is_key; /* the string is a member's name */
  guint depth;
  guint values;
  guint8 is_object[VM_JSON_DEPTH]; /* what each open container is */
} QmpScan;

QmpScanResult qmp_scan (QmpScan *scan, char byte);
