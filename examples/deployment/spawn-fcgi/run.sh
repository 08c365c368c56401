#!/bin/sh
# One process in the foreground, for runit, daemontools or s6, which restart it.
set -e
rm -f /run/yourapplication/fastcgi.sock
exec spawn-fcgi -n -s /run/yourapplication/fastcgi.sock -M 0660 \
    -- /srv/yourapplication/yourapplication.fcgi
