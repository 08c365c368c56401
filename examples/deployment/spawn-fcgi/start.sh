#!/bin/sh
# Two processes that share one socket, left running in the background. Nobody restarts them.
set -e
rm -f /run/yourapplication/fastcgi.sock
# As root add: -u yourapplication -g yourapplication -U www-data -G www-data
exec spawn-fcgi -s /run/yourapplication/fastcgi.sock -M 0660 -F 2 \
    -P /run/yourapplication/yourapplication.pid \
    -- /srv/yourapplication/yourapplication.fcgi
