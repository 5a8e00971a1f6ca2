/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qmp/scanner.h"

static gboolean
is_blank (char byte)
{
  return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static gboolean
is_word (char byte)
{
  return g_ascii_isalnum (byte) || byte == '+' || byte == '-' || byte == '.';
}

static QmpScanResult
value_ended (QmpScan *scan)
{
  scan->state = QMP_SCAN_NEXT;
  return scan->depth == 0 ? QMP_SCAN_DONE : QMP_SCAN_MORE;
}

static QmpScanResult
open_container (QmpScan *scan, gboolean is_object)
{
  if (scan->depth == VM_JSON_DEPTH)
    return QMP_SCAN_BAD;
  scan->is_object[scan->depth++] = is_object ? 1 : 0;
  scan->state = is_object ? QMP_SCAN_KEY_OR_END : QMP_SCAN_VALUE_OR_END;
  return QMP_SCAN_MORE;
}

static QmpScanResult
close_container (QmpScan *scan, char byte)
{
  if (scan->depth == 0 || scan->is_object[scan->depth - 1] != (byte == '}'))
    return QMP_SCAN_BAD;
  scan->depth--;
  return value_ended (scan);
}

static QmpScanResult
begin_string (QmpScan *scan, gboolean is_key)
{
  scan->is_key = is_key;
  scan->state = QMP_SCAN_STRING;
  return QMP_SCAN_MORE;
}

static QmpScanResult
begin_value (QmpScan *scan, char byte)
{
  if (++scan->values > QMP_SCAN_VALUES_MAX)
    return QMP_SCAN_BAD;
  if (byte == '{' || byte == '[')
    return open_container (scan, byte == '{');
  if (byte == '"')
    return begin_string (scan, FALSE);
  if (!is_word (byte))
    return QMP_SCAN_BAD;
  scan->state = QMP_SCAN_WORD;
  return QMP_SCAN_MORE;
}

static QmpScanResult
in_string (QmpScan *scan, char byte)
{
  if ((guchar)byte < 0x20 || (guchar)byte == 0xff)
    return QMP_SCAN_BAD;
  if (scan->state == QMP_SCAN_ESCAPE)
    scan->state = QMP_SCAN_STRING;
  else if (byte == '\\')
    scan->state = QMP_SCAN_ESCAPE;
  else if (byte == '"' && scan->is_key)
    scan->state = QMP_SCAN_COLON;
  else if (byte == '"')
    return value_ended (scan);
  return QMP_SCAN_MORE;
}

static QmpScanResult
after_value (QmpScan *scan, char byte)
{
  if (byte == '}' || byte == ']')
    return close_container (scan, byte);
  if (byte != ',')
    return QMP_SCAN_BAD;
  scan->state = scan->is_object[scan->depth - 1] ? QMP_SCAN_KEY : QMP_SCAN_VALUE;
  return QMP_SCAN_MORE;
}

static QmpScanResult
between (QmpScan *scan, char byte)
{
  if (is_blank (byte))
    return QMP_SCAN_MORE;
  switch (scan->state) {
  case QMP_SCAN_VALUE_OR_END:
    if (byte == ']')
      return close_container (scan, byte);
    return begin_value (scan, byte);
  case QMP_SCAN_VALUE:
    return begin_value (scan, byte);
  case QMP_SCAN_KEY_OR_END:
    if (byte == '}')
      return close_container (scan, byte);
    return byte == '"' ? begin_string (scan, TRUE) : QMP_SCAN_BAD;
  case QMP_SCAN_KEY:
    return byte == '"' ? begin_string (scan, TRUE) : QMP_SCAN_BAD;
  case QMP_SCAN_COLON:
    scan->state = QMP_SCAN_VALUE;
    return byte == ':' ? QMP_SCAN_MORE : QMP_SCAN_BAD;
  case QMP_SCAN_NEXT:
    return after_value (scan, byte);
  case QMP_SCAN_STRING:
  case QMP_SCAN_ESCAPE:
  case QMP_SCAN_WORD:
  default:
    return QMP_SCAN_BAD;
  }
}

QmpScanResult
qmp_scan (QmpScan *scan, char byte)
{
  if (scan->state == QMP_SCAN_STRING || scan->state == QMP_SCAN_ESCAPE)
    return in_string (scan, byte);
  if (scan->state == QMP_SCAN_WORD) {
    if (is_word (byte))
      return QMP_SCAN_MORE;
    if (scan->depth == 0)
      return QMP_SCAN_DONE_BEFORE;
    scan->state = QMP_SCAN_NEXT;
  }
  return between (scan, byte);
}
