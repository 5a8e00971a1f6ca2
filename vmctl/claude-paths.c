/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmctl/claude-paths.h"

/* Not here, though they are session data: `shell-snapshots` and `session-env`. Claude on the host sources
 * what lies there, and none of it is of use after its session. */
const VmClaudePath vm_claude_paths[] = {
    {"projects", VM_CLAUDE_DATA_DIR, NULL},
    {"todos", VM_CLAUDE_DATA_DIR, NULL},
    {"tasks", VM_CLAUDE_DATA_DIR, NULL},
    {"plans", VM_CLAUDE_DATA_DIR, NULL},
    {"sessions", VM_CLAUDE_DATA_DIR, NULL},
    {"file-history", VM_CLAUDE_DATA_DIR, NULL},
    {"paste-cache", VM_CLAUDE_DATA_DIR, NULL},
    {"statsig", VM_CLAUDE_DATA_DIR, NULL},
    {"telemetry", VM_CLAUDE_DATA_DIR, NULL},
    {"debug", VM_CLAUDE_DATA_DIR, NULL},
    {".credentials.json", VM_CLAUDE_DATA_FILE, "{}\n"},
    {"history.jsonl", VM_CLAUDE_DATA_FILE, ""},
    {"settings.json", VM_CLAUDE_SETTING, NULL},
    {"settings.local.json", VM_CLAUDE_SETTING, NULL},
    {"CLAUDE.md", VM_CLAUDE_SETTING, NULL},
    {"agents", VM_CLAUDE_SETTING, NULL},
    {"commands", VM_CLAUDE_SETTING, NULL},
    {"hooks", VM_CLAUDE_SETTING, NULL},
    {"keybindings.json", VM_CLAUDE_SETTING, NULL},
    {"output-styles", VM_CLAUDE_SETTING, NULL},
    {"plugins", VM_CLAUDE_SETTING, NULL},
    {"rules", VM_CLAUDE_SETTING, NULL},
    {"skills", VM_CLAUDE_SETTING, NULL},
    {"statusline-command.sh", VM_CLAUDE_SETTING, NULL},
    {NULL, VM_CLAUDE_SETTING, NULL},
};
