/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/keeper-root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "meta/format.h"
#include "vmctl/container.h"

enum {
  FDS_MAX = 1024,
  BATCH = 16,
  STDIO = 3,
  WORDS_MAX = 512,
  SIZE_MAX_BYTES = 1 << 20,
  SHIFT_MIN = 0x80000,
  SHIFT_MAX = 0x6fff0000
};

typedef struct {
  unsigned uid, gid;
  int words;        /* a memory file */
  int fds[FDS_MAX]; /* stdin, stdout, stderr, then the slots */
  int n;
  char *words_of[WORDS_MAX + 1];
  char **argv; /* of the keeper, in words_of */
  int argc;
  char self[PATH_MAX];
} Request;

static int asker = -1; /* who waits for an answer */

static void __attribute__ ((noreturn)) refuse (const char *what, const char *word)
{
  static const char no[] = "refused";

  if (asker >= 0)
    (void)send (asker, no, sizeof no - 1, MSG_NOSIGNAL);
  fprintf (stderr, "vmctl-keeper: refused: %s%s%s\n", what, word != NULL ? ": " : "",
           word != NULL ? word : "");
  _exit (1);
}

static void
find_self (Request *r)
{
  ssize_t n = readlink ("/proc/self/exe", r->self, sizeof r->self - 32);

  if (n <= 0)
    refuse ("no path of our own", NULL);
  r->self[n] = '\0';
}

/* Taking it */

static void
take_fds (Request *r, const struct msghdr *message)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL;
       c = CMSG_NXTHDR ((struct msghdr *)message, c)) {
    size_t n = (c->cmsg_len - CMSG_LEN (0)) / sizeof (int);

    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    for (size_t i = 0; i < n; i++) {
      int fd;

      memcpy (&fd, CMSG_DATA (c) + i * sizeof fd, sizeof fd);
      if (r->words < 0)
        r->words = fd;
      else if (r->n < FDS_MAX)
        r->fds[r->n++] = fd;
      else
        refuse ("too many descriptors", NULL);
    }
  }
}

/* Twice as many as are taken are open while they are put into their places, and the usual limit is 1024. What
 * nspawn runs gets the kernel's own limit again. */
static void
allow_descriptors (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
    return; /* then what does not fit is refused */
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit (RLIMIT_NOFILE, &limit);
}

/* "f" brings descriptors, the first of all being the words; "r": that was all. */
static void
take_messages (Request *r, int socket)
{
  for (;;) {
    char kind = '\0', control[CMSG_SPACE (BATCH * sizeof (int))];
    struct iovec iov = {.iov_base = &kind, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);

    if (n < 0 && errno == EINTR)
      continue;
    if (n != 1 || (message.msg_flags & MSG_CTRUNC) != 0)
      _exit (0); /* another driver was chosen, vmctl gave up, or the sandbox has ended */
    take_fds (r, &message);
    if (kind == 'r')
      return;
  }
}

static void
read_words (Request *r)
{
  struct stat st;
  char *text;

  if (r->words < 0 || fstat (r->words, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size <= 0 ||
      st.st_size > SIZE_MAX_BYTES || (text = calloc (1, (size_t)st.st_size + 1)) == NULL ||
      pread (r->words, text, (size_t)st.st_size, 0) != st.st_size)
    refuse ("no words", NULL);
  for (char *at = text; at < text + st.st_size; at += strlen (at) + 1) {
    if (r->argc == WORDS_MAX)
      refuse ("too many words", NULL);
    r->words_of[r->argc++] = at;
  }
  r->argv = r->words_of;
  (void)close (r->words);
}

/* Slot i is descriptor 3 + i, as in every child of vmctl's. */
static void
place_fds (Request *r)
{
  if (r->n < STDIO)
    refuse ("too few descriptors", NULL);
  for (int i = 0; i < r->n; i++)
    if ((r->fds[i] = fcntl (r->fds[i], F_DUPFD_CLOEXEC, r->n)) < 0)
      refuse ("no room for descriptors", NULL);
  for (int i = 0; i < r->n; i++)
    if (dup2 (r->fds[i], i) < 0)
      refuse ("no room for descriptors", NULL);
  (void)syscall (SYS_close_range, (unsigned)r->n, ~0U, 0U);
}

/* Judging it */

static bool
is_number (const char *text, unsigned *ret)
{
  char *end;
  unsigned long value = strtoul (text, &end, 10);

  *ret = (unsigned)value;
  return *text >= '0' && *text <= '9' && *end == '\0' && value < UINT_MAX;
}

static void
check_shift (unsigned shift)
{
  if (shift != 0 && (shift < SHIFT_MIN || shift > SHIFT_MAX || shift % CONTAINER_RANGE != 0))
    refuse ("no range of ids for containers", NULL);
}

/* The network's program is our own, and runs as the user. */
static bool
is_net_word (const Request *r, const char *option, const char *value)
{
  char path[PATH_MAX], user[32];
  char *slash;

  memcpy (path, r->self, sizeof path);
  slash = strrchr (path, '/');
  (void)snprintf (slash, 32, "/vmctl-net");
  (void)snprintf (user, sizeof user, "%u:%u", r->uid, r->gid != 0 ? r->gid : 65534);
  if (strcmp (option, "--netns") == 0)
    return strcmp (value, "lo") == 0 || strcmp (value, "tap") == 0;
  return (strcmp (option, "--net") == 0 && strcmp (value, path) == 0) ||
         (strcmp (option, "--net-user") == 0 && strcmp (value, user) == 0);
}

/* Digits and the like; what they mean is judged where they are used (vmctl/keeper-group.h). */
static bool
is_group_word (const char *option, const char *value)
{
  return strcmp (option, "--make-group") == 0 &&
         strspn (value, "abcdefghijklmnopqrstuvwxyz0123456789:") == strlen (value);
}

/* Options of the keeper itself, up to and with "--": the others are numbers. Returns the index behind it. */
static int
check_keeper (const Request *r, unsigned *ret_shift)
{
  static const char *const descriptors[] = {"--go",      "--listen",       "--dir",
                                            "--stage",   "--group",        "--activate",
                                            "--control", "--control-peer", "--net-log"};
  unsigned uid = UINT_MAX, gid = UINT_MAX, value;
  int i = 1;

  *ret_shift = UINT_MAX;
  for (; i + 1 < r->argc && strcmp (r->argv[i], "--") != 0; i += 2) {
    bool known = false;

    if (is_net_word (r, r->argv[i], r->argv[i + 1]) || is_group_word (r->argv[i], r->argv[i + 1]))
      continue;
    if (!is_number (r->argv[i + 1], &value))
      refuse ("not a number", r->argv[i + 1]);
    for (size_t j = 0; j < sizeof descriptors / sizeof *descriptors; j++)
      known |= strcmp (r->argv[i], descriptors[j]) == 0;
    if (strcmp (r->argv[i], "--uid") == 0)
      uid = value;
    else if (strcmp (r->argv[i], "--gid") == 0)
      gid = value;
    else if (strcmp (r->argv[i], "--shift") == 0)
      *ret_shift = value;
    else if (!known)
      refuse ("option", r->argv[i]);
  }
  if (uid != r->uid || gid != r->gid)
    refuse ("another user", NULL);
  check_shift (*ret_shift);
  return i + 1;
}

/* One word of the command: exactly this, or with a '*' at its end a prefix before letters, digits, '.', '-',
 * '%'. `optional` words may be absent. */
typedef struct {
  const char *word;
  bool optional;
} Pattern;

static bool
matches (const char *pattern, const char *word)
{
  size_t n = strlen (pattern);

  if (pattern[n - 1] != '*')
    return strcmp (pattern, word) == 0;
  return strncmp (pattern, word, n - 1) == 0 &&
         strspn (word + n - 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-%") ==
             strlen (word + n - 1);
}

/* Returns the index behind what the patterns match. */
static int
match_all (const Request *r, int at, const Pattern *patterns, size_t n, const char *whose)
{
  for (size_t i = 0; i < n; i++) {
    if (at < r->argc && matches (patterns[i].word, r->argv[at]))
      at++;
    else if (!patterns[i].optional)
      refuse (whose, at < r->argc ? r->argv[at] : "its end");
  }
  return at;
}

static void
check_command (const Request *r, int at, unsigned shift)
{
  char users[64], uid[16];
  const Pattern patterns[] = {
      {"--quiet", false},
      {"--settings=no", false},
      {"--directory=" CONTAINER_ROOT, false},
      {"--machine=vmctl-*", false},
      {"--hostname=*", false},
      {"--register=yes", true},
      {"--register=no", true},
      {"--keep-unit", false},
      {"--console=pipe", false},
      {"--as-pid2", false},
      {"--no-new-privileges=yes", false},
      {users, false},
      {"--private-users-ownership=off", false},
      {"--drop-capability=" CONTAINER_DROPPED, false},
      {"--system-call-filter=" CONTAINER_DENIED, false},
      {"--link-journal=no", false},
      {"--resolv-conf=off", false},
      {"--timezone=off", false},
      {"--", false},
      {META_AGENT, false},
      {"--listen", false},
      {"3", false},
      {"--meta", false},
      {META_DIR, false},
      {"--contained", false},
      {"--allow-list", false},
      {"--filter", false},
      {"4", false},
      {"--lifeline", false},
      {"5", false},
      {"--uid", false},
      {uid, false},
  };
  unsigned most = r->uid > r->gid ? r->uid : r->gid;

  (void)snprintf (uid, sizeof uid, "%u", r->uid);
  (void)snprintf (users, sizeof users, "--private-users=%u:%u", shift,
                  shift != 0 ? CONTAINER_RANGE : (most / CONTAINER_RANGE + 1) * CONTAINER_RANGE);
  at = match_all (r, at, patterns, sizeof patterns / sizeof *patterns, "not the nspawn driver's command, at");
  if (at != r->argc)
    refuse ("too long a command", r->argv[at]);
}

/* Of the system's own. */
static bool
is_program (const char *path, const char *name)
{
  static const char *const dirs[] = {"/usr/bin/", "/run/current-system/sw/bin/"};

  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (strncmp (path, dirs[i], strlen (dirs[i])) == 0 && strcmp (path + strlen (dirs[i]), name) == 0)
      return true;
  return false;
}

static void
check_program (const char *path, const char *name)
{
  struct stat st;

  if (!is_program (path, name))
    refuse ("program", path);
  if (stat (path, &st) < 0 || st.st_uid != 0 || (st.st_mode & 022) != 0)
    refuse ("not root's own program", path);
}

/* The words before the keeper's, where systemd makes the group. */
static void
skip_scope (Request *r)
{
  static const Pattern patterns[] = {
      {"--scope", false},
      {"--quiet", false},
      {"--collect", false},
      {"--unit=vmctl-*", false},
      {"--slice=system.slice", false},
      {"--property=MemoryMax=*", true},
      {"--property=MemorySwapMax=0", true},
      {"--property=TasksMax=*", true},
      {"--property=CPUQuota=*", true},
      {"--", false},
  };
  int at;

  if (r->argc == 0 || !is_program (r->argv[0], "systemd-run"))
    return;
  check_program (r->argv[0], "systemd-run");
  at = match_all (r, 1, patterns, sizeof patterns / sizeof *patterns, "not a sandbox's scope, at");
  if (at >= r->argc)
    refuse ("no keeper", NULL);
  r->argv[at] = r->self; /* not what the user says */
  r->argv += at;
  r->argc -= at;
}

static void
check (Request *r)
{
  unsigned shift;
  int at;

  skip_scope (r);
  at = check_keeper (r, &shift);
  if (at >= r->argc)
    refuse ("no command", NULL);
  check_program (r->argv[at], "systemd-nspawn");
  check_command (r, at + 1, shift);
}

static void
answer (void)
{
  char text[32];

  (void)snprintf (text, sizeof text, "pid %d", (int)getpid ());
  if (send (asker, text, strlen (text), MSG_NOSIGNAL) < 0)
    _exit (1);
  (void)close (asker);
  asker = -1;
}

static void
forget (Request *r)
{
  if (r->words >= 0)
    (void)close (r->words);
  for (int i = 0; i < r->n; i++)
    (void)close (r->fds[i]);
  r->words = -1;
  r->n = 0;
}

/* The client's streams, for whose end somebody may wait. */
static void
leave_client (void)
{
  int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);

  for (int i = 0; i < STDIO; i++)
    if (nothing < 0 || dup2 (nothing, i) < 0)
      _exit (1);
  if (nothing >= STDIO)
    (void)close (nothing);
}

/* Each keeper is a process of its own, so that there can be another when the sandbox starts again. Returns in
 * that process. */
static void
take_requests (Request *r, int socket)
{
  (void)signal (SIGCHLD, SIG_IGN); /* nobody waits for them */
  for (;;) {
    pid_t pid;

    take_messages (r, socket);
    pid = fork ();
    if (pid == 0)
      break;
    if (pid < 0)
      _exit (1);
    forget (r);
    leave_client ();
  }
  (void)signal (SIGCHLD, SIG_DFL);
  (void)setsid ();
  asker = socket;
}

void
keeper_root_receive (int *argc, char ***argv, KeeperGroup *group)
{
  Request *r = calloc (1, sizeof *r);
  unsigned socket;

  if (r == NULL || (*argc != 7 && *argc != 7 + KEEPER_GROUP_WORDS) || strcmp ((*argv)[3], "--uid") != 0 ||
      strcmp ((*argv)[5], "--gid") != 0 || !is_number ((*argv)[2], &socket) ||
      !is_number ((*argv)[4], &r->uid) || !is_number ((*argv)[6], &r->gid) || r->uid == 0 ||
      (*argc > 7 && keeper_group_places (group, *argv + 7) < 0))
    refuse ("not for use by hand", NULL);
  /* A child of nobody's, so that nobody need wait for it. */
  if (fork () != 0)
    _exit (0);
  (void)setsid ();
  find_self (r);
  r->words = -1;
  allow_descriptors ();
  take_requests (r, (int)socket);
  read_words (r);
  check (r);
  answer ();
  place_fds (r);
  /* As the same process, now in the scope: it comes back as a keeper that was told all by its words. */
  if (r->argv != r->words_of) {
    execv (r->words_of[0], r->words_of);
    refuse ("cannot run", r->words_of[0]);
  }
  *argc = r->argc;
  *argv = r->argv;
}
