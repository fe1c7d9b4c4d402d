#!/bin/sh
# SPDX-License-Identifier: MIT
# Does what the entrypoint of the image does that berth-agent replaces: key from the environment to
# authorized_keys, then sshd in the foreground. PORT, HOME, HOST_KEY and KEYGEN are the bench's.
#
#   KEYGEN=all       makes host keys of every type first, as an image without any does
#   KEYGEN=ed25519   makes that one
set -e
if [ -z "$SSH_PUBLIC_KEY" ]; then
    echo "Need your SSH public key as the SSH_PUBLIC_KEY env variable."
    exit 1
fi
mkdir -p "$HOME/.ssh"
echo "$SSH_PUBLIC_KEY" >"$HOME/.ssh/authorized_keys"
chmod 700 "$HOME/.ssh"
chmod 600 "$HOME/.ssh/authorized_keys"
unset SSH_PUBLIC_KEY
case ${KEYGEN:-} in
all)
    mkdir -p "$HOME/etc/ssh"
    ssh-keygen -A -f "$HOME" >/dev/null
    HOST_KEY=$HOME/etc/ssh/ssh_host_ed25519_key
    ;;
ed25519)
    HOST_KEY=$HOME/host_ed25519
    ssh-keygen -q -t ed25519 -N '' -f "$HOST_KEY"
    ;;
esac
exec /usr/sbin/sshd -D -e -f /dev/null -p "$PORT" -h "$HOST_KEY" -o ListenAddress=127.0.0.1 \
    -o "AuthorizedKeysFile=$HOME/.ssh/authorized_keys" -o StrictModes=no -o PidFile=none \
    -o PermitRootLogin=yes -o MaxStartups=1000 -o LogLevel=ERROR -o UsePAM="${PAM:-yes}"
