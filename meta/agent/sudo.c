/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `sudo` of a sandbox whose user may become root: the agent's own program, set-user-ID. It asks nothing,
 * since the virtual machine is the boundary; it is here so that commands and habits work. Static, hence no
 * NSS: /etc/passwd and /etc/group are read as files. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/format.h"

enum { GROUPS_MAX = 256, ACCOUNTS_MAX = 1 << 20 };

#define SECURE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct {
  char name[256], home[PATH_MAX], shell[PATH_MAX];
  uid_t uid;
  gid_t gid;
} Account;

typedef struct {
  const char *user, *group, *dir;
  bool keep_env, set_home, login, shell, list, no_command, forget;
} Options;

static int __attribute__ ((format (printf, 1, 2))) complain (const char *format, ...)
{
  va_list args;

  fputs ("sudo: ", stderr);
  va_start (args, format);
  vfprintf (stderr, format, args);
  va_end (args);
  fputc ('\n', stderr);
  return 1;
}

static char *
read_accounts (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  size_t size;
  char *text = fd < 0 ? NULL : read_open_file (fd, ACCOUNTS_MAX, &size);

  close_fd (&fd);
  return text;
}

/* Cuts a line into fields at ':'; missing ones are "". */
static void
cut (char *line, char **fields, int n)
{
  for (int i = 0; i < n; i++) {
    char *end = strchr (line, ':');
    fields[i] = line;
    if (end)
      *end = '\0';
    line = end ? end + 1 : line + strlen (line);
  }
}

/* "#1000" is a number, as for sudo; a bare number is one if nobody has it as a name. */
static bool
find_account (const char *wanted, Account *ret)
{
  char *text = read_accounts ("/etc/passwd"), *save = NULL;
  const char *digits = *wanted == '#' ? wanted + 1 : wanted;
  uint64_t number = UINT64_MAX;
  bool found = false;

  (void)parse_number (digits, UINT32_MAX - 1, &number);
  *ret = (Account){.uid = (uid_t)number, .gid = (gid_t)number, .home = "/", .shell = "/bin/sh"};
  snprintf (ret->name, sizeof ret->name, "%s", digits);
  for (char *line = text ? strtok_r (text, "\n", &save) : NULL; line && !found;
       line = strtok_r (NULL, "\n", &save)) {
    char *fields[7];
    cut (line, fields, 7);
    if (strcmp (fields[0], wanted) != 0 && (number == UINT64_MAX || strtoull (fields[2], NULL, 10) != number))
      continue;
    found = true;
    ret->uid = (uid_t)strtoul (fields[2], NULL, 10);
    ret->gid = (gid_t)strtoul (fields[3], NULL, 10);
    snprintf (ret->name, sizeof ret->name, "%s", fields[0]);
    snprintf (ret->home, sizeof ret->home, "%s", *fields[5] ? fields[5] : "/");
    snprintf (ret->shell, sizeof ret->shell, "%s", *fields[6] ? fields[6] : "/bin/sh");
  }
  free (text);
  return found || number != UINT64_MAX;
}

/* Root is root whatever /etc/passwd says, and its home is the one that the agent made. */
static bool
find_target (const char *wanted, Account *ret)
{
  if (strcmp (wanted, "root") != 0 && strcmp (wanted, "#0") != 0 && strcmp (wanted, "0") != 0)
    return find_account (wanted, ret);
  if (!find_account ("root", ret))
    snprintf (ret->shell, sizeof ret->shell, "/bin/sh");
  ret->uid = ret->gid = 0;
  snprintf (ret->name, sizeof ret->name, "root");
  snprintf (ret->home, sizeof ret->home, "/root");
  if (access (ret->shell, X_OK) < 0)
    snprintf (ret->shell, sizeof ret->shell, "/bin/sh");
  return true;
}

static bool
is_member (const char *members, const char *name)
{
  size_t n = strlen (name);

  for (const char *at = members; at; at = strchr (at, ',')) {
    at += *at == ',';
    if (strncmp (at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
      return true;
  }
  return false;
}

/* The groups of an account, or with `wanted` the number of that group. */
static int
read_groups (const Account *account, const char *wanted, gid_t *ret_groups)
{
  char *text = read_accounts ("/etc/group"), *save = NULL;
  uint64_t number;
  int n = 0;

  if (!wanted)
    ret_groups[n++] = account->gid;
  for (char *line = text ? strtok_r (text, "\n", &save) : NULL; line && n < GROUPS_MAX;
       line = strtok_r (NULL, "\n", &save)) {
    char *fields[4];
    cut (line, fields, 4);
    if (wanted ? strcmp (fields[0], wanted) == 0 : is_member (fields[3], account->name))
      ret_groups[n++] = (gid_t)strtoul (fields[2], NULL, 10);
  }
  free (text);
  if (wanted && n == 0 && parse_number (wanted + (*wanted == '#'), UINT32_MAX - 1, &number) == 0)
    ret_groups[n++] = (gid_t)number;
  return n;
}

static int
become (const Account *account, const char *group)
{
  gid_t groups[GROUPS_MAX], gid = account->gid;
  int n;

  if (group && read_groups (account, group, &gid) == 0)
    return complain ("unknown group %s", group);
  n = read_groups (account, NULL, groups);
  groups[0] = gid;
  if (setgroups ((size_t)n, groups) < 0 || setresgid (gid, gid, gid) < 0 ||
      setresuid (account->uid, account->uid, account->uid) < 0)
    return complain ("cannot become %s: %s", account->name, strerror (errno));
  return 0;
}

/* What is kept of the caller's environment without -E: the terminal, the language, the way out. */
static bool
keep_name (const char *word)
{
  static const char *const names[] = {
      "TERM",       "COLORTERM",  "LANG",          "LANGUAGE",       "TZ",        "DISPLAY",
      "XAUTHORITY", "LS_COLORS",  "http_proxy",    "https_proxy",    "ftp_proxy", "no_proxy",
      "all_proxy",  "HTTP_PROXY", "HTTPS_PROXY",   "FTP_PROXY",      "NO_PROXY",  "ALL_PROXY",
      "NIX_REMOTE", "NIX_PATH",   "SSL_CERT_FILE", "DEBIAN_FRONTEND"};
  size_t n = strcspn (word, "=");

  if (strncmp (word, "LC_", 3) == 0)
    return true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen (names[i]) == n && strncmp (word, names[i], n) == 0)
      return true;
  return false;
}

static void
filter_env (void)
{
  for (char **word = environ; *word;) {
    char name[256];

    if (keep_name (*word) || strncmp (*word, "PATH=", 5) == 0) {
      word++;
      continue;
    }
    snprintf (name, sizeof name, "%.*s", (int)strcspn (*word, "="), *word);
    if (strlen (name) >= sizeof name - 1 || unsetenv (name) < 0)
      word++; /* too odd a name to take out; then it stays */
    else
      word = environ;
  }
}

static bool
in_path (const char *path, const char *dir, size_t n)
{
  for (const char *at = path; at; at = strchr (at, ':')) {
    at += *at == ':';
    if (strncmp (at, dir, n) == 0 && (at[n] == ':' || at[n] == '\0'))
      return true;
  }
  return false;
}

/* Root's directories first; behind them the caller's, where the host's own tools may be (~/.local/bin,
 * /run/current-system/sw/bin). */
static void
set_path (void)
{
  char path[16384] = SECURE_PATH;
  size_t used = strlen (path);

  for (const char *at = getenv ("PATH"); at && *at;) {
    size_t n = strcspn (at, ":");
    if (n > 0 && n < sizeof path - used - 2 && !in_path (path, at, n))
      used += (size_t)snprintf (path + used, sizeof path - used, ":%.*s", (int)n, at);
    at += n + (at[n] == ':');
  }
  (void)setenv ("PATH", path, 1);
}

static void
set_number (const char *name, unsigned value)
{
  char text[16];

  snprintf (text, sizeof text, "%u", value);
  (void)setenv (name, text, 1);
}

static void
set_command (char **words)
{
  char text[4096] = "";
  size_t used = 0;

  for (; *words && used < sizeof text; words++)
    used += (size_t)snprintf (text + used, sizeof text - used, "%s%s", used ? " " : "", *words);
  (void)setenv ("SUDO_COMMAND", text, 1);
}

static void
set_env (const Options *options, const Account *target, char **words)
{
  char number[16];
  Account caller;

  snprintf (number, sizeof number, "#%u", getuid ());
  (void)find_account (number, &caller);
  if (!options->keep_env)
    filter_env ();
  set_path ();
  if (!options->keep_env || options->set_home || options->login || !getenv ("HOME"))
    (void)setenv ("HOME", target->home, 1);
  (void)setenv ("USER", target->name, 1);
  (void)setenv ("LOGNAME", target->name, 1);
  if (!options->keep_env)
    (void)setenv ("SHELL", target->shell, 1);
  (void)setenv ("SUDO_USER", caller.name, 1);
  set_number ("SUDO_UID", getuid ());
  set_number ("SUDO_GID", getgid ());
  set_command (words);
}

static int
usage (FILE *out)
{
  fputs ("usage: sudo [-EHknS] [-u USER] [-g GROUP] [-D DIR] [VAR=VALUE]... COMMAND [ARG]...\n"
         "       sudo [-EHknS] [-u USER] [-g GROUP] -i | -s [COMMAND [ARG]...]\n"
         "       sudo -h | -K | -k | -l | -V | -v\n"
         "No password is asked for: the sandbox's virtual machine is the boundary.\n",
         out);
  return out == stdout ? 0 : 1;
}

static const struct option long_options[] = {
    {"user", required_argument, NULL, 'u'},
    {"group", required_argument, NULL, 'g'},
    {"chdir", required_argument, NULL, 'D'},
    {"preserve-env", optional_argument, NULL, 'E'},
    {"set-home", no_argument, NULL, 'H'},
    {"login", no_argument, NULL, 'i'},
    {"shell", no_argument, NULL, 's'},
    {"list", no_argument, NULL, 'l'},
    {"validate", no_argument, NULL, 'v'},
    {"reset-timestamp", no_argument, NULL, 'k'},
    {"remove-timestamp", no_argument, NULL, 'K'},
    {"non-interactive", no_argument, NULL, 'n'},
    {"stdin", no_argument, NULL, 'S'},
    {"prompt", required_argument, NULL, 'p'},
    {"askpass", no_argument, NULL, 'A'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* One option. -1: go on; else the exit status. */
static int
take_option (Options *options, int option)
{
  switch (option) {
  case 'u':
    options->user = optarg;
    return -1;
  case 'g':
    options->group = optarg;
    return -1;
  case 'D':
    options->dir = optarg;
    return -1;
  case 'E':
    options->keep_env = true;
    return -1;
  case 'H':
    options->set_home = true;
    return -1;
  case 'i':
    options->login = true;
    return -1;
  case 's':
    options->shell = true;
    return -1;
  case 'l':
    options->list = true;
    return -1;
  case 'k': /* alone it ends here; with a command it means nothing, since nothing is remembered */
    options->forget = true;
    return -1;
  case 'K':
  case 'v':
    options->no_command = true;
    return -1;
  case 'n':
  case 'S':
  case 'A':
  case 'p':
    return -1;
  case 'h':
    return usage (stdout);
  case 'V':
    puts ("sudo of vmctl " VMCTL_VERSION);
    return 0;
  default:
    return usage (stderr);
  }
}

/* "NAME=value" words before the command go into its environment. Returns the command's words. */
static char **
take_variables (char **words)
{
  for (; *words; words++) {
    char *equals = strchr (*words, '=');
    if (!equals || equals == *words || memchr (*words, '/', (size_t)(equals - *words)))
      break;
    (void)putenv (*words);
  }
  return words;
}

/* A command for `sh -c`: what is not surely harmless gets a backslash, as sudo does it. */
static char *
quote (char **words)
{
  size_t n = 1;
  char *text, *at;

  for (char **word = words; *word; word++)
    n += 2 * strlen (*word) + 1;
  at = text = malloc (n);
  for (char **word = words; *word && text; word++) {
    if (word != words)
      *at++ = ' ';
    for (const char *c = *word; *c; c++) {
      bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                   strchr ("_-$./", *c) != NULL || (*c & 0x80);
      if (!plain)
        *at++ = '\\';
      *at++ = *c;
    }
  }
  if (text)
    *at = '\0';
  return text;
}

static int
run_shell (const Options *options, const Account *target, char **words)
{
  const char *shell = options->login ? target->shell : getenv ("SHELL"), *base;
  char name[256], *argv[4] = {name, NULL, NULL, NULL};

  if (!shell || *shell != '/' || access (shell, X_OK) < 0)
    shell = "/bin/sh";
  base = strrchr (shell, '/') + 1;
  snprintf (name, sizeof name, "%s%s", options->login ? "-" : "", base);
  if (*words) {
    argv[1] = (char *)"-c";
    argv[2] = quote (words);
  }
  execv (shell, argv);
  return complain ("cannot run %s: %s", shell, strerror (errno));
}

static int
run_command (char **words)
{
  execvp (words[0], words);
  if (errno == ENOENT)
    return complain ("%s: command not found", words[0]);
  return complain ("unable to execute %s: %s", words[0], strerror (errno));
}

static int
run (const Options *options, char **words)
{
  const char *caller_shell = getenv ("SHELL");
  char *shell = caller_shell ? strdup (caller_shell) : NULL;
  Account target;
  int r;

  if (!find_target (options->user ? options->user : "root", &target))
    return complain ("unknown user %s", options->user);
  if (geteuid () != 0)
    return complain ("root is not allowed in this sandbox");
  set_env (options, &target, words);
  if (options->shell && shell)
    (void)setenv ("SHELL", shell, 1);
  words = take_variables (words);
  if (!*words && !options->login && !options->shell)
    return usage (stderr);
  r = become (&target, options->group);
  if (r != 0)
    return r;
  umask (022);
  if (options->login && !options->dir && chdir (target.home) < 0)
    return complain ("unable to change directory to %s: %s", target.home, strerror (errno));
  if (options->dir && chdir (options->dir) < 0)
    return complain ("unable to change directory to %s: %s", options->dir, strerror (errno));
  return options->login || options->shell ? run_shell (options, &target, words) : run_command (words);
}

int
sudo_main (int argc, char **argv)
{
  Options options = {0};
  int option, r;

  if (access (META_AGENT, F_OK) == 0)
    return complain ("only a virtual machine lets you become root; start one with: vmctl up --driver qemu");
  opterr = 0;
  while ((option = getopt_long (argc, argv, "+u:g:D:EHiskKvlnSAp:hV", long_options, NULL)) >= 0)
    if ((r = take_option (&options, option)) >= 0)
      return r;
  if (options.no_command || (options.forget && optind == argc && !options.login && !options.shell))
    return 0;
  if (options.list) {
    if (optind == argc)
      puts ("User may run the following commands in this sandbox:\n    (ALL : ALL) NOPASSWD: ALL");
    return geteuid () == 0 ? 0 : complain ("root is not allowed in this sandbox");
  }
  return run (&options, argv + optind);
}
