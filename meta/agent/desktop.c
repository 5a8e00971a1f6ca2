/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How it works
 *
 * In a VM it is Xorg on the virtual graphics card, with a configuration that names the devices: there is no
 * udev to find them and no logind to hand them out, so they are given to the user. Elsewhere it is Xvfb, or
 * Xvnc, which is the same for viewers outside: they reach it through the supervisor, at a port that nobody
 * but this sandbox has. The server is asked to write the number of its display to its stdout when it takes
 * clients (-displayfd): that is how we see that it is ready. It wants a cookie, which is made here and lies
 * where $XAUTHORITY says. The window manager, openbox, is waited for too: it says by a FIFO that it manages
 * windows, since one that was there before would not get the keyboard. */
#include "meta/agent/desktop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/launch.h"

enum {
  READY_WAIT_MS = 60000,
  MANAGER_WAIT_MS = 20000,
  COOKIE = 16,
  WORDS_MAX = 300,
  LOG_TAIL = 4096,
  FAMILY_WILD = 0xffff
};

#define CONFIG_NAME "vmctl-xorg.conf"
#define LOG_NAME "vmctl-xserver.log"
#define XORG_LOG_NAME "vmctl-xorg.log" /* Xorg renames what is there before it begins */
#define FIFO_NAME "vmctl-window-manager"
#define SOCKET_DIR "/tmp/.X11-unix"
#define COOKIE_NAME "vmctl-xauthority"

static void
in_runtime (const Agent *agent, const char *name, char *path, size_t n)
{
  snprintf (path, n, "/run/user/%u/%s", agent->meta.uid, name);
}

/* The user's, and new. */
static int
create (const Agent *agent, const char *name)
{
  char path[128];
  int fd;

  in_runtime (agent, name, path, sizeof path);
  (void)unlink (path);
  fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  return fd < 0 ? -errno : fd;
}

static int
put (const Agent *agent, const char *name, const void *data, size_t n)
{
  int fd = create (agent, name), r = fd < 0 ? fd : write_all (fd, data, n);

  close_fd (&fd);
  return r;
}

static size_t
put_counted (uint8_t *at, const void *data, size_t n)
{
  at[0] = (uint8_t)(n >> 8);
  at[1] = (uint8_t)n;
  memcpy (at + 2, data, n);
  return n + 2;
}

/* An Xauthority file with one entry, for display 0 whatever the host is called. */
static int
write_cookie (const Agent *agent)
{
  static const char kind[] = "MIT-MAGIC-COOKIE-1";
  uint8_t cookie[COOKIE], file[64] = {FAMILY_WILD >> 8, FAMILY_WILD & 0xff};
  size_t n = 2;
  int r;

  if (getrandom (cookie, sizeof cookie, 0) != sizeof cookie)
    return -EIO;
  n += put_counted (file + n, "", 0);
  n += put_counted (file + n, "0", 1);
  n += put_counted (file + n, kind, sizeof kind - 1);
  n += put_counted (file + n, cookie, sizeof cookie);
  r = put (agent, COOKIE_NAME, file, n);
  explicit_bzero (cookie, sizeof cookie);
  explicit_bzero (file, sizeof file);
  return r;
}

/* /dev/input/eventN of the device whose name ends so. */
static int
find_input (const char *end, char *ret, size_t n)
{
  DIR *dir = opendir ("/sys/class/input");
  struct dirent *entry;
  bool found = false;

  while (dir && !found && (entry = readdir (dir))) {
    char path[300], text[128];

    snprintf (path, sizeof path, "/sys/class/input/%s/device/name", entry->d_name);
    if (strncmp (entry->d_name, "event", 5) != 0 || read_line (path, text, sizeof text) < 0)
      continue;
    found = strlen (text) >= strlen (end) && strcmp (text + strlen (text) - strlen (end), end) == 0;
    snprintf (ret, n, "/dev/input/%.*s", (int)n - 12, entry->d_name);
  }
  if (dir)
    closedir (dir);
  return found ? 0 : -ENODEV;
}

/* Everything is named: with devices that are added by themselves the server would ask udev. The size, too:
 * with a window the graphics card prefers that of the window, which begins small. The mode itself is there by
 * the kernel's video=. */
static int
write_config (const Agent *agent, const char *keyboard, const char *pointer)
{
  char *text = NULL;
  int r;

  if (asprintf (
          &text,
          "Section \"ServerFlags\"\n"
          "  Option \"AutoAddDevices\" \"false\"\n  Option \"AutoAddGPU\" \"false\"\n"
          "  Option \"AutoEnableDevices\" \"true\"\n  Option \"DontVTSwitch\" \"true\"\n"
          "  Option \"BlankTime\" \"0\"\n  Option \"StandbyTime\" \"0\"\n  Option \"SuspendTime\" \"0\"\n"
          "  Option \"OffTime\" \"0\"\nEndSection\n"
          "Section \"Device\"\n  Identifier \"gpu\"\n  Driver \"modesetting\"\n"
          "  Option \"kmsdev\" \"/dev/dri/card0\"\n  Option \"AccelMethod\" \"none\"\nEndSection\n"
          "Section \"InputDevice\"\n  Identifier \"keyboard\"\n  Driver \"evdev\"\n"
          "  Option \"Device\" \"%s\"\n  Option \"XkbLayout\" \"us\"\n  Option \"CoreKeyboard\"\nEndSection\n"
          "Section \"InputDevice\"\n  Identifier \"pointer\"\n  Driver \"evdev\"\n"
          "  Option \"Device\" \"%s\"\n  Option \"CorePointer\"\nEndSection\n"
          "Section \"Screen\"\n  Identifier \"screen\"\n  Device \"gpu\"\n  DefaultDepth 24\n"
          "  SubSection \"Display\"\n    Depth 24\n    Modes \"%ux%u\"\n  EndSubSection\nEndSection\n"
          "Section \"ServerLayout\"\n  Identifier \"layout\"\n  Screen \"screen\"\n"
          "  InputDevice \"keyboard\"\n  InputDevice \"pointer\"\nEndSection\n",
          keyboard, pointer, agent->meta.width, agent->meta.height) < 0)
    return -ENOMEM;
  r = put (agent, CONFIG_NAME, text, strlen (text));
  free (text);
  return r;
}

static int
give (const Agent *agent, const char *path)
{
  return chown (path, agent->meta.uid, (gid_t)-1) < 0 ? -errno : 0;
}

/* In a VM, and as the root of a container, we make the user's files as the user. */
static int
be_user (const Agent *agent, bool on)
{
  if (agent->meta.uid == 0 || (!on && getuid () != 0) || (on && geteuid () != 0))
    return 0;
  return on ? act_as (agent->meta.uid, agent->meta.gid) : act_as (0, 0);
}

/* A logind would do that for whoever sits there. */
static int
give_devices (Agent *agent, Why *why)
{
  static const char *const devices[] = {"/dev/dri/card0", "/dev/tty0", "/dev/tty1"};
  char keyboard[300], pointer[300];
  int r = 0;

  boot_wait_modules (agent);
  for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
    if ((r = give (agent, devices[i])) < 0)
      return why_set (why, -r, "there is no screen: '%s'", devices[i]);
  if ((r = find_input ("Keyboard", keyboard, sizeof keyboard)) < 0 ||
      (r = find_input ("Tablet", pointer, sizeof pointer)) < 0 || (r = give (agent, keyboard)) < 0 ||
      (r = give (agent, pointer)) < 0)
    return why_set (why, -r, "there is no keyboard or pointer for the screen");
  r = be_user (agent, true);
  if (r == 0)
    r = write_config (agent, keyboard, pointer);
  if (be_user (agent, false) < 0)
    return why_set (why, EPERM, "cannot act as root again");
  return r < 0 ? why_set (why, -r, "cannot write the X server's configuration") : 0;
}

static int
add_words (Launch *launch, const char *const *words)
{
  size_t n = 0;

  while (words[n])
    n++;
  launch->cwd = strdup ("/");
  launch->argv = calloc (n + 1, sizeof (char *));
  for (size_t i = 0; launch->argv && i < n; i++)
    if (!(launch->argv[launch->n_argv++] = strdup (words[i])))
      return -ENOMEM;
  return launch->argv ? 0 : -ENOMEM;
}

static int
server_words (const Agent *agent, Launch *launch)
{
  char config[128], log[128], cookie[128], screen[32], port[16];
  const char *xorg[] = {agent->meta.server, ":0",        "vt1",  "-keeptty", "-novtswitch",
                        "-sharevts",        "-config",   config, "-logfile", log,
                        "-noreset",         "-nolisten", "tcp",  "-auth",    cookie,
                        "-displayfd",       "1",         NULL};
  const char *xvfb[] = {agent->meta.server, ":0",        "-screen", "0",     screen,
                        "-noreset",         "-nolisten", "tcp",     "-auth", cookie,
                        "-displayfd",       "1",         NULL};
  /* Who is inside has the cookie anyway, and from outside comes only whom the supervisor lets in. */
  const char *xvnc[] = {agent->meta.server,
                        ":0",
                        "-geometry",
                        screen,
                        "-depth",
                        "24",
                        "-noreset",
                        "-nolisten",
                        "tcp",
                        "-auth",
                        cookie,
                        "-displayfd",
                        "1",
                        "-rfbport",
                        port,
                        "-localhost",
                        "-SecurityTypes",
                        "None",
                        "-AlwaysShared",
                        "-AcceptSetDesktopSize=0",
                        "-desktop",
                        agent->meta.hostname,
                        NULL};

  in_runtime (agent, CONFIG_NAME, config, sizeof config);
  in_runtime (agent, XORG_LOG_NAME, log, sizeof log);
  in_runtime (agent, COOKIE_NAME, cookie, sizeof cookie);
  snprintf (screen, sizeof screen, "%ux%u%s", agent->meta.width, agent->meta.height,
            agent->meta.vnc ? "" : "x24");
  snprintf (port, sizeof port, "%u", agent->meta.vnc);
  return add_words (launch, agent->vm ? xorg : agent->meta.vnc ? xvnc : xvfb);
}

/* Its stdout is `out`; what it says goes to the log. The pid, or -errno. */
static pid_t
run (const Agent *agent, Launch *launch, int out, int log)
{
  SpawnStdio stdio = {.fds = {open ("/dev/null", O_RDWR | O_CLOEXEC), out, log}};
  int report = -1, error = 0, r = session_set_identity (agent, launch);
  pid_t pid;

  if (r == 0)
    r = launch_complete (launch, &agent->meta, NULL);
  if (r == 0 && stdio.fds[0] < 0)
    r = -EMFILE;
  pid = r < 0 ? r : spawn (launch, &stdio, &report);
  close_fd (&stdio.fds[0]);
  if (pid > 0) { /* until it has been executed, or not */
    (void)fcntl (report, F_SETFL, 0);
    if (read (report, &error, sizeof error) == sizeof error)
      pid = error < 0 ? error : -error;
  }
  close_fd (&report);
  return pid;
}

/* 0: it takes clients. It closes its end when it dies. Whoever made this container may be gone, too. */
static int
wait_ready (const Agent *agent, int ready, int wait_ms)
{
  int64_t deadline = now_ms () + wait_ms, left;
  struct pollfd fds[2] = {{.fd = ready, .events = POLLIN}, {.fd = agent->lifeline_fd, .events = POLLIN}};
  char byte;

  while ((left = deadline - now_ms ()) > 0) {
    if (poll (fds, 2, (int)left) <= 0)
      continue;
    if (fds[1].revents)
      return -ESHUTDOWN;
    if (fds[0].revents && read (ready, &byte, 1) != 1)
      return -EPIPE;
    if (fds[0].revents && byte == '\n')
      return 0;
  }
  return -ETIMEDOUT;
}

/* The last lines with "(EE)", or just the last ones, as one. */
static void
last_words (int log, char *words, size_t n)
{
  char text[LOG_TAIL + 1];
  off_t size = lseek (log, 0, SEEK_END);
  ssize_t got = pread (log, text, LOG_TAIL, size > LOG_TAIL ? size - LOG_TAIL : 0);
  char *from, *error;

  text[got > 0 ? got : 0] = '\0';
  for (char *c = text; *c; c++)
    if (*c == '\n')
      *c = ' ';
  error = strstr (text, "(EE) ");
  from = strlen (text) > n - 1 ? text + strlen (text) - (n - 1) : text;
  snprintf (words, n, "%.*s", (int)n - 1, error ? error : from);
}

static int
start_server (Agent *agent, int log, Why *why)
{
  Launch launch = {0};
  char words[WORDS_MAX];
  int ready[2] = {-1, -1}, r = server_words (agent, &launch);
  pid_t pid;

  if (r == 0 && pipe2 (ready, O_CLOEXEC) < 0)
    r = -errno;
  pid = r < 0 ? r : run (agent, &launch, ready[1], log);
  launch_clear (&launch);
  close_fd (&ready[1]);
  if (pid < 0) {
    close_fd (&ready[0]);
    return why_set (why, (int)-pid, "cannot run the X server '%s'", agent->meta.server);
  }
  agent->desktop.server = pid;
  r = wait_ready (agent, ready[0], READY_WAIT_MS);
  close_fd (&ready[0]);
  if (r == 0)
    return 0;
  (void)kill (-pid, SIGKILL);
  last_words (log, words, sizeof words);
  return why_set (why, 0, "the X server %s: %s", r == -ETIMEDOUT ? "does not take clients" : "has ended",
                  words);
}

static int
open_fifo (const Agent *agent, char *path, size_t n)
{
  int r = be_user (agent, true), fd = -1;

  in_runtime (agent, FIFO_NAME, path, n);
  (void)unlink (path);
  if (r == 0 && mkfifo (path, 0600) == 0)
    fd = open (path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  return be_user (agent, false) < 0 || fd < 0 ? (close_fd (&fd), -EPERM) : fd;
}

/* A screen without one is a screen all the same. */
static void
start_manager (Agent *agent, int log)
{
  char path[128], command[192];
  int fifo = open_fifo (agent, path, sizeof path);
  const char *const words[] = {agent->meta.manager, "--startup", command, NULL};
  Launch launch = {0};
  pid_t pid;

  snprintf (command, sizeof command, "/bin/sh -c 'echo >%s'", path);
  pid = add_words (&launch, words);

  if (pid == 0)
    pid = run (agent, &launch, log, log);
  launch_clear (&launch);
  if (pid < 0)
    agent_log (agent, "cannot run the window manager '%s': %s", agent->meta.manager, strerror ((int)-pid));
  else
    agent->desktop.manager = pid;
  if (pid > 0 && fifo >= 0 && wait_ready (agent, fifo, MANAGER_WAIT_MS) < 0)
    agent_log (agent, "the window manager does not say that it is there");
  close_fd (&fifo);
  (void)unlink (path);
}

static int
make_files (Agent *agent, int *ret_log)
{
  int r;

  if (mkdir (SOCKET_DIR, 01777) == 0) /* as the server would, but root's where we are root */
    (void)chmod (SOCKET_DIR, 01777);
  r = be_user (agent, true);
  if (r == 0)
    r = write_cookie (agent);
  if (r == 0)
    r = *ret_log = create (agent, LOG_NAME);
  if (be_user (agent, false) < 0)
    return -EPERM;
  return r < 0 ? r : 0;
}

int
desktop_start (Agent *agent, Why *why)
{
  int log = -1, r = make_files (agent, &log);

  if (r < 0)
    r = why_set (why, -r, "cannot write the X server's files in '/run/user/%u'", agent->meta.uid);
  if (r == 0 && agent->vm)
    r = give_devices (agent, why);
  if (r == 0)
    r = start_server (agent, log, why);
  if (r == 0 && agent->meta.manager)
    start_manager (agent, log);
  close_fd (&log);
  return r;
}

void
desktop_reaped (Agent *agent, pid_t pid)
{
  Desktop *desktop = &agent->desktop;

  if (pid != desktop->server && pid != desktop->manager)
    return;
  if (!agent->stop.wanted)
    agent_log (agent, "the %s has ended; its words are in /run/user/%u/" LOG_NAME,
               pid == desktop->server ? "X server" : "window manager", agent->meta.uid);
  if (pid == desktop->server)
    desktop->server = 0;
  else
    desktop->manager = 0;
}
