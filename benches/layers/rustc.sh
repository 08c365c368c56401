#!/bin/sh
# What cargo calls in place of rustc, so that a cost is the same wherever the checkout is.
#
# Cargo makes the path of a crate a part of its identity, so of each TypeId, and so of the place that an
# extension has in its hash map: that is up to 60 instructions. Here our crates are what they are called.
name=
before=
for word do
    shift
    [ "$before" = --crate-name ] && name=$word
    before=$word
    case $name,$word in
        proxyfix*,metadata=* | count,metadata=*) word=metadata=$name ;;
    esac
    set -- "$@" "$word"
done
exec "$@"
