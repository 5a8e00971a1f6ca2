/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The door: a directory of the runtime dir through which the keeper lets more of the host in. libc only. */
#pragma once

enum { KEEPER_DOOR_BAD = -2 }; /* no door, no such name, no absolute path */

/* The outer namespaces: mounts, and for an ordinary user a user namespace in which he is root; and in them
 * the door, shared (NULL: none). 0; -1, said on stderr. */
int keeper_door_make (const char *door);
/* A copy of what is mounted at and below `source` (absolute, without symbolic links) that is mounted nowhere
 * yet: nosuid, nodev, and nothing that is mounted on it shows up on the host. -1 with errno. */
int keeper_door_clone (const char *source, int read_only, int *ret_is_dir);
/* 0; -1 with errno; KEEPER_DOOR_BAD. */
int keeper_door_bind (const char *door, const char *source, const char *name, int read_only);
int keeper_door_unbind (const char *door, const char *name);
