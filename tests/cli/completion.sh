#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The completion scripts, in the shells themselves.
. "$(dirname "$0")/lib.sh"

run 0 up -d -n web -- sleep 1000
run 0 "$V" plug web port "$(free_port):1" --id web-page
mkdir "$tmp/bin" "$tmp/plugged-dir"
: > "$tmp/plugged-file"
cd "$tmp" || exit 1
ln -s "$V" "$tmp/bin/vmctl"
PATH=$tmp/bin:$PATH
for shell in bash zsh fish; do "$V" completion "$shell" > "$tmp/complete.$shell" || fail "completion $shell"; done

# cases: "LINE|WORD that is offered|WORD that is not".
cases='vmctl st|stop|list
vmctl st|status|supervise
vmctl up --driv|--driver|--disk
vmctl exec w|web|status
vmctl completion |fish|stop
vmctl help do|doctor|up
vmctl logs --su|--supervisor|--serial
vmctl stop web w|web|list
vmctl plug w|web|status
vmctl plug web s|serial|status
vmctl plug web dir plugged-|plugged-dir|plugged-file
vmctl plug --id x web disk plugged-|plugged-file|serial
vmctl plug web n|nic|status
vmctl plug web nic p|public|serial
vmctl unplug w|web|status
vmctl unplug web w|web-page|serial
vmctl up --plug s|serial=|status'

if command -v bash > /dev/null; then
  cat > "$tmp/ask.bash" << 'SH'
source "$1"
line=$2
read -r -a COMP_WORDS <<< "$line"
if [[ $line == *' ' ]]; then COMP_WORDS+=(''); fi
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_vmctl 2> /dev/null
printf '%s\n' "${COMPREPLY[@]}"
SH
  ask_bash () { bash --norc "$tmp/ask.bash" "$tmp/complete.bash" "$1"; }
  is "bash: value after =" "$(ask_bash 'vmctl up --driver = nu')" null
  is "bash: value after a space" "$(ask_bash 'vmctl up --driver nu')" null
  has "$(ask_bash 'vmctl up -- ech')" echo
  has "$(ask_bash 'vmctl up /us')" /usr
  is "bash: value after KEY=" "$(ask_bash 'vmctl up --plug = dir = plugged-')" plugged-dir
  is "bash: value at once after KEY=" "$(ask_bash 'vmctl up --plug dir =' | grep plugged-)" plugged-dir
  is "bash: nothing in other words with =" "$(ask_bash 'vmctl up --env A = plugged-')" ""
  is "bash: what comes after KEY=VALUE" "$(ask_bash 'vmctl up --plug dir = plugged-dir plugged-')" plugged-dir
  is "bash: only one sandbox" "$(ask_bash 'vmctl exec web w')" ""
fi
if command -v fish > /dev/null; then
  ask_fish () { fish --no-config -c "source $tmp/complete.fish; complete -C '$1'" | cut -f 1; }
  is "fish: value after KEY=" "$(ask_fish 'vmctl up --plug dir=plugged-')" dir=plugged-dir/
  is "fish: the same as one word" "$(ask_fish 'vmctl up --plug=dir=plugged-' | sed 's/--plug=//')" dir=plugged-dir/
  is "fish: only one sandbox" "$(ask_fish 'vmctl exec web w')" ""
  is "fish: value" "$(ask_fish 'vmctl up --driver nu')" null
  has "$(ask_fish 'vmctl up -- ech')" echo
fi
if command -v zsh > /dev/null; then
  cat > "$tmp/ask.zsh" << 'SH'
zmodload zsh/zpty || exit 77
zpty shell zsh -f -i
zpty -w shell "PS1= TERM=dumb; autoload -U compinit; compinit -u -d $1.dump; source $1; zstyle ':completion:*' menu no
zstyle ':completion:*' verbose no; unsetopt beep; echo READ''Y"
zpty -r shell out '*READY*'
zpty -w -n shell "$2"$'\t\t'
zpty -w -n shell $'\C-a#\C-e\n'"echo D''ONE"$'\n'
zpty -r shell out '*DONE*'
zpty -d shell
print -r -- "${(V)out}"
SH
  ask_zsh () { timeout 120 zsh -f "$tmp/ask.zsh" "$tmp/complete.zsh" "$1"; }
fi
if command -v zsh > /dev/null; then
  has "$(ask_zsh 'vmctl up --plug dir=plugged-' < /dev/null)" dir=plugged-dir/
  has "$(ask_zsh 'vmctl up --plug=dir=plugged-' < /dev/null)" dir=plugged-dir/
fi
for shell in bash fish zsh; do
  command -v "$shell" > /dev/null || { echo "$shell is not installed"; continue; }
  printf '%s\n' "$cases" > "$tmp/cases"
  while IFS='|' read -r line wanted unwanted; do
    offered=$("ask_$shell" "$line" < /dev/null)
    case $offered in *"$wanted"*) ;; *) fail "$shell does not offer '$wanted' for '$line' but '$offered'" ;; esac
    case $offered in *"$unwanted"*) fail "$shell offers '$unwanted' for '$line'" ;; esac
  done < "$tmp/cases"
done
