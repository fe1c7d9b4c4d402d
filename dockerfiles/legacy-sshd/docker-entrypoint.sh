#!/bin/sh
# SPDX-License-Identifier: MIT
# The former entrypoint: installs the key from the environment, then starts sshd.
set -eu

if [ -z "${SSH_PUBLIC_KEY:-}" ]; then
    echo "Need your SSH public key as the SSH_PUBLIC_KEY env variable." >&2
    exit 1
fi
umask 077
mkdir -p "$HOME/.ssh"
printf '%s\n' "$SSH_PUBLIC_KEY" >"$HOME/.ssh/authorized_keys"
unset SSH_PUBLIC_KEY
mkdir -p /run/sshd
chmod 0755 /run/sshd
exec /usr/sbin/sshd -D
