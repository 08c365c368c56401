//! F. Prefix and path.

use proxyfix::{Field, Fix, LighttpdCgiRootFix, Mount, Prefix, ScriptNameStripper};

use crate::stage::*;

#[test]
fn t93_a_prefix_names_no_other_host() {
    assert_off(Field::Prefix, &[b"//evil.example", b"///evil.example", b"//"]);
}

#[test]
fn t94_a_prefix_has_no_backslash() {
    assert_off(Field::Prefix, &[b"/\\evil.example", b"/app\\..", b"\\app"]);
}

#[test]
fn t95_a_prefix_is_neither_absolute_nor_relative() {
    assert_off(Field::Prefix, &[b"https://evil.example/", b"app", b"javascript:alert(1)", b"?", b"*"]);
}

#[test]
fn t96_a_prefix_has_no_dot_segments() {
    assert_off(Field::Prefix, &[b"/..", b"/app/../admin", b"/app/.", b"/../", b"/./app"]);
    assert_url(&[("X-Forwarded-Prefix", b"/...")], "http://good.example/...");
}

#[test]
fn t97_a_prefix_has_no_controls() {
    assert_off(Field::Prefix, &[b"/app%0d%0aSet-Cookie:%20a=b", b"/app%00", b"/a\tb", b"/a%7f"]);
    assert!("/app\r\nX: y".parse::<Prefix>().is_err());
    assert!(Mount::from_script_name(b"/app\r\nX: y").unwrap().prefix().is_root());
}

#[test]
fn t98_a_prefix_escapes_only_what_has_to_be_escaped() {
    let refused: [&[u8]; 11] = [
        b"/app%2f..%2fadmin",
        b"/app%zz",
        b"/app%",
        b"/app%4",
        b"/%41",
        b"/%2e%2e",
        b"/%C3",
        b"/%C0%AF",
        b"/%ED%A0%80",
        b"/caf\xc3\xa9",
        b"/%c3%28",
    ];
    assert_off(Field::Prefix, &refused);
    assert_url(&[("X-Forwarded-Prefix", b"/caf%C3%A9")], "http://good.example/caf%C3%A9");
}

#[test]
fn t99_a_prefix_has_no_separators() {
    assert_off(
        Field::Prefix,
        &[b"/app;Domain=evil.example", b"/a, /b", b"/a,/a", b"/a\"b", b"/a b", b"/a?b"],
    );
    let lines: Lines<'_> =
        &[("X-Forwarded-For", b"203.0.113.9, 10.0.0.7"), ("X-Forwarded-Prefix", b"/a, /b")];
    assert_eq!(see(&everything(), head(PROXY, lines)).mount(), "/a");
}

#[test]
fn t100_one_trailing_slash_is_removed_from_a_prefix() {
    assert_url(&[("X-Forwarded-Prefix", b"/app/")], "http://good.example/app");
    assert_url(&[("X-Forwarded-Prefix", b"/")], "http://good.example");
    assert_off(Field::Prefix, &[b"/app//v1", b"/app//"]);
}

#[test]
fn t101_a_prefix_is_not_longer_than_1024_bytes() {
    let long = |length: usize| [b"/", &b"a".repeat(length - 1)[..]].concat();
    assert_off(Field::Prefix, &[&long(1025), &long(4097), &long(60_000)]);
    let seen = see(&everything(), head(PROXY, &[("X-Forwarded-Prefix", &long(1024))]));
    assert_eq!(seen.mount().len(), 1024);
}

#[test]
fn t102_a_path_is_split_between_segments_only() {
    assert_mounted(&root_at("/app"), b"", "/application/admin", ("", "/application/admin"));
    assert_mounted(&root_at("/app"), b"/application", "/admin", ("/application", "/admin"));
    assert_mounted(&root_at("/app"), b"/app", "/admin", ("/app", "/admin"));
    assert_mounted(&root_at("/app"), b"/a", "/pp/admin", ("/a", "/pp/admin"));
    // The stripper does not touch the path, whatever it begins with.
    assert_mounted(&ScriptNameStripper::new(), b"/app", "/application/admin", ("", "/application/admin"));
}

#[test]
fn t103_a_split_exposes_no_double_slash() {
    assert_mounted(&root_at("/app"), b"", "/app//evil.example/x", ("/app", "/evil.example/x"));
    assert_mounted(&root_at("/app"), b"/app///evil.example/x", "", ("/app", "/evil.example/x"));
    // A path that is not rewritten is left alone.
    assert_mounted(&root_at("/app"), b"/app", "//evil.example/x", ("/app", "//evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "//evil.example/x", ("", "//evil.example/x"));
}

#[test]
fn t104_a_path_begins_with_a_slash() {
    assert_mounted(&root_at("/app"), b"", "/app", ("/app", "/"));
    assert_mounted(&root_at("/app"), b"", "/app?x=1", ("/app", "/?x=1"));
    assert_mounted(&root_at("/app"), b"/app", "", ("/app", "/"));
    assert_mounted(&ScriptNameStripper::new(), b"/app", "", ("", "/"));
    assert_mounted(&ScriptNameStripper::to("/sub".parse().unwrap()), b"/app", "/?x=1", ("/sub", "/?x=1"));
}

#[test]
fn t105_the_kept_part_of_a_path_keeps_its_bytes() {
    for path in ["/%61dmin/%2e%2E/..%2f;a=b", "/caf%c3%a9/caf%C3%A9", "/a%20b+c//d/./e", "/%zz"] {
        assert_mounted(
            &root_at("/app"),
            b"",
            &format!("/app{path}?%61=1"),
            ("/app", &format!("{path}?%61=1")),
        );
        assert_mounted(&LighttpdCgiRootFix::new(), b"/app", path, ("", &format!("/app{path}")));
        assert_mounted(&ScriptNameStripper::new(), b"/app", path, ("", path));
    }
    // Escapes are not undone to find the root.
    assert_mounted(&root_at("/app"), b"", "/%61pp/x", ("", "/%61pp/x"));
}

#[test]
fn t105_a_trailing_slash_is_kept() {
    // Apache mod_proxy_fcgi, mod_proxy_scgi, nginx with stock parameters and HAProxy say this of
    // `GET /foo/`: everything is script name.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/foo/", "", ("", "/foo/"));
    assert_mounted(&root_at("/app"), b"/app/", "", ("/app", "/"));
    // mod_proxy_uwsgi, of `GET /foo/`.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/foo/", "/", ("", "/foo/"));
}

#[test]
fn t106_no_header_changes_the_target() {
    let lines: Lines<'_> = &[
        ("X-Original-URL", b"/admin"),
        ("X-Rewrite-URL", b"/admin"),
        ("X-Forwarded-Uri", b"/admin"),
        ("X-Forwarded-Path", b"/admin"),
        ("X-Envoy-Original-Path", b"/admin"),
        ("X_Original_URL", b"/admin"),
    ];
    for peer in [PROXY, ATTACKER] {
        let stack = (everything(), ScriptNameStripper::new(), LighttpdCgiRootFix::new());
        let seen = see(&stack, get("/public", peer, lines));
        assert_eq!((seen.0.uri.to_string().as_str(), seen.left()), ("/public", vec![]));
    }
}

#[test]
fn t107_a_mount_is_read_from_one_source_of_a_trusted_peer() {
    let lines: Lines<'_> =
        &[("SCRIPT_NAME", b"/REMOVED"), ("X-Script-Name", b"/REMOVED"), ("Script-Name", b"/REMOVED")];
    for peer in [PROXY, ATTACKER] {
        let stack = (everything(), LighttpdCgiRootFix::new());
        let seen = see(&stack, get("/REMOVED/admin", peer, lines));
        assert_eq!((seen.mount(), seen.0.uri.to_string().as_str()), ("", "/REMOVED/admin"));
        assert!(seen.left().is_empty());
    }
    assert_eq!(see(&custom(), head(PROXY, &[("X-Script-Name", b"/app")])).mount(), "/app");
    assert_eq!(see(&custom(), head(ATTACKER, &[("X-Script-Name", b"/app")])).mount(), "");
    assert_eq!(see(&custom(), head(PROXY, &[("X_Script_Name", b"/app")])).mount(), "");
}

#[test]
fn t108_no_dangerous_path_is_built() {
    assert_mounted(&LighttpdCgiRootFix::new(), b"/", "//evil.example/x?q", ("", "/evil.example/x?q"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"//", "/evil.example/x", ("", "/evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"//evil.example", "/x", ("", "/evil.example/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"/index.fcgi", "/../admin", ("", "/index.fcgi/../admin"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "", ("", "/"));
    // A decoded name cannot add a query or a fragment.
    assert_mounted(&LighttpdCgiRootFix::new(), b"/a?b#c", "/d?e", ("", "/a%3Fb%23c/d?e"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"/a\r\n\0\xff", "/d", ("", "/a%0D%0A%00%FF/d"));
    assert!(Mount::from_script_name(b"evil.example").is_err());
}

#[test]
fn t108_a_path_that_cannot_be_joined_leaves_the_request_alone() {
    // Joined, the path would be longer than a target can be.
    let path = format!("/admin{}", "b".repeat(65_000));
    let mut parts = get(&path, "", &[]);
    let mount = Mount::from_script_name(&[b"/", &b"a".repeat(1000)[..]].concat()).unwrap();
    parts.extensions.insert(mount.clone());
    LighttpdCgiRootFix::new().fix(&mut parts);
    assert!(parts.uri.path() == path && parts.extensions.get() == Some(&mount));
}

#[test]
fn t109_a_root_fix_that_is_not_needed_does_nothing() {
    assert_mounted(&root_at("/app"), b"/app", "/x", ("/app", "/x"));
    assert_mounted(&LighttpdCgiRootFix::new(), b"", "/x", ("", "/x"));
    assert_mounted(&(root_at("/app"), root_at("/app")), b"/app/x", "", ("/app", "/x"));
    assert_mounted(&root_at("/app"), b"/app", "/app/x", ("/app", "/app/x"));
    // The name of the server, wherever a client writes it, is not looked at.
    let lines: Lines<'_> = &[("Server-Software", b"lighttpd/1.4.18"), ("Server", b"lighttpd/1.4.18")];
    let mut parts = get("/x", "", lines);
    parts.extensions.insert("/app".parse::<Mount>().unwrap());
    root_at("/app").fix(&mut parts);
    assert_eq!(parts.uri, "/x");
    // Without a gateway and without a trusted peer there is nothing to repair.
    let seen = see(&(everything(), ScriptNameStripper::to("/sub".parse().unwrap())), head(ATTACKER, FORGED));
    seen.assert("203.0.113.9 peer-untrusted", "http://good.example");
}

#[test]
fn t109_a_stack_with_a_root_fix_is_applied_once() {
    let stack = (LighttpdCgiRootFix::new(), everything());
    let mut parts = get("/7", PROXY, &[("X-Forwarded-Prefix", b"/app")]);
    parts.extensions.insert("/users".parse::<Mount>().unwrap());
    for _ in 0..2 {
        stack.fix(&mut parts);
        assert_eq!(parts.uri, "/users/7");
        assert_eq!(parts.extensions.get::<Mount>().unwrap().prefix().as_str(), "/app");
    }
}

#[test]
fn t110_a_configured_mount_has_the_same_grammar() {
    for text in ["//evil.example", "app", "/a b", "/app?x", "/app/..", "/app%2f", "/app;x", "/app\0"] {
        assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        assert!(text.parse::<Mount>().is_err(), "{text:?}");
    }
}
