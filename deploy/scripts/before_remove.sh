#!/bin/sh
# At a removal, not at an upgrade: dpkg says 'remove', rpm 0. Running tasks and /var/lib/berth stay.
set -e
case $1 in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now berth-gc.timer berth-warm.timer >/dev/null 2>&1 || true
    else
        rm -f /etc/systemd/system/timers.target.wants/berth-gc.timer \
            /etc/systemd/system/timers.target.wants/berth-warm.timer
    fi
    ;;
esac
