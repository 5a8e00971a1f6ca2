/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* As much of the X protocol (version 11) as that takes, by hand: the agent is libc only. Numbers are
 * little-endian on the wire, because the first byte that we send says so. */
#include "meta/agent/xclient.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "meta/agent/util.h"
#include "meta/frame.h"

#define COOKIE_KIND "MIT-MAGIC-COOKIE-1"

enum {
  OP_GET_GEOMETRY = 14,
  OP_QUERY_POINTER = 38,
  OP_GET_INPUT_FOCUS = 43,
  OP_GET_IMAGE = 73,
  OP_QUERY_EXTENSION = 98,
  OP_GET_KEYBOARD_MAPPING = 101,
  FAKE_INPUT = 2,
  KEY_PRESS = 2,
  BUTTON_PRESS = 4, /* a release is one more */
  MOTION = 6,
  REPLY = 32,            /* bytes of the fixed part */
  SETUP_MAX = 65536 * 4, /* its length has 16 bits, in words */
  REPLY_MAX = 64 << 20,
  STRIPE = 64, /* lines that are asked for at once */
  COOKIE_MAX = 64,
  AUTHORITY_MAX = 65536
};

typedef struct {
  int fd;
  uint32_t root;
  unsigned width, height, depth;
  unsigned first_key, last_key;
  int x, y; /* the pointer */
  uint8_t fixed[REPLY];
  uint8_t *data; /* owned; the rest of the last reply */
  size_t size;
} X;

static int
complain (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
  return -1;
}

static int
read_whole (X *x, void *data, size_t n)
{
  for (size_t got = 0; got < n;) {
    ssize_t r = read (x->fd, (uint8_t *)data + got, n - got);

    if (r < 0 && errno == EINTR)
      continue;
    if (r <= 0)
      return complain ("the X server has gone");
    got += (size_t)r;
  }
  return 0;
}

static int
send_whole (X *x, const void *data, size_t n)
{
  return write_all (x->fd, data, n) < 0 ? complain ("the X server has gone") : 0;
}

static unsigned
u16 (const uint8_t *at)
{
  return frame_get_u16 (at);
}

/* A request of `n` bytes, whose length field it fills in. */
static int
ask (X *x, uint8_t *request, size_t n)
{
  frame_put_u16 (request + 2, (uint16_t)(n / 4));
  return send_whole (x, request, n);
}

/* What comes before is events, which nobody asked for. */
static int
get_reply (X *x)
{
  do
    if (read_whole (x, x->fixed, REPLY) < 0)
      return -1;
  while (x->fixed[0] > 1);
  if (x->fixed[0] == 0)
    return complain ("the X server refuses a request (error %u of request %u)", x->fixed[1], x->fixed[10]);
  x->size = (size_t)frame_get_u32 (x->fixed + 4) * 4;
  if (x->size > REPLY_MAX)
    return complain ("the X server answers nonsense");
  free (x->data);
  x->data = malloc (x->size + 1);
  if (!x->data)
    return complain ("out of memory");
  return read_whole (x, x->data, x->size);
}

/* The connection */

/* The next counted field of an Xauthority file. */
static bool
take (const uint8_t **at, const uint8_t *end, const uint8_t **ret, size_t *ret_n)
{
  size_t n;

  if (end - *at < 2)
    return false;
  n = (size_t)((*at)[0] << 8 | (*at)[1]);
  *at += 2;
  if ((size_t)(end - *at) < n)
    return false;
  *ret = *at;
  *ret_n = n;
  *at += n;
  return true;
}

/* The first cookie there is: the file is the sandbox's own, and has one. */
static size_t
read_cookie (uint8_t *cookie)
{
  const char *path = getenv ("XAUTHORITY");
  size_t size = 0, n[4], length = 0;
  char *file = path ? read_file_at (AT_FDCWD, path, AUTHORITY_MAX, &size) : NULL;
  const uint8_t *at = (const uint8_t *)file, *end = file ? at + size : at, *field[4];
  bool whole = file != NULL;

  while (whole && length == 0 && end - at >= 2) {
    at += 2;
    for (unsigned i = 0; i < 4 && whole; i++)
      whole = take (&at, end, &field[i], &n[i]);
    if (whole && n[2] == strlen (COOKIE_KIND) && memcmp (field[2], COOKIE_KIND, n[2]) == 0 &&
        n[3] <= COOKIE_MAX)
      memcpy (cookie, field[3], length = n[3]);
  }
  free (file);
  return length;
}

static int
connect_socket (X *x)
{
  const char *display = getenv ("DISPLAY");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  uint64_t number;
  char digits[8];

  if (!display || *display == '\0')
    return complain ("there is no screen: $DISPLAY is not set");
  snprintf (digits, sizeof digits, "%s", display + (*display == ':'));
  digits[strcspn (digits, ".")] = '\0';
  if (*display != ':' || parse_number (digits, 65535, &number) < 0)
    return complain ("there is no screen: $DISPLAY is '%s'", display);
  snprintf (address.sun_path, sizeof address.sun_path, "/tmp/.X11-unix/X%u", (unsigned)number);
  x->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (x->fd < 0 || connect (x->fd, (struct sockaddr *)&address, sizeof address) < 0)
    return complain ("there is no screen: '%s': %s", address.sun_path, strerror (errno));
  return 0;
}

static size_t
padded (size_t n)
{
  return (n + 3) & ~(size_t)3;
}

static int
take_setup (X *x, const uint8_t *setup, size_t n)
{
  size_t screen = 32 + padded (n >= 32 ? u16 (setup + 16) : 0) + (n >= 32 ? setup[21] * 8U : 0);

  if (n < screen + 40 || setup[20] == 0 || setup[22] != 0)
    return complain ("the X server has no screen that can be read");
  x->first_key = setup[26];
  x->last_key = setup[27];
  x->root = frame_get_u32 (setup + screen);
  x->depth = setup[screen + 38];
  return 0;
}

static int
greet (X *x)
{
  uint8_t request[12 + 20 + COOKIE_MAX] = {'l'}, head[8];
  size_t length = read_cookie (request + 12 + padded (strlen (COOKIE_KIND))), n;
  uint8_t *setup;
  int r;

  frame_put_u16 (request + 2, 11);
  frame_put_u16 (request + 6, length > 0 ? (uint16_t)strlen (COOKIE_KIND) : 0);
  frame_put_u16 (request + 8, (uint16_t)length);
  memcpy (request + 12, COOKIE_KIND, strlen (COOKIE_KIND));
  n = length > 0 ? 12 + padded (strlen (COOKIE_KIND)) + padded (length) : 12;
  if (send_whole (x, request, n) < 0 || read_whole (x, head, sizeof head) < 0)
    return -1;
  n = u16 (head + 6) * 4U;
  setup = malloc (n + 1);
  if (!setup || read_whole (x, setup, n) < 0) {
    free (setup);
    return -1;
  }
  r = head[0] == 1 ? take_setup (x, setup, n) : complain ("the X server lets nobody in");
  free (setup);
  return r;
}

/* Size and pointer, now. */
static int
look (X *x)
{
  uint8_t geometry[8] = {OP_GET_GEOMETRY}, pointer[8] = {OP_QUERY_POINTER};

  frame_put_u32 (geometry + 4, x->root);
  frame_put_u32 (pointer + 4, x->root);
  if (ask (x, geometry, sizeof geometry) < 0 || get_reply (x) < 0)
    return -1;
  x->width = u16 (x->fixed + 16);
  x->height = u16 (x->fixed + 18);
  if (ask (x, pointer, sizeof pointer) < 0 || get_reply (x) < 0)
    return -1;
  x->x = (int16_t)u16 (x->fixed + 16);
  x->y = (int16_t)u16 (x->fixed + 18);
  return 0;
}

static int
print_size (const X *x)
{
  return printf ("screen %u %u %d %d\n", x->width, x->height, x->x, x->y) < 0 || fflush (stdout) != 0 ? -1
                                                                                                      : 0;
}

/* Pixels */

static int
print_stripe (X *x, unsigned y, unsigned lines)
{
  uint8_t request[20] = {OP_GET_IMAGE, 2};
  size_t n = (size_t)x->width * lines;

  frame_put_u32 (request + 4, x->root);
  frame_put_u16 (request + 10, (uint16_t)y);
  frame_put_u16 (request + 12, (uint16_t)x->width);
  frame_put_u16 (request + 14, (uint16_t)lines);
  frame_put_u32 (request + 16, UINT32_MAX);
  if (ask (x, request, sizeof request) < 0 || get_reply (x) < 0)
    return -1;
  if (x->size < n * 4)
    return complain ("the X server sends less than the screen");
  for (size_t i = 0; i < n; i++) { /* in its place: blue, green, red, nothing */
    uint8_t blue = x->data[4 * i], green = x->data[4 * i + 1], red = x->data[4 * i + 2];

    x->data[3 * i] = red;
    x->data[3 * i + 1] = green;
    x->data[3 * i + 2] = blue;
  }
  return write_all (STDOUT_FILENO, x->data, n * 3) < 0 ? -1 : 0;
}

static int
shoot (X *x)
{
  if (x->depth != 24)
    return complain ("the screen has %u bits a pixel, which cannot be read", x->depth);
  if (print_size (x) < 0)
    return -1;
  for (unsigned y = 0; y < x->height; y += STRIPE)
    if (print_stripe (x, y, x->height - y < STRIPE ? x->height - y : STRIPE) < 0)
      return -1;
  return 0;
}

/* Input */

typedef struct {
  uint8_t type, detail;
  uint16_t x, y;
} Event;

static int
find_xtest (X *x, uint8_t *ret_opcode)
{
  uint8_t request[16] = {OP_QUERY_EXTENSION, 0, 0, 0, 5, 0, 0, 0, 'X', 'T', 'E', 'S', 'T'};

  if (ask (x, request, sizeof request) < 0 || get_reply (x) < 0)
    return -1;
  *ret_opcode = x->fixed[9];
  return x->fixed[8] ? 0 : complain ("the X server takes no input from others (it has no XTEST)");
}

/* Leaves the keyboard's symbols in the last reply. */
static int
get_keyboard (X *x)
{
  uint8_t request[8] = {OP_GET_KEYBOARD_MAPPING};

  request[4] = (uint8_t)x->first_key;
  request[5] = (uint8_t)(x->last_key - x->first_key + 1);
  return ask (x, request, sizeof request) < 0 ? -1 : get_reply (x);
}

/* The key that has it without any other being held; 0: none. */
static uint8_t
find_key (const X *x, uint32_t keysym)
{
  size_t columns = x->fixed[1];

  for (unsigned key = x->first_key; columns > 0 && key <= x->last_key; key++) {
    size_t at = (key - x->first_key) * columns * 4;

    if (at + 4 <= x->size && frame_get_u32 (x->data + at) == keysym)
      return (uint8_t)key;
  }
  return 0;
}

static int
parse_event (const X *x, const char *word, Event *ret)
{
  char kind[4], end;
  unsigned a, b;

  if (sscanf (word, "%3[a-z]:%9u:%9u%c", kind, &a, &b, &end) != 3)
    return complain ("'%s' is no input", word);
  *ret = (Event){0};
  if (strcmp (kind, "abs") == 0) {
    if (a >= x->width || b >= x->height)
      return complain ("%u,%u is outside of the screen, which is %ux%u", a, b, x->width, x->height);
    *ret = (Event){.type = MOTION, .x = (uint16_t)a, .y = (uint16_t)b};
  } else if (strcmp (kind, "btn") == 0 && a > 0 && a < 32 && b < 2) {
    *ret = (Event){.type = (uint8_t)(BUTTON_PRESS + !b), .detail = (uint8_t)a};
  } else if (strcmp (kind, "key") == 0 && b < 2) {
    *ret = (Event){.type = (uint8_t)(KEY_PRESS + !b), .detail = find_key (x, a)};
    if (ret->detail == 0)
      return complain ("the keyboard of this screen has no such key (keysym %#x)", a);
  } else
    return complain ("'%s' is no input", word);
  return 0;
}

static int
send_event (X *x, uint8_t opcode, const Event *event)
{
  uint8_t request[36] = {opcode, FAKE_INPUT};

  request[4] = event->type;
  request[5] = event->detail;
  frame_put_u16 (request + 24, event->x);
  frame_put_u16 (request + 26, event->y);
  return ask (x, request, sizeof request);
}

/* The server has done it all when it answers what comes after. */
static int
synchronise (X *x)
{
  uint8_t request[4] = {OP_GET_INPUT_FOCUS};

  return ask (x, request, sizeof request) < 0 ? -1 : get_reply (x);
}

static int
input (X *x, int n, char **words)
{
  Event *events = calloc ((size_t)n + 1, sizeof *events);
  uint8_t opcode = 0;
  int r = !events || find_xtest (x, &opcode) < 0 ? -1 : get_keyboard (x);

  for (int i = 0; i < n && r == 0; i++)
    r = parse_event (x, words[i], &events[i]);
  for (int i = 0; i < n && r == 0; i++)
    r = send_event (x, opcode, &events[i]);
  if (r == 0)
    r = synchronise (x);
  free (events);
  return r;
}

int
xclient_main (int argc, char **argv)
{
  X x = {.fd = -1};
  int r;

  if (argc < 1 || (argc > 1 && strcmp (argv[0], "input") != 0)) {
    complain ("usage: vmctl-agent --screen size|shot|input WORD...");
    return 2;
  }
  r = connect_socket (&x);
  if (r == 0)
    r = greet (&x);
  if (r == 0)
    r = look (&x);
  if (r == 0)
    r = strcmp (argv[0], "size") == 0    ? print_size (&x)
        : strcmp (argv[0], "shot") == 0  ? shoot (&x)
        : strcmp (argv[0], "input") == 0 ? input (&x, argc - 1, argv + 1)
                                         : complain ("'%s' is nothing that can be done", argv[0]);
  free (x.data);
  close_fd (&x.fd);
  return r == 0 ? 0 : 1;
}
