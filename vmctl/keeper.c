/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl-keeper: one small process a sandbox that stays in the outer namespaces. libc only.
 *
 *   vmctl-keeper --go FD --listen FD --dir FD --door PATH [--console FD] [--namespaces no] -- COMMAND...
 *   vmctl-keeper --check yes -- COMMAND...      makes the namespaces and runs COMMAND, for vmctl doctor
 *
 * How it works
 *
 * 1. It waits for one byte on --go. The supervisor sends it once its record names this process: whatever is
 * killed when, the next vmctl finds in the record what must be ended. EOF instead of a byte: exit.
 * 2. It makes the outer namespaces: a mount namespace, and for an ordinary user a user namespace in which it
 * is root (facts: the jail's bwrap can then start as root of a namespace, and mounts may be added later). The
 * door (a directory of the sandbox's runtime dir) is bound onto itself and made shared: what is mounted below
 * it later propagates into the jail.
 * 3. It starts COMMAND (bwrap, hence QEMU) as a child that dies with it. So this pid is the one handle on all
 * of the sandbox.
 * 4. It serves one-line requests on the listening SOCK_SEQPACKET socket (words separated by NUL):
 *      console               "ok" and the outer end of QEMU's stdio; a new supervisor takes over the serial
 * console with it bind SOURCE NAME MODE  mount SOURCE (absolute) at door/NAME, MODE rw or ro unbind NAME
 *      status                "running PID"
 * 5. When COMMAND ends, the file `exit` ("status N" or "signal N") in --dir says how, connected clients hear
 * "exit ...", and it exits. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS_MAX = 8, REQUEST_MAX = 9000, NAME_LENGTH_MAX = 64, NONE = -1 };

typedef struct {
  int go, listener, dir, console;
  int plain; /* no namespaces: the null driver */
  int check; /* only the namespaces, then COMMAND in this very process */
  const char *door;
  char **command;
  pid_t child;
  int clients[CLIENTS_MAX];
} Keeper;

static void
complain (const char *what)
{
  fprintf (stderr, "vmctl-keeper: %s: %s\n", what, strerror (errno));
}

static int
parse_fd (const char *text)
{
  char *end;
  long value = strtol (text, &end, 10);

  if (*text == '\0' || *end != '\0' || value < 0 || value > 1 << 20 ||
      fcntl ((int)value, F_SETFD, FD_CLOEXEC) < 0)
    return NONE;
  return (int)value;
}

static int
parse_arguments (Keeper *k, int argc, char **argv)
{
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp (argv[i], "--") == 0) {
      k->command = argv + i + 1;
      break;
    }
    if (strcmp (argv[i], "--go") == 0)
      k->go = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--listen") == 0)
      k->listener = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--dir") == 0)
      k->dir = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--console") == 0)
      k->console = parse_fd (argv[i + 1]);
    else if (strcmp (argv[i], "--door") == 0)
      k->door = argv[i + 1];
    else if (strcmp (argv[i], "--namespaces") == 0)
      k->plain = strcmp (argv[i + 1], "no") == 0;
    else if (strcmp (argv[i], "--check") == 0)
      k->check = strcmp (argv[i + 1], "yes") == 0;
    else
      return -1;
  }
  return k->command != NULL && (k->check || (k->go >= 0 && k->listener >= 0 && k->dir >= 0)) ? 0 : -1;
}

static int
wait_for_go (int fd)
{
  char byte;
  ssize_t n;

  do
    n = read (fd, &byte, 1);
  while (n < 0 && errno == EINTR);
  (void)close (fd);
  return n == 1 ? 0 : -1;
}

static int
write_text (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC), err;
  ssize_t n;

  if (fd < 0)
    return -1;
  n = write (fd, text, strlen (text));
  err = errno;
  (void)close (fd);
  errno = err;
  return n == (ssize_t)strlen (text) ? 0 : -1;
}

/* One uid and gid, ours, seen as 0: the only map that an ordinary user may write. */
static int
become_namespace_root (void)
{
  char map[64];
  unsigned uid = geteuid (), gid = getegid ();

  if (unshare (CLONE_NEWUSER | CLONE_NEWNS) < 0)
    return -1;
  if (write_text ("/proc/self/setgroups", "deny") < 0 && errno != ENOENT)
    return -1;
  (void)snprintf (map, sizeof map, "0 %u 1\n", uid);
  if (write_text ("/proc/self/uid_map", map) < 0)
    return -1;
  (void)snprintf (map, sizeof map, "0 %u 1\n", gid);
  return write_text ("/proc/self/gid_map", map);
}

static int
make_namespaces (const Keeper *k)
{
  int r = geteuid () == 0 ? unshare (CLONE_NEWNS) : become_namespace_root ();

  if (r < 0) {
    complain ("cannot make a user and mount namespace");
    return -1;
  }
  if (k->door == NULL)
    return 0;
  if (mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
      mount (k->door, k->door, NULL, MS_BIND, NULL) < 0 || mount (NULL, k->door, NULL, MS_SHARED, NULL) < 0) {
    complain ("cannot make the door");
    return -1;
  }
  return 0;
}

static void
run_child (Keeper *k, pid_t parent)
{
  sigset_t none;

  (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (127);
  sigemptyset (&none);
  (void)sigprocmask (SIG_SETMASK, &none, NULL);
  execvp (k->command[0], k->command);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", k->command[0], strerror (errno));
  _exit (127);
}

/* Everything else belongs to the child: listening sockets, disks, data, the serial line. Holding them here
 * would keep them alive after QEMU. */
static void
close_all_but (const Keeper *k, int signal_fd)
{
  int keep[] = {k->listener, k->dir, k->console, signal_fd};
  int nothing = open ("/dev/null", O_RDWR | O_CLOEXEC);
  unsigned from = 3;

  if (nothing >= 0 && (dup2 (nothing, 0) < 0 || dup2 (nothing, 1) < 0))
    complain ("cannot let go of the standard streams");

  for (;;) {
    unsigned next = ~0U;

    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
      if (keep[i] >= 0 && (unsigned)keep[i] >= from && (unsigned)keep[i] < next)
        next = (unsigned)keep[i];
    if (next == ~0U) {
      (void)syscall (SYS_close_range, from, ~0U, 0U);
      return;
    }
    if (next > from)
      (void)syscall (SYS_close_range, from, next - 1, 0U);
    from = next + 1;
  }
}

static void
reply (int fd, const char *text, int passed_fd)
{
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control = {0};
  struct iovec iov = {.iov_base = (void *)(size_t)text, .iov_len = strlen (text)};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

  if (passed_fd >= 0) {
    struct cmsghdr *c;

    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    c = CMSG_FIRSTHDR (&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN (sizeof (int));
    memcpy (CMSG_DATA (c), &passed_fd, sizeof passed_fd);
  }
  if (sendmsg (fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    complain ("cannot answer a request");
}

static void
reply_errno (int fd, const char *what)
{
  char text[256];

  (void)snprintf (text, sizeof text, "error %s: %s", what, strerror (errno));
  reply (fd, text, NONE);
}

/* Names below the door are ours alone: no slash, no dot file. */
static int
name_is_sound (const char *name)
{
  size_t n = strlen (name);

  return n > 0 && n <= NAME_LENGTH_MAX && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A name that is taken is refused: one mount would hide the other. */
static int
mount_point (const char *path, const char *source)
{
  struct stat st;
  int fd;

  if (stat (source, &st) < 0)
    return -1;
  if (S_ISDIR (st.st_mode))
    return mkdir (path, 0700);
  fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return -1;
  return close (fd);
}

static void
remove_mount_point (const char *path)
{
  if (unlink (path) < 0)
    (void)rmdir (path);
}

/* A detached copy of the source's mount tree, restricted before anybody can see it, then attached: there is
 * no moment in which a read-only directory can be written. */
static int
attach (const char *source, const char *path, int read_only)
{
  /* As bwrap does for the mounts that are there from the start. */
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  int tree, r, err;

  if (read_only)
    attr.attr_set |= MOUNT_ATTR_RDONLY;

  tree = (int)syscall (SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (tree < 0)
    return -1;
  r = (int)syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr);
  if (r == 0)
    r = (int)syscall (SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
  err = errno;
  (void)close (tree);
  errno = err;
  return r;
}

static void
serve_bind (const Keeper *k, int fd, const char *source, const char *name, const char *mode)
{
  char path[4200];

  if (k->door == NULL || *source != '/' || !name_is_sound (name) ||
      (size_t)snprintf (path, sizeof path, "%s/%s", k->door, name) >= sizeof path) {
    reply (fd, "error bad request", NONE);
    return;
  }
  if (mount_point (path, source) < 0) {
    reply_errno (fd, "cannot mount");
    return;
  }
  if (attach (source, path, strcmp (mode, "rw") != 0) < 0) {
    reply_errno (fd, "cannot mount");
    remove_mount_point (path);
    return;
  }
  reply (fd, "ok", NONE);
}

static void
serve_unbind (const Keeper *k, int fd, const char *name)
{
  char path[4200];

  if (k->door == NULL || !name_is_sound (name) ||
      (size_t)snprintf (path, sizeof path, "%s/%s", k->door, name) >= sizeof path) {
    reply (fd, "error bad request", NONE);
    return;
  }
  if (umount2 (path, MNT_DETACH) < 0) {
    reply_errno (fd, "cannot unmount");
    return;
  }
  remove_mount_point (path);
  reply (fd, "ok", NONE);
}

static void
serve_request (const Keeper *k, int fd, char *request, size_t n)
{
  const char *words[4] = {"", "", "", ""};
  size_t at = 0;
  char text[64];

  request[n] = '\0';
  for (int i = 0; i < 4 && at < n; i++) {
    words[i] = request + at;
    at += strlen (request + at) + 1;
  }
  if (strcmp (words[0], "console") == 0)
    reply (fd, k->console >= 0 ? "ok" : "error no console", k->console);
  else if (strcmp (words[0], "bind") == 0)
    serve_bind (k, fd, words[1], words[2], words[3]);
  else if (strcmp (words[0], "unbind") == 0)
    serve_unbind (k, fd, words[1]);
  else if (strcmp (words[0], "status") == 0) {
    (void)snprintf (text, sizeof text, "running %d", (int)k->child);
    reply (fd, text, NONE);
  } else
    reply (fd, "error unknown request", NONE);
}

static void
serve_client (Keeper *k, int index)
{
  char request[REQUEST_MAX + 1];
  ssize_t n = recv (k->clients[index], request, REQUEST_MAX, MSG_DONTWAIT);

  if (n > 0)
    serve_request (k, k->clients[index], request, (size_t)n);
  else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    (void)close (k->clients[index]);
    k->clients[index] = NONE;
  }
}

static void
accept_client (Keeper *k)
{
  int fd = accept4 (k->listener, NULL, NULL, SOCK_CLOEXEC);

  if (fd < 0)
    return;
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (k->clients[i] == NONE) {
      k->clients[i] = fd;
      return;
    }
  (void)close (fd);
}

/* Whoever connected before the end hears of it, though there was no time to let it in. */
static void
accept_waiting (Keeper *k)
{
  struct pollfd p = {.fd = k->listener, .events = POLLIN};

  for (int i = 0; i < CLIENTS_MAX && poll (&p, 1, 0) > 0; i++)
    accept_client (k);
}

static void
report_exit (Keeper *k, int status)
{
  char text[64], message[80];
  int fd;

  if (WIFSIGNALED (status))
    (void)snprintf (text, sizeof text, "signal %d\n", WTERMSIG (status));
  else if (WEXITSTATUS (status) > 128) /* bwrap reports its child's signal like a shell */
    (void)snprintf (text, sizeof text, "signal %d\n", WEXITSTATUS (status) - 128);
  else
    (void)snprintf (text, sizeof text, "status %d\n", WEXITSTATUS (status));
  fd = openat (k->dir, ".exit", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write (fd, text, strlen (text)) < 0 || close (fd) < 0 ||
      renameat (k->dir, ".exit", k->dir, "exit") < 0)
    complain ("cannot record how the sandbox ended");
  accept_waiting (k);
  text[strcspn (text, "\n")] = '\0';
  (void)snprintf (message, sizeof message, "exit %s", text);
  for (int i = 0; i < CLIENTS_MAX; i++)
    if (k->clients[i] != NONE)
      reply (k->clients[i], message, NONE);
}

/* 1 when the child has ended. */
static int
reap (Keeper *k, int *ret_status)
{
  pid_t pid;
  int status;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    if (pid == k->child) {
      *ret_status = status;
      return 1;
    }
  return 0;
}

static int
serve (Keeper *k, int signal_fd)
{
  for (;;) {
    struct pollfd fds[2 + CLIENTS_MAX] = {{.fd = signal_fd, .events = POLLIN},
                                          {.fd = k->listener, .events = POLLIN}};
    struct signalfd_siginfo info;
    int status;

    for (int i = 0; i < CLIENTS_MAX; i++)
      fds[2 + i] = (struct pollfd){.fd = k->clients[i], .events = POLLIN};
    if (poll (fds, 2 + CLIENTS_MAX, -1) < 0 && errno != EINTR)
      return 1;
    if (fds[0].revents != 0 && read (signal_fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM)
        (void)kill (k->child, SIGKILL);
      if (reap (k, &status)) {
        report_exit (k, status);
        return 0;
      }
    }
    /* Those that have left make room for those that come. */
    for (int i = 0; i < CLIENTS_MAX; i++)
      if (k->clients[i] != NONE && fds[2 + i].revents != 0)
        serve_client (k, i);
    if (fds[1].revents != 0)
      accept_client (k);
  }
}

static int
run_check (Keeper *k)
{
  if (make_namespaces (k) < 0)
    return 1;
  execvp (k->command[0], k->command);
  fprintf (stderr, "vmctl-keeper: cannot run '%s': %s\n", k->command[0], strerror (errno));
  return 127;
}

int
main (int argc, char **argv)
{
  Keeper k = {.go = NONE, .listener = NONE, .dir = NONE, .console = NONE};
  sigset_t signals;
  int signal_fd;
  pid_t self = getpid ();

  for (int i = 0; i < CLIENTS_MAX; i++)
    k.clients[i] = NONE;
  if (parse_arguments (&k, argc, argv) < 0) {
    fprintf (stderr, "vmctl-keeper: a part of vmctl, not for use by hand\n");
    return 2;
  }
  if (k.check)
    return run_check (&k);
  if (wait_for_go (k.go) < 0)
    return 0;
  sigemptyset (&signals);
  sigaddset (&signals, SIGCHLD);
  sigaddset (&signals, SIGTERM);
  (void)sigprocmask (SIG_BLOCK, &signals, NULL);
  signal_fd = signalfd (-1, &signals, SFD_CLOEXEC);
  if (signal_fd < 0 || (!k.plain && make_namespaces (&k) < 0))
    return 1;
  k.child = fork ();
  if (k.child < 0) {
    complain ("cannot make a process");
    return 1;
  }
  if (k.child == 0)
    run_child (&k, self);
  close_all_but (&k, signal_fd);
  return serve (&k, signal_fd);
}
