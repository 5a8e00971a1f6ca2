/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire format between the agent inside a sandbox and the supervisor outside, and between the supervisor
 * and the clients (`vmctl up`, `exec`, `attach`). Both sides share this file; libc only, no allocation here.
 *
 * How it works
 *
 * A connection is a byte stream (a virtio-serial port, a UNIX socket). Whoever speaks as the agent begins
 * every connection with the 16 bytes of FRAME_PREAMBLE; the host side throws away what comes before it (a
 * port may hold the tail of an older connection) and sends nothing until it has seen it. After it there are
 * only frames, in both directions:
 *
 *    0      4        8     9       10      12
 *    | length | channel | type | stream | zero | payload (length bytes)      all numbers little-endian
 *
 * Channel 0 is the connection itself. Every other channel is one command (a session); the host side picks its
 * number. The main command has channel FRAME_CHANNEL_MAIN. A channel is born with OPEN and ends when EXIT has
 * been sent; the number may then be used again.
 *
 * Flow control: a sender may have at most FRAME_WINDOW bytes of DATA in flight for each (channel, stream).
 * The receiver gives room back with CREDIT once it has got rid of the bytes. So a stalled reader stalls only
 * its own stream and nobody buffers more than FRAME_WINDOW for it. Sending more than the credit is a protocol
 * error and ends the connection (and, by the supervisor, the sandbox). EOF ends a stream; no DATA may follow.
 *
 *   host -> agent   channel 0: HELLO SEED CLOCK SETUP PING POWEROFF CHANGE
 *                   channel n: OPEN DATA EOF CREDIT(stdout, stderr) SIGNAL RESIZE CLOSE
 *                   relays:    DATA(stdin) EOF CREDIT(stdout) CLOSE
 *                   forwards:  FORWARD_OPEN DATA(stdin) EOF CREDIT(stdout) CLOSE
 *   agent -> host   channel 0: HELLO UP PONG LOG FAILED CHANGED
 *                   channel n: STARTED DATA EOF CREDIT(stdin) EXIT
 *                   relays:    RELAY_OPEN DATA(stdout) EOF CREDIT(stdin) CLOSE
 *                   forwards:  DATA(stdout) EOF CREDIT(stdin) CLOSE
 *
 * Start: preamble, HELLO, then the host sends SEED, CLOCK, SETUP and OPEN (channel 1) in one go, without
 * waiting; the agent answers UP when the file systems and the identity are in place, or FAILED with a text.
 *
 * Relays: sockets of the host inside. The agent listens where the meta dir says (`relay`), and gives each
 * connection a channel of the FRAME_RELAYS_MAX numbers from FRAME_CHANNEL_RELAY on, which are the agent's to
 * pick. It sends RELAY_OPEN, which names the relay by its index and nothing else, and may send DATA at once:
 * there is no answer. The host connects to the socket that its plan has under that index. Stream `stdout` is
 * what is written inside, `stdin` what the host's socket says, each with a window of its own. EOF from the
 * sender ends a stream (a half close); EOF from the receiver says that nobody reads it any more. CLOSE is the
 * last frame of each side: its socket has gone, cannot be had, or is done both ways. It does not overtake
 * DATA. Only when both sides have said CLOSE is the number free; a RELAY_OPEN before that, an index that the
 * meta dir does not have, and frames for a relay that is not open are protocol errors. Only bytes cross: no
 * descriptors, no credentials. When the connection is lost all relays have ended, without a CLOSE.
 *
 * Forwards: ports inside, for those outside. As relays, but the host has the connection first: it picks a
 * channel from FRAME_CHANNEL_FORWARD on and sends FORWARD_OPEN with the port; the agent connects to that port
 * of its loopback address, and says CLOSE where nobody listens. Of UDP each DATA is one datagram, EOF does
 * not exist, and what finds no credit is thrown away by the sender.
 *
 * Changes: what is plugged into a sandbox that runs may need a hand inside. CHANGE has a number and words;
 * the agent does what they say (meta/agent/change.h) beside its other work, and answers with CHANGED and the
 * same number. Several may be under way, and overtake each other. A host that goes gets no answer any more.
 *
 * A host may go and another one come. Of the sessions only the main command lives on; the others get SIGHUP
 * and their channels are forgotten. The agent begins anew with the preamble; its HELLO says which state it is
 * in, and the new host skips what is done. For the main command it says again what is known: STARTED, EOF of
 * a stream that has ended, and EXIT if it has ended. Both sides start with a full window. Output that was on
 * its way is lost.
 *
 * On a virtio port the agent sees a host go only by looking, so it may miss a change that is quicker than
 * itself (or that happens while the VM is paused), and then sends no preamble. A host that gets none within a
 * second therefore disconnects, waits 100 ms (then 200, 400 ...), and connects again.
 *
 * A host that breaks the protocol is dropped: a LOG, then the connection is closed, and all is as if the host
 * had gone. A port cannot be closed for the other side to see: the bytes of a preamble come instead, which
 * are no frame; then the agent is deaf and mute until the host has disconnected. Frames for a channel of a
 * command that does not live mean nothing, since they may have crossed its EXIT.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_PREAMBLE "\177vmctl-agent/1\r\n" /* 16 bytes, no NUL */

enum {
  FRAME_VERSION = 1,
  FRAME_PREAMBLE_SIZE = 16,
  FRAME_HEADER_SIZE = 12,
  FRAME_PAYLOAD_MAX = 65536,
  FRAME_WINDOW = 262144,    /* bytes of DATA in flight for each channel and stream */
  FRAME_CHANNELS_MAX = 64,  /* live channels on a connection */
  FRAME_OPEN_MAX = 2 << 20, /* bytes of all OPEN frames of one channel together */
  FRAME_CHANNEL_CONTROL = 0,
  FRAME_CHANNEL_MAIN = 1,
  FRAME_CHANNEL_RELAY = 0x10000, /* the first of those that the agent picks */
  FRAME_RELAYS_MAX = 32,         /* connections relayed at once; also how many sockets there may be */
  FRAME_CHANNEL_FORWARD =
      0x20000, /* the first of those that the host picks for connections to ports inside */
  FRAME_FORWARDS_MAX = 32,
  FRAME_FORWARD_UDP = 1 << 0,
  FRAME_CHANGE_WORDS_MAX = 8,
  FRAME_CHANGED_TEXT_MAX = 4096,
};

typedef enum {
  FRAME_HELLO = 1, /* both ways, ch 0. payload: u32 version, u32 flags (FRAME_HELLO_*) */
  FRAME_SEED,      /* 32 to 256 bytes of entropy: mixed in, credited, and the generator reseeded */
  FRAME_CLOCK,     /* i64 seconds, u32 nanoseconds since the epoch, u32 zero */
  FRAME_SETUP,     /* do the fix-up from the meta dir. payload: fields (FRAME_TAG_*), may be empty */
  FRAME_UP, /* the fix-up is done. payload: u64 microseconds since the agent's start, twice: at SETUP, now */
  FRAME_FAILED,   /* the fix-up failed. payload: text (UTF-8 wanted, not trusted) */
  FRAME_PING,     /* any payload up to 64 bytes */
  FRAME_PONG,     /* the same payload */
  FRAME_LOG,      /* text for the sandbox's log; at most 4096 bytes */
  FRAME_POWEROFF, /* end every session (SIGTERM, then SIGKILL after u32 ms), sync, power off */
  FRAME_OPEN, /* payload: fields; `stream` 1: more OPEN frames of this channel follow; 0: this is the last */
  FRAME_STARTED, /* u32 pid inside */
  FRAME_DATA,    /* `stream` says which; 1 to FRAME_PAYLOAD_MAX bytes */
  FRAME_EOF, /* `stream` says which; no payload. From the host for stdout or stderr: nobody reads it any more,
                so the agent closes its end and the command gets SIGPIPE or EPIPE at its next write */
  FRAME_CREDIT, /* `stream` says which; u32 bytes given back, not 0 */
  FRAME_SIGNAL, /* u32 signal number (Linux x86-64 numbering), to the session's foreground process group */
  FRAME_RESIZE, /* u16 rows, u16 columns; clamped to 1..4096 */
  FRAME_EXIT,   /* u8 kind (FrameExitKind), u8 zero, u16 zero, u32 value; the last frame of a channel */
  FRAME_CLOSE,  /* the client has gone: SIGHUP to the session, then what it still says is thrown away. EXIT
                   still follows. Of a relay: the last frame of either side */
  FRAME_RELAY_OPEN, /* agent: somebody connected to a relay. u32 index */
  FRAME_CHANGE,     /* ch 0: do something to the running inside. u32 number, then 1 to FRAME_CHANGE_WORDS_MAX
                       words, each ended by NUL */
  FRAME_CHANGED, /* ch 0: it is done, or cannot be. u32 number, u32 errno (0: done), text: what came of it, or
                    more about the error; not trusted, at most FRAME_CHANGED_TEXT_MAX bytes */
  FRAME_FORWARD_OPEN, /* connect to a port inside. u16 port, u16 flags (FRAME_FORWARD_UDP) */
  FRAME_TYPE_MAX = FRAME_FORWARD_OPEN,
} FrameType;

enum {
  FRAME_HELLO_UP = 1 << 0, /* agent: the fix-up was done before */
  FRAME_HELLO_MAIN =
      1 << 1, /* agent: the main command was started (it may have ended: EXIT follows once more) */
  FRAME_HELLO_TEMPLATE = 1 << 2, /* agent: the machine was saved and resumed: without a SEED and a CLOCK of
                                    its own SETUP is answered with FAILED */
};

typedef enum { FRAME_STDIN = 0, FRAME_STDOUT = 1, FRAME_STDERR = 2, FRAME_STREAMS = 3 } FrameStream;

typedef enum {
  FRAME_EXIT_STATUS = 0, /* value: the exit status, 0..255 */
  FRAME_EXIT_SIGNAL = 1, /* value: the signal that ended it */
  FRAME_EXIT_ERRNO = 2,  /* it could not be started; value: errno (ENOENT -> 127, else 126) */
  FRAME_EXIT_CWD = 3,    /* the directory to start it in could not be entered; value: errno (126) */
  FRAME_EXIT_KIND_MAX = FRAME_EXIT_CWD,
} FrameExitKind;

/* Fields of OPEN and SETUP: u8 tag, u8 zero, u16 zero, u32 length, then the bytes (no padding). Unknown tags
 * are a protocol error. The payloads of all OPEN frames of a channel are one string: a field may lie across
 * frames. Fields that make no sense (a relative CWD, a NUL in a word) and OPEN beyond a limit
 * (FRAME_OPEN_MAX, FRAME_CHANNELS_MAX) are answered with EXIT: EINVAL, E2BIG, EAGAIN. */
typedef enum {
  FRAME_TAG_ARG = 1, /* one word of argv, no NUL inside. None at all: the entrypoint of the meta dir */
  FRAME_TAG_ENV,     /* "NAME=value", on top of the meta dir's environment; "NAME" alone unsets */
  FRAME_TAG_CWD,     /* absolute; default: `cwd` of the meta dir */
  FRAME_TAG_TTY,     /* u16 rows, u16 columns: give it a terminal; stdout carries everything */
  FRAME_TAG_ROOT,    /* empty: run as root inside (refused with EPERM when the sandbox forbids root) */
  FRAME_TAG_CONSOLE, /* empty: run it on the serial console (/dev/ttyS0) instead of the streams */
  FRAME_TAG_SHELL,   /* empty: argv is the user's login shell */
  FRAME_TAG_META,    /* of SETUP: the meta dir's `bundle`, so that it need not be read there */
  FRAME_TAG_MAX = FRAME_TAG_META,
} FrameTag;

typedef struct {
  uint32_t length; /* of the payload, 0..FRAME_PAYLOAD_MAX */
  uint32_t channel;
  uint8_t type;   /* FrameType */
  uint8_t stream; /* FrameStream, 0 where it has no meaning */
} FrameHeader;

void frame_header_encode (uint8_t out[FRAME_HEADER_SIZE], const FrameHeader *header);
/* 0, or -EPROTO for a length over the limit, an unknown type, a stream above 2, or a `zero` that is not. */
int frame_header_decode (const uint8_t in[FRAME_HEADER_SIZE], FrameHeader *ret_header);

/* A parser fed with whatever a read() brought. The caller owns `buffer`; FRAME_READER_SIZE bytes are always
 * enough. */
enum { FRAME_READER_SIZE = 2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX) };

typedef struct {
  uint8_t *buffer; /* borrowed, FRAME_READER_SIZE bytes */
  size_t start, end;
} FrameReader;

void frame_reader_init (FrameReader *reader, uint8_t *buffer);
/* Where the next read() may write, and how much (never 0 after frame_reader_next returned 0). Moves what is
 * buffered. */
uint8_t *frame_reader_space (FrameReader *reader, size_t *ret_room);
void frame_reader_filled (FrameReader *reader, size_t n);
/* 1: a frame; `*ret_payload` points into the buffer and is valid until the next call of space. 0: more bytes
 * are needed. -EPROTO: broken. */
int frame_reader_next (FrameReader *reader, FrameHeader *ret_header, const uint8_t **ret_payload);

/* Finds the preamble in a stream that may begin with anything. Feed it bytes; returns how many were used up:
 * when *ret_found is 1 the rest belongs to the frames. `state` starts as 0. */
size_t frame_preamble_find (unsigned *state, const uint8_t *data, size_t n, int *ret_found);

/* Numbers in payloads. */
void frame_put_u16 (uint8_t *out, uint16_t value);
void frame_put_u32 (uint8_t *out, uint32_t value);
void frame_put_u64 (uint8_t *out, uint64_t value);
uint16_t frame_get_u16 (const uint8_t *in);
uint32_t frame_get_u32 (const uint8_t *in);
uint64_t frame_get_u64 (const uint8_t *in);

enum { FRAME_FIELD_HEADER = 8 };
/* Writes a field's header; the bytes follow. */
void frame_field_encode (uint8_t out[FRAME_FIELD_HEADER], FrameTag tag, uint32_t length);
/* Walks fields. *at starts as 0. 1: a field; 0: the end; -EPROTO: broken. */
int frame_field_next (const uint8_t *data, size_t n, size_t *at, FrameTag *ret_tag, const uint8_t **ret_value,
                      uint32_t *ret_length);

/* The shell's number for how a session ended: 0..255, 128+n for a signal, 127 for a command that is not
 * there, 126 for other errors. */
int frame_exit_code (uint8_t kind, uint32_t value);
