/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta/agent/change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/agent/agent.h"
#include "meta/agent/freeze.h"

enum { TEXT_MAX = 512, HEADER = 4 };

static void
answer (Agent *agent, uint32_t number, int error, const char *text, size_t n)
{
  uint8_t payload[8 + TEXT_MAX];

  n = n < TEXT_MAX ? n : TEXT_MAX;
  frame_put_u32 (payload, number);
  frame_put_u32 (payload + 4, (uint32_t)error);
  memcpy (payload + 8, text, n);
  link_send (&agent->link, FRAME_CHANGED, FRAME_CHANNEL_CONTROL, 0, payload, 8 + n);
}

/* Into `words`, which has room for one more than there may be. How many; -EPROTO. */
static int
split (char *text, size_t n, char **words)
{
  int count = 0;

  if (n == 0 || text[n - 1] != '\0')
    return -EPROTO;
  for (size_t at = 0; at < n; at += strlen (text + at) + 1) {
    if (count == FRAME_CHANGE_WORDS_MAX)
      return -EPROTO;
    words[count++] = text + at;
  }
  words[count] = NULL;
  return count;
}

static Change *
unused (Agent *agent)
{
  for (unsigned i = 0; i < CHANGES_MAX; i++)
    if (agent->changes[i].pid == 0)
      return &agent->changes[i];
  return NULL;
}

static void __attribute__ ((noreturn)) run (Agent *agent, char *const *words, size_t n, int fd)
{
  char text[TEXT_MAX] = "";
  int r = change_do (agent, words, n, text, sizeof text);

  (void)write_all (fd, text, strlen (text));
  _exit (r >= 0 && r < 256 ? r : EIO);
}

static int
start (Agent *agent, Change *change, char *const *words, size_t n)
{
  int ends[2], r = freeze_prepare ();
  pid_t pid;

  if (r < 0)
    return -r;
  if (pipe2 (ends, O_CLOEXEC | O_NONBLOCK) < 0)
    return errno;
  pid = fork ();
  if (pid == 0)
    run (agent, words, n, ends[1]);
  close_fd (&ends[1]);
  if (pid < 0) {
    close_fd (&ends[0]);
    return EAGAIN;
  }
  change->pid = pid;
  change->fd = ends[0];
  change->is_unwanted = false;
  return 0;
}

int
change_begin (Agent *agent, const uint8_t *data, size_t n)
{
  char *words[FRAME_CHANGE_WORDS_MAX + 1], *copy;
  Change *change = unused (agent);
  uint32_t number;
  int count, r;

  if (n <= HEADER)
    return -EPROTO;
  number = frame_get_u32 (data);
  copy = malloc (n - HEADER);
  if (!copy) {
    answer (agent, number, ENOMEM, "", 0);
    return 0;
  }
  memcpy (copy, data + HEADER, n - HEADER);
  count = split (copy, n - HEADER, words);
  if (count >= 0) {
    r = agent->state != AGENT_UP || !change ? EAGAIN : start (agent, change, words, (size_t)count);
    if (r != 0)
      answer (agent, number, r, "", 0);
    else
      change->number = number;
  }
  free (copy);
  return count < 0 ? count : 0;
}

bool
change_reaped (Agent *agent, pid_t pid, int status)
{
  char text[TEXT_MAX];
  ssize_t n;

  for (unsigned i = 0; i < CHANGES_MAX; i++) {
    Change *change = &agent->changes[i];

    if (pid <= 0 || change->pid != pid)
      continue;
    n = read (change->fd, text, sizeof text);
    close_fd (&change->fd);
    change->pid = 0;
    if (!change->is_unwanted)
      answer (agent, change->number, WIFEXITED (status) ? WEXITSTATUS (status) : EIO, text,
              n > 0 ? (size_t)n : 0);
    return true;
  }
  return false;
}

void
change_link_lost (Agent *agent)
{
  for (unsigned i = 0; i < CHANGES_MAX; i++)
    agent->changes[i].is_unwanted = true;
}

void
change_free (Agent *agent)
{
  for (unsigned i = 0; i < CHANGES_MAX; i++)
    if (agent->changes[i].pid > 0)
      close_fd (&agent->changes[i].fd);
}
