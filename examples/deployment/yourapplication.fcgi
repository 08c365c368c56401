#!/bin/sh
# What a web server starts where it starts the application by itself. It says what differs from host to
# host; the program stays the same.
cd /srv/yourapplication || exit 1
export YOURAPPLICATION_MOUNT=/yourapplication
exec ./bin/yourapplication
