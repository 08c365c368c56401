#!/bin/sh
# Starts one deployment of the guide from a clone, on loopback, in a temporary folder, until Ctrl-C:
#
#   examples/deployment/start.sh                     lists the deployments
#   examples/deployment/start.sh apache/fcgid-root   starts one
#   PORT=8888 examples/deployment/start.sh ...       at another port than 8080 (the application takes the next)
#
# It builds the example `yourapplication`, unless YOURAPPLICATION names a program, and needs no root:
# started by root, everything runs as nobody.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-8080}
next=$((port + 1))

fail() {
    echo "start.sh: $*" >&2
    exit 1
}

# need PROGRAM PACKAGE
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: install the package $2 (apt-get install $2)"
}

PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin

if [ $# -ne 1 ]; then
    echo "usage: start.sh DEPLOYMENT, one of"
    cd "$here"
    for file in */*; do
        case $file in
            # What they have in common, and what they consist of.
            nginx/nginx.conf | lighttpd/lighttpd.conf | haproxy/haproxy.cfg | apache/apache2.conf) ;;
            apache/htaccess.conf | caddy/Caddyfile | systemd/*.service) ;;
            *) echo "  ${file%.*}" ;;
        esac
    done
    exit 2
fi
server=${1%%/*}
name=${1#*/}
file=
for candidate in "$here/$1.conf" "$here/$1.cfg" "$here/$1.caddy" "$here/$1.htaccess" "$here/$1.sh" "$here/$1.socket"; do
    [ ! -f "$candidate" ] || file=$candidate
done
[ -n "$file" ] || fail "there is no deployment $1; without an argument all of them are listed"

# Where the application is mounted is all that it has to be told.
case $1 in
    *prefix* | lighttpd/scgi) mount=/yourapplication ;;
    apache/sub) mount=/sub ;;
    *) mount= ;;
esac

case $server in
    nginx) need nginx nginx ;;
    lighttpd) need lighttpd lighttpd ;;
    apache) need apache2 apache2 ;;
    haproxy) need haproxy haproxy ;;
    caddy) need caddy caddy ;;
    supervisor) need supervisord supervisor; need nginx nginx ;;
    spawn-fcgi) need spawn-fcgi spawn-fcgi; need nginx nginx ;;
    systemd) need systemd-socket-activate systemd; need nginx nginx ;;
esac
need curl curl
if [ "$server" = apache ] && ! [ -f /usr/lib/apache2/modules/mod_fcgid.so ]; then
    case $name in
        fcgid* | root | sub) fail "mod_fcgid is missing: install the package libapache2-mod-fcgid" ;;
    esac
fi
curl -s -o /dev/null "http://127.0.0.1:$port/" && fail "port $port is taken: PORT=8888 $0 $1"

if [ -z "${YOURAPPLICATION:-}" ]; then
    need cargo "cargo, or rustup from https://rustup.rs"
    (cd "$here" && cargo build --quiet -p proxyfix-examples --bin yourapplication)
    target=$(cd "$here" && cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    YOURAPPLICATION=$target/debug/yourapplication
fi

user=$(id -u)
[ "$user" != 0 ] || user=65534

# The folder, in which /srv/yourapplication and /run/yourapplication are.
folder=$(mktemp -d)
as=
processes=
application=
cleanup() {
    trap '' INT TERM
    trap - EXIT
    # spawn-fcgi leaves what it starts to others.
    for process in $processes $(cat "$run/yourapplication.pid" 2>/dev/null); do
        kill "$process" 2>/dev/null || true
    done
    wait
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
srv=$folder/srv
run=$folder/run
mkdir -p "$srv/bin" "$srv/htdocs/sub" "$run"
cp "$YOURAPPLICATION" "$srv/bin/yourapplication"

# fill FILE TO: copies a file with the standing texts replaced.
fill() {
    sed -e "s|/srv/yourapplication|$srv|g" -e "s|/run/yourapplication|$run|g" \
        -e "s|127\.0\.0\.1:8080|127.0.0.1:$port|g" -e "s|server.port = 8080|server.port = $port|" \
        -e "s|127\.0\.0\.1:[39]000|127.0.0.1:$next|g" -e "s|\"port\" => [39]000|\"port\" => $next|g" \
        -e "s|^export YOURAPPLICATION_MOUNT=.*|export YOURAPPLICATION_MOUNT=$mount|" \
        -e "s|yourapplication:www-data|$(id -un "$user"):$(id -gn "$user")|" "$1" >"$2"
}
for script in yourapplication.fcgi yourapplication.cgi htdocs/yourapplication.fcgi htdocs/sub/yourapplication.fcgi; do
    fill "$here/yourapplication.fcgi" "$srv/$script"
    chmod 755 "$srv/$script"
done

# start COMMAND: in the background, to be stopped at the end.
start() {
    (cd "$srv" && exec $as "$@") &
    processes="$! $processes"
}
if [ "$(id -u)" = 0 ]; then
    need setpriv util-linux
    as="setpriv --reuid=$user --regid=$user --clear-groups"
    HOME=$run
    export HOME
    chmod 755 "$folder"
    chown -R "$user:$user" "$folder"
fi

# The application, where the web server does not start it, and where it listens then.
front=$server
config=$file
place=$run/$(sed -n 's|.*/run/yourapplication/\([a-z]*\.sock\).*|\1|p' "$file" | head -n 1)
! grep -q '9000' "$file" || place=127.0.0.1:$next
listen() {
    start env YOURAPPLICATION_MOUNT="$mount" "$@" "$srv/bin/yourapplication"
    application=$processes
}
case $server in
    supervisor)
        printf '[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/supervisord.pid\n' "$run" \
            | cat - "$file" >"$folder/supervisord.conf"
        fill "$folder/supervisord.conf" "$run/supervisord.conf"
        start supervisord -c "$run/supervisord.conf"
        ;;
    spawn-fcgi)
        fill "$file" "$run/$name.sh"
        start sh "$run/$name.sh"
        ;;
    systemd)
        # Without systemd, its own tool does what the .socket unit says.
        case $name in
            *-http) start systemd-socket-activate -l "127.0.0.1:$next" -E YOURAPPLICATION_PROXIES=127.0.0.1 "$srv/bin/yourapplication" ;;
            *) start systemd-socket-activate --inetd -l "$place" "$srv/yourapplication.fcgi" ;;
        esac
        ;;
    *)
        if [ "${file##*.}" = htaccess ] || grep -q 'yourapplication\.f\?cgi' "$file"; then
            place=
        elif grep -q '3000' "$file"; then
            listen YOURAPPLICATION_HTTP="127.0.0.1:$next" YOURAPPLICATION_PROXIES=127.0.0.1
        elif grep -q 'scgi' "$file"; then
            listen YOURAPPLICATION_SCGI="$place"
        else
            listen YOURAPPLICATION_FASTCGI="$place"
        fi
        ;;
esac
case $server/$name in
    systemd/*-http) front=nginx config=$here/nginx/http.conf ;;
    supervisor/* | spawn-fcgi/* | systemd/*) front=nginx config=$here/nginx/fastcgi-root.conf ;;
esac
case $place in
    *.sock)
        tries=0
        until [ -S "$place" ]; do
            tries=$((tries + 1))
            [ "$tries" -lt 100 ] || fail "nobody listens on $place; see what was said above"
            sleep 0.1
        done
        ;;
esac

# The web server.
case $front in
    nginx)
        fill "$here/nginx/nginx.conf" "$run/nginx.conf"
        cp /etc/nginx/fastcgi_params /etc/nginx/scgi_params "$run"
        fill "$config" "$run/yourapplication.conf"
        start nginx -p "$run" -c "$run/nginx.conf" -e stderr
        ;;
    lighttpd)
        fill "$here/lighttpd/lighttpd.conf" "$run/lighttpd.conf"
        fill "$config" "$run/yourapplication.conf"
        start lighttpd -D -f "$run/lighttpd.conf"
        ;;
    apache)
        fill "$here/apache/apache2.conf" "$run/apache2.conf"
        case $name in
            root) fill "$file" "$srv/htdocs/.htaccess" ;;
            sub) fill "$file" "$srv/htdocs/sub/.htaccess" ;;
        esac
        case $name in
            root | sub) config=$here/apache/htaccess.conf ;;
        esac
        fill "$config" "$run/yourapplication.conf"
        : >"$run/apache2.log"
        [ -z "$as" ] || chown "$user:$user" "$run/apache2.log"
        start tail -F "$run/apache2.log"
        start apache2 -DFOREGROUND -f "$run/apache2.conf"
        ;;
    haproxy)
        fill "$here/haproxy/haproxy.cfg" "$run/haproxy.cfg"
        fill "$config" "$run/yourapplication.cfg"
        start haproxy -f "$run/haproxy.cfg" -f "$run/yourapplication.cfg"
        ;;
    caddy)
        fill "$here/caddy/Caddyfile" "$run/Caddyfile"
        fill "$config" "$run/yourapplication.caddy"
        start env XDG_DATA_HOME="$run" caddy run --config "$run/Caddyfile" --adapter caddyfile
        ;;
esac
server_process=${processes%% *}

tries=0
until curl -sf -o /dev/null "http://127.0.0.1:$port$mount/"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "no answer from http://127.0.0.1:$port$mount/; see what was said above"
    for process in $server_process $application; do
        kill -0 "$process" 2>/dev/null || fail "the web server or the application has ended; see what was said above"
    done
    sleep 0.1
done
cat <<EOF
$1 is up: http://127.0.0.1:$port$mount/
  its files are in $folder until Ctrl-C
  curl -i 'http://127.0.0.1:$port$mount/'
  curl -i 'http://127.0.0.1:$port$mount/hello/a%2Fb'
  curl -i 'http://127.0.0.1:$port$mount/old'
EOF
wait "$server_process"
