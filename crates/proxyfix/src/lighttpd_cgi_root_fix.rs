//! Repair the path of servers that split it in the wrong place.
//!
//! ```text
//! before   mount "/users"   path "/7"
//! after    mount ""         path "/users/7"
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, LighttpdCgiRootFix, Mount};
//!
//! let mount: Mount = "/users".parse()?;
//! let (mut parts, ()) = Request::get("/7?page=2").extension(mount).body(())?.into_parts();
//!
//! LighttpdCgiRootFix::new().fix(&mut parts);
//!
//! assert_eq!(parts.uri, "/users/7?page=2");
//! assert!(parts.extensions.get::<Mount>().unwrap().prefix().is_root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::request::Parts;
use proxyfix_policy::{Mount, Peer, Prefix};

use crate::fix::fix_is_a_layer;
use crate::head::{mount_may_change, set_mount};
use crate::{Connection, Fix};
use crate::{events, uri};

/// Joins script name and path, and splits the result again at the application's root.
///
/// | server, mounted at `/` | request | script name | path | after the fix |
/// | --- | --- | --- | --- | --- |
/// | lighttpd 1.4.18 to 1.4.85 without `fix-root-scriptname` | `/foo/bar` | `/foo` | `/bar` | `/foo/bar` |
/// | Apache mod_proxy_fcgi, mod_proxy_scgi; HAProxy without `path-info`; nginx with stock parameters | `/foo/bar` | `/foo/bar` | nothing | `/foo/bar` |
/// | lighttpd with `fix-root-scriptname` (1.4.26 and later) | `/foo/bar` | nothing | `/foo/bar` | `/foo/bar` |
///
/// The split is on a segment boundary; where it does not fit, the request stays as it was. There is
/// no look at `SERVER_SOFTWARE`: the version test of the Python original never matched a change in
/// any server. A request that came neither through a gateway nor from a trusted peer passes
/// unchanged.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct LighttpdCgiRootFix {
    root: Prefix,
}

/// The old spelling of [`LighttpdCgiRootFix`].
pub type LighttpdCGIRootFix = LighttpdCgiRootFix;

impl LighttpdCgiRootFix {
    /// The application lives at the root of its host.
    pub fn new() -> Self {
        Self::default()
    }

    /// The application lives below `root`.
    pub fn at(root: Prefix) -> Self {
        Self { root }
    }
}

impl Fix for LighttpdCgiRootFix {
    fn fix(&self, parts: &mut Parts) {
        if !mount_may_change(parts) || !uri::has_path(&parts.uri) {
            return;
        }
        // Of a proxy that states no prefix, the mount is the root.
        let mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
        if mount.is_split_at(&self.root) {
            events::already_applied();
            return;
        }
        let split = mount.split_at(parts.uri.path(), &self.root);
        match split {
            // A path that is too long to be joined stays, and the mount with it.
            Some((mount, path)) if path == parts.uri.path() || uri::set_path(parts, &path) => {
                set_mount(parts, mount);
            }
            _ => {
                let mut mount = mount;
                mount.set_tried(&self.root);
                parts.extensions.insert(mount);
            }
        }
    }

    fn fix_from(&self, _: Connection, parts: &mut Parts) -> Option<Peer> {
        self.fix(parts);
        None
    }
}

fix_is_a_layer!(LighttpdCgiRootFix);

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    /// Applies the fix at `root` twice; asserts path and mount after each.
    #[track_caller]
    fn assert_fixed(root: &str, script_name: &str, target: &str, expected: (&str, &str)) {
        let mount = Mount::from_script_name(script_name.as_bytes()).unwrap();
        let mount = mount.with_nothing_below(target.is_empty());
        let target = if target.is_empty() { "/" } else { target };
        let (mut parts, ()) = Request::get(target).extension(mount).body(()).unwrap().into_parts();
        let fix = LighttpdCgiRootFix::at(root.parse().unwrap());
        for _ in 0..2 {
            fix.fix(&mut parts);
            let mount = parts.extensions.get::<Mount>().unwrap();
            assert_eq!((mount.prefix().as_str(), parts.uri.to_string().as_str()), expected);
        }
    }

    #[test]
    fn every_shape_that_it_is_for() {
        assert_fixed("", "/foo", "/bar?x=1", ("", "/foo/bar?x=1"));
        assert_fixed("", "/foo/bar", "", ("", "/foo/bar"));
        assert_fixed("", "", "/foo/bar", ("", "/foo/bar"));
        assert_fixed("/app", "/app/foo", "", ("/app", "/foo"));
        assert_fixed("/app", "/app", "/foo", ("/app", "/foo"));
        assert_fixed("/app", "/app", "", ("/app", "/"));
        assert_fixed("", "/a b", "/c%2Fd", ("", "/a%20b/c%2Fd"));
        assert_fixed("", "/caf\u{e9}", "/", ("", "/caf%C3%A9/"));
    }

    #[test]
    fn t102_t104_only_on_a_segment_boundary_and_never_without_a_slash() {
        assert_fixed("/app", "/application", "/admin", ("/application", "/admin"));
        assert_fixed("/app", "", "/app?x=1", ("/app", "/?x=1"));
    }

    #[test]
    fn t103_t108_no_dangerous_path_is_built() {
        assert_fixed("", "/", "//evil.example/x?q", ("", "/evil.example/x?q"));
        assert_fixed("", "/index.fcgi", "/../admin", ("", "/index.fcgi/../admin"));
        assert_fixed("", "", "", ("", "/"));
        assert_fixed("/app", "", "/app//evil.example/x", ("/app", "/evil.example/x"));
    }

    #[test]
    fn t105_the_kept_part_of_the_path_keeps_its_bytes() {
        assert_fixed("/app", "", "/app/%41%2e/..%2F;a=b", ("/app", "/%41%2e/..%2F;a=b"));
    }

    #[test]
    fn t92_targets_without_a_path_are_left_alone() {
        for (method, target) in [(Method::OPTIONS, "*"), (Method::CONNECT, "evil.example:443")] {
            let request = Request::builder().method(method).uri(target).extension(Mount::root());
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            LighttpdCgiRootFix::new().fix(&mut parts);
            assert_eq!(parts.uri, target);
        }
    }
}
