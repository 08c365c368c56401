//! Hide the name of the CGI script from the application.
//!
//! ```text
//! before   mount "/app.fcgi"   path "/users"
//! after    mount ""            path "/users"
//! ```
//!
//! # Example
//!
//! ```
//! use http::Request;
//! use proxyfix::{Fix, Mount, ScriptNameStripper};
//!
//! let mount: Mount = "/app.fcgi".parse()?;
//! let (mut parts, ()) = Request::get("/users").extension(mount).body(())?.into_parts();
//!
//! ScriptNameStripper::new().fix(&mut parts);
//!
//! assert!(parts.extensions.get::<Mount>().unwrap().prefix().is_root());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::request::Parts;
use proxyfix_policy::{Mount, Peer, Prefix};

use crate::{Connection, Fix};
use crate::fix::fix_is_a_layer;
use crate::head::{mount_may_change, set_mount};

/// Replaces the external prefix of each request by a fixed one, by default the empty one.
///
/// For servers that put the script's own name into URLs: lighttpd with `url.rewrite-once` to
/// `/app.fcgi$1`, Apache with the `.htaccess` flow. The path is left alone.
///
/// | configuration | script name | path | right constructor |
/// | --- | --- | --- | --- |
/// | lighttpd `url.rewrite-once` at the root | `/app.fcgi` | `/users` | [`new`](Self::new) |
/// | Apache `.htaccess` in `/sub` | `/sub/app.fcgi` | `/users` | [`to`](Self::to) `/sub` |
/// | a server that splits the path in the wrong place | `/users` | `/7` | none: it would lose `/users`; take [`LighttpdCgiRootFix`](crate::LighttpdCgiRootFix) |
///
/// A request that came neither through a gateway nor from a trusted peer passes unchanged.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ScriptNameStripper {
    prefix: Prefix,
}

impl ScriptNameStripper {
    /// The application lives at the root of its host.
    pub fn new() -> Self {
        Self::default()
    }

    /// The application lives below `prefix`.
    pub fn to(prefix: Prefix) -> Self {
        Self { prefix }
    }
}

impl Fix for ScriptNameStripper {
    fn fix(&self, parts: &mut Parts) {
        if mount_may_change(parts) {
            let mut mount = parts.extensions.get::<Mount>().cloned().unwrap_or_default();
            mount.strip_to(&self.prefix);
            set_mount(parts, mount);
        }
    }

    fn fix_from(&self, _: Connection, parts: &mut Parts) -> Option<Peer> {
        self.fix(parts);
        None
    }
}

fix_is_a_layer!(ScriptNameStripper);
