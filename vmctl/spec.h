/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the user asked for: the command line over the project's .vmctl.conf (which may only tighten) over the
 * profile over $XDG_CONFIG_HOME/vmctl/config over /etc/vmctl/config. Plain data, not yet checked against the
 * host. */
#pragma once

#include <glib.h>

#define VM_SPEC_MEMORY_MIN (G_GUINT64_CONSTANT (128) << 20)
#define VM_SPEC_MEMORY_DEFAULT_MAX (G_GUINT64_CONSTANT (4) << 30)
#define VM_SPEC_CPUS_DEFAULT_MAX 4
#define VM_SPEC_PROCESSES_DEFAULT 4096
#define VM_SPEC_DISK_DEFAULT (G_GUINT64_CONSTANT (16) << 30)
#define VM_SPEC_BOOT_TIMEOUT_DEFAULT 120
#define VM_SPEC_IMAGE_BOOT_TIMEOUT 300 /* a distribution starts its services first */
#define VM_SPEC_RESTARTS_DEFAULT 5
#define VM_SPEC_ROOT_PORTS_DEFAULT 4
#define VM_SPEC_ROOT_PORTS_MAX 12
#define VM_SPEC_TEMPLATES_MAX_DEFAULT (G_GUINT64_CONSTANT (2) << 30)

typedef enum {
  VM_ISOLATION_NONE,
  VM_ISOLATION_NAMESPACE,
  VM_ISOLATION_CONTAINER,
  VM_ISOLATION_VM
} VmIsolation;
const char *vm_isolation_name (VmIsolation isolation); /* "none", "namespace", "container", "vm" */
/* FALSE: no such word. */
gboolean vm_isolation_parse (const char *name, VmIsolation *ret);

typedef enum { VM_NET_DEFAULT, VM_NET_NONE, VM_NET_PUBLIC, VM_NET_LIST, VM_NET_HOST } VmNet;
/* A screen for the inside. NONE is one that nobody sees but `screenshot`. */
typedef enum { VM_DISPLAY_UNSET, VM_DISPLAY_NONE, VM_DISPLAY_GTK, VM_DISPLAY_VNC } VmDisplay;
const char *vm_display_name (VmDisplay display);              /* "none", "gtk", "vnc"; NULL: UNSET */
gboolean vm_display_parse (const char *name, VmDisplay *ret); /* FALSE: no such word */

/* Of a screen: whole 8 pixels wide, as drivers have it. */
#define VM_SPEC_SCREEN_WIDTH 1280
#define VM_SPEC_SCREEN_HEIGHT 800

typedef enum { VM_TTY_AUTO, VM_TTY_YES, VM_TTY_NO } VmTtyMode;

typedef struct {
  char *project;             /* owned; as given; NULL: the current directory */
  char **command;            /* owned; NULL: the entrypoint of the profile */
  char *name;                /* owned; NULL: made from the project's */
  char *driver;              /* owned; "auto" (NULL), or a name in vm_drivers */
  VmIsolation min_isolation; /* a weaker driver is refused; NONE: none is */
  const char
      *min_isolation_by; /* static; who asked for it: "--min-isolation", "the system's configuration"; NULL */
  char *accel;           /* owned; "auto" (NULL), "kvm", "tcg" */
  char *profile;         /* owned; NULL: "shell" */
  char *kernel;          /* owned; a kernel image to use instead of the newest usable one; NULL */
  char *image;           /* owned; an image of the store, the guest's root; NULL: the host's own tree is */
  char *keep;            /* owned; a kept disk for what is written to the image; NULL: it is thrown away */
  guint64 memory;        /* bytes; 0: half the host's, at most 4 GiB */
  guint cpus;            /* 0: half the host's, at most 4 */
  guint64 memory_limit;  /* bytes; set by the project's .vmctl.conf, cuts the default; 0: no limit */
  guint cpus_limit;      /* likewise */
  guint processes;       /* 0: 4096; a virtual machine has none */
  guint64 disk;          /* bytes, virtual; 0: 16 GiB */
  gboolean disk_none;    /* --disk none: a tmpfs instead */
  VmNet net;             /* DEFAULT: public */
  gboolean net_says_public; /* and what is allowed adds to it: vmctl/net-words.h, as the next two */
  char **net_items;         /* owned; NULL: none */
  char **net_groups;        /* owned; of the configuration: "NAME=ITEM,ITEM"; NULL: none */
  char **net_host_ports;    /* owned; rules, "hostport 5432"; NULL: none */
  VmDisplay display;        /* UNSET: no screen */
  guint width, height;      /* of the screen, pixels; 0: 1280x800 */
  char **env;               /* owned; "NAME=value", or "NAME" to pass the host's on; NULL: none */
  char **grants;            /* owned; named on the command line or in the config; NULL: none */
  char **no_grants;         /* owned; taken away; NULL: none */
  char **sockets;   /* owned; of the host's, to let in: pairs of the path and where it is inside, absolute,
                       plain; NULL: none */
  gboolean no_root; /* nobody becomes root inside */
  gboolean tmux;    /* the command runs within tmux */
  gboolean trace;   /* QEMU's start is stamped, too */
  gboolean cold;    /* boot, and neither use nor make a template */
  gboolean makes_no_templates; /* those that are there are used */
  guint64 templates_max;       /* bytes that templates may take on the disk; 0: 2 GiB */
  guint root_ports;            /* places for devices that are plugged later; 0: 4 */
  char *
      *plugs; /* owned; what is plugged before the command starts: JSON of vm_plug_spec_to_json; NULL: none */
  gboolean serial;       /* the session runs on the serial console */
  guint boot_timeout;    /* seconds; 0: 120 */
  guint restart_max;     /* how often it starts again after a failure; 0: never */
  gboolean sets_restart; /* somebody said so */
  guint watchdog;        /* seconds without a sign of life after which it ends; 0: it never does */
  char **ignored; /* owned; what a project's .vmctl.conf asked for and did not get, one sentence each; NULL:
                     none */
} VmSpec;

void vm_spec_clear (VmSpec *spec);

/* Sizes, counts and names as the user writes them, for the command line and the config alike. `what` names
 * the option or key in the error (VM_ERROR_USAGE), e.g. "--memory". */
gboolean vm_spec_set_memory (VmSpec *spec, const char *text, const char *what,
                             GError **error); /* plain number: MiB; at least 128M */
gboolean vm_spec_set_cpus (VmSpec *spec, const char *text, const char *what, GError **error); /* 1..255 */
gboolean
vm_spec_set_root_ports (VmSpec *spec, const char *text, const char *what, GError **error); /* 1..12 */
/* "KIND=ARGS", as vmctl plug takes them; a relative path counts from the current directory. */
gboolean vm_spec_add_plug (VmSpec *spec, const char *text, const char *what, GError **error);
/* "[ADDRESS:]PORT[:INSIDE][/udp]": a plug of a port. */
gboolean vm_spec_add_publish (VmSpec *spec, const char *text, const char *what, GError **error);
gboolean vm_spec_set_disk (VmSpec *spec, const char *text, const char *what,
                           GError **error); /* SIZE (plain: bytes; 64M..16T) or "none" */
/* Adds to what is there: vmctl/net-words.h. */
gboolean vm_spec_set_net (VmSpec *spec, const char *text, const char *what, GError **error);
gboolean vm_spec_add_host_port (VmSpec *spec, const char *text, const char *what, GError **error);
gboolean vm_spec_set_driver (VmSpec *spec, const char *text, const char *what,
                             GError **error); /* auto, or a driver's name */
gboolean
vm_spec_set_accel (VmSpec *spec, const char *text, const char *what, GError **error); /* auto | kvm | tcg */
gboolean
vm_spec_set_display (VmSpec *spec, const char *text, const char *what, GError **error); /* none | gtk | vnc */
/* WxH, from 320x200 to 4096x2160, the width a multiple of 8. */
gboolean vm_spec_set_size (VmSpec *spec, const char *text, const char *what, GError **error);
/* vm | container | namespace. Raises only: the strongest that anybody asks for counts. `by` is static and
 * becomes spec->min_isolation_by. */
gboolean vm_spec_set_min_isolation (VmSpec *spec, const char *text, const char *what, GError **error);
void vm_spec_raise_isolation (VmSpec *spec, VmIsolation min, const char *by);
gboolean vm_spec_set_name (VmSpec *spec, const char *text, const char *what,
                           GError **error); /* [a-zA-Z0-9][a-zA-Z0-9_.-]{0,62} */
gboolean
vm_spec_set_timeout (VmSpec *spec, const char *text, const char *what, GError **error); /* seconds, 1..3600 */
/* "never", "on-failure" or "on-failure:N", N from 1 to 1000 */
gboolean vm_spec_set_restart (VmSpec *spec, const char *text, const char *what, GError **error);
gboolean vm_spec_set_watchdog (VmSpec *spec, const char *text, const char *what,
                               GError **error); /* seconds, 3..3600 */
/* "SRC" or "SRC:DST", added to the list. A relative SRC counts from the current directory; DST is absolute.
 */
gboolean vm_spec_add_socket (VmSpec *spec, const char *text, const char *what, GError **error);

gboolean
vm_spec_set_processes (VmSpec *spec, const char *text, const char *what, GError **error); /* 16..4194304 */

/* The size of the scratch disk: as asked for, or the default; 0 with --disk none. */
guint64 vm_spec_disk_size (const VmSpec *spec);
/* "NAME=value" or "NAME" with a sane name. */
gboolean vm_spec_check_env (const char *text, const char *what, GError **error);
/* Checks each of `env` and puts the host's value, from `host`, behind a bare NAME. One that the host does not
 * have, or has empty, is left out. NULL is an empty list. (transfer full) */
char **vm_spec_resolve_env (char **env, char **host, const char *what, GError **error);
/* What travels as JSON must be UTF-8, or it would arrive as something else. NULL is no words. */
gboolean vm_spec_check_words (char **words, GError **error);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}: sandbox and profile names. */
gboolean vm_spec_is_name (const char *text);
